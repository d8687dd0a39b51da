"""A local MyTracker for learning and testing: no account, no network, generated events.

::

    sandbox = mytracker_nb.sandbox.start(seconds=1)
    client = mytracker_nb.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    ...
    sandbox.stop()

It is independent of the rest of the package. It imports the dictionaries, and the module with the
directory in which its clients find it. It validates requests with its own code, written from the
service's documentation: with shared code, a mistake would be on both sides and no test would show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mytracker_nb.sandbox.server import Sandbox

__all__ = ["start"]


def start(**config: Any) -> Sandbox:
    """Start a local MyTracker in a thread of this process.

    Parameters
    ----------
    **config
        Settings: the attributes of `mytracker_nb.sandbox.config.Config`.

    Returns
    -------
    Sandbox
        With ``base_url``, ``api_user_id``, ``secret_key`` and ``stop()``; also a context manager.

    Raises
    ------
    ImportError
        If Flask is not installed.
    OSError
        If the port is in use, or the directory to keep can't be used.
    TypeError, ValueError
        If a setting is unknown or invalid.

    Examples
    --------
    >>> with mt.sandbox.start(seconds=0) as sandbox:
    ...     client = mt.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    ...     len(client.quotas()) > 0
    True
    """
    try:
        from mytracker_nb.sandbox.server import Sandbox
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("flask", "werkzeug"):
            raise
        raise ImportError(
            "the sandbox needs Flask: pip install 'mytracker-nb[sandbox]'", name=error.name
        ) from None
    from mytracker_nb.sandbox.config import Config

    return Sandbox(Config(**config))

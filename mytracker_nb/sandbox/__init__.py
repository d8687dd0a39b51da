"""A local MyTracker to learn and to test with: no account, no network, made-up events.

::

    sandbox = mytracker_nb.sandbox.start(seconds=1)
    client = mytracker_nb.Client(sandbox.api_user_id, sandbox.secret_key, sandbox.base_url)
    ...
    sandbox.stop()

It stands aside from the rest of the package: of that it knows the dictionaries, and the directory
where its clients find it, and judges a request by its own reading of the service's documentation.
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
        Settings; `mytracker_nb.sandbox.config.Config` tells them all.

    Returns
    -------
    Sandbox
        Has ``base_url``, ``api_user_id``, ``secret_key`` and ``stop()``; is a context manager too.

    Raises
    ------
    ImportError
        If Flask is not installed.
    TypeError, ValueError
        If there is no such setting.
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

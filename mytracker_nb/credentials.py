"""Where the API User ID and the secret key come from.

In this order: arguments, what was said at a login in this process, the environment
(``MYTRACKER_API_USER_ID``, ``MYTRACKER_SECRET_KEY``, ``MYTRACKER_BASE_URL``), the system's keyring
where the package ``keyring`` is installed.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mytracker_nb.errors import CredentialsMissing
from mytracker_nb.signing import SecretKey

__all__ = ["SERVICE_URL", "Credentials", "find", "forget", "is_local", "save", "use"]

SERVICE_URL = "https://tracker.my.com"
"""The address of the service itself."""

_KEYRING_NAME = "mytracker-nb"

_MISSING = """no API User ID and secret key were found
  With an account: they are in your MyTracker profile, under API Credentials. Type %mytracker_login,
  or set MYTRACKER_API_USER_ID and MYTRACKER_SECRET_KEY before you start Jupyter.
  Without an account: type %mytracker_sandbox to try everything on made-up data."""


@dataclass(frozen=True)
class Credentials:
    """An account at a service.

    Attributes
    ----------
    api_user_id : int
        The *API User ID*.
    secret_key : str
        The *Secret key*; in no repr.
    base_url : str
        The service's address, without a path.
    """

    api_user_id: int
    secret_key: str = field(repr=False)
    base_url: str = SERVICE_URL

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "api_user_id", int(self.api_user_id))
        except ValueError:
            raise CredentialsMissing(
                "the API User ID is a number, as in your MyTracker profile under API Credentials"
            ) from None
        object.__setattr__(self, "base_url", checked_url(self.base_url))
        object.__setattr__(self, "secret_key", SecretKey(self.secret_key.strip()))

    @property
    def is_sandbox(self) -> bool:
        """Whether the service is a local one, whose data is made up."""
        return is_local(self.base_url)


def is_local(url: str) -> bool:
    """Whether `url` is on this machine, where nothing that is sent leaves it."""
    return urlsplit(url.strip()).hostname in ("127.0.0.1", "localhost", "::1")


def checked_url(base_url: str) -> str:
    """`base_url` without a trailing slash, if signed requests may be sent to it.

    Raises
    ------
    CredentialsMissing
        If it is no address, or neither https nor on this machine.
    """
    parts = urlsplit(base_url.strip())
    private = parts.scheme == "https" or (parts.scheme == "http" and is_local(base_url))
    if private and parts.hostname and parts.username is None:
        return base_url.strip().rstrip("/")
    raise CredentialsMissing(
        f"MYTRACKER_BASE_URL must be an https address (http only on this machine), not {base_url!r}"
    )


_in_use: Credentials | None = None


def use(credentials: Credentials) -> None:
    """Keep `credentials` for this process, before those of the environment."""
    global _in_use
    _in_use = credentials


def forget() -> None:
    """Drop what `use` has kept."""
    global _in_use
    _in_use = None


def find(
    api_user_id: int | None = None,
    secret_key: str | None = None,
    base_url: str | None = None,
) -> Credentials:
    """The credentials to work with.

    Parameters
    ----------
    api_user_id, secret_key, base_url : optional
        What is known already; the rest is looked up.

    Raises
    ------
    CredentialsMissing
        If no place has them; the text says where an account finds them and how to try the sandbox.
    """
    same = _in_use and (base_url is None or checked_url(base_url) == _in_use.base_url)
    if _in_use and same and api_user_id is None and secret_key is None:
        return _in_use
    url = checked_url(base_url or os.environ.get("MYTRACKER_BASE_URL") or SERVICE_URL)
    user = api_user_id or os.environ.get("MYTRACKER_API_USER_ID")
    key = secret_key or os.environ.get("MYTRACKER_SECRET_KEY")
    if not (user and key):
        saved = _from_keyring(url)
        if saved is not None and user in (None, "", saved[0], str(saved[0])):
            user, key = saved
    if not (user and key):
        raise CredentialsMissing(_MISSING)
    return Credentials(int(user) if str(user).isdigit() else user, key, url)  # type: ignore[arg-type]


def _from_keyring(base_url: str) -> tuple[int, str] | None:
    try:
        import keyring

        kept = keyring.get_password(_KEYRING_NAME, base_url)
        if kept is None:
            return None
        user, key = json.loads(kept)
        return int(user), str(key)
    except Exception:  # no keyring, a locked one, or one that fails in its own way
        return None


def save(credentials: Credentials) -> None:
    """Keep `credentials` in the system's keyring.

    Raises
    ------
    CredentialsMissing
        If there is no keyring to keep them in.
    """
    try:
        import keyring

        kept = json.dumps([credentials.api_user_id, credentials.secret_key])
        keyring.set_password(_KEYRING_NAME, credentials.base_url, kept)
    except ImportError:
        raise CredentialsMissing(
            "nothing was saved: install the keyring with pip install 'mytracker-nb[keyring]'"
        ) from None
    except Exception as error:
        # the error's own text may hold what was to be kept
        raise CredentialsMissing(
            f"nothing was saved: the system's keyring refused ({type(error).__name__})"
        ) from None

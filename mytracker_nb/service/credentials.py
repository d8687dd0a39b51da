"""Where the API User ID and the secret key come from.

In this order: arguments, what was said at a login in this process, the environment
(``MYTRACKER_API_USER_ID``, ``MYTRACKER_SECRET_KEY``, ``MYTRACKER_BASE_URL``), the system's keyring
where the package ``keyring`` is installed.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, SupportsIndex
from urllib.parse import urlsplit

from mytracker_nb.endpoints import SERVICE_URL
from mytracker_nb.errors import CredentialsMissing
from mytracker_nb.service.signing import SecretKey

__all__ = [
    "SERVICE_URL",
    "Credentials",
    "find",
    "find_without_keyring",
    "is_local",
    "masked",
    "save",
    "use",
]

_KEYRING_NAME = "mytracker-nb"
# what the package keyring has where a machine has none
_KEEP_NOTHING = ("keyring.backends.fail", "keyring.backends.null")

_HELP = """\
  With an account: they are in your MyTracker profile, under API Credentials. Type %mytracker_login,
  or set MYTRACKER_API_USER_ID and MYTRACKER_SECRET_KEY before you start Jupyter.
  Without an account: type %mytracker_sandbox to try everything on made-up data."""

_NOT_SAVED = """\
the key was not saved: {}. You are logged in until the kernel ends. To keep the key, set up a
keyring that encrypts (https://pypi.org/project/keyring), or set MYTRACKER_API_USER_ID and
MYTRACKER_SECRET_KEY before you start Jupyter"""


def masked(given: Any) -> Any:
    """`given`, as a traceback with values would not show it: it may be the key, in any place.

    For what is neither text nor a whole number stands an object that is of no use.
    """
    if given is None or isinstance(given, SupportsIndex):
        return given
    return SecretKey(given.strip()) if isinstance(given, str) else object()


@dataclass(frozen=True, init=False)
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

    def __init__(self, api_user_id: int, secret_key: str, base_url: str = SERVICE_URL) -> None:
        api_user_id, secret_key = masked(api_user_id), masked(secret_key)
        object.__setattr__(self, "secret_key", _secret_key(secret_key))
        object.__setattr__(self, "api_user_id", _user_id(api_user_id))
        object.__setattr__(self, "base_url", checked_url(base_url))
        if not self.secret_key:
            raise CredentialsMissing(f"the secret key is empty\n{_HELP}")

    @property
    def is_sandbox(self) -> bool:
        """Whether the service is a local one, whose data is made up."""
        return is_local(self.base_url)


def _secret_key(given: object) -> SecretKey:
    """The key that was given, `masked`."""
    if isinstance(given, SecretKey):
        return given
    raise CredentialsMissing(
        "the secret key is text, as in your MyTracker profile under API Credentials"
    )


def _user_id(given: object) -> int:
    """The number that was given, `masked`."""
    digits = SecretKey(given)
    if digits.isascii() and digits.isdigit():
        return int(digits)
    # what was given is not shown: it may be the key, in the wrong place
    raise CredentialsMissing(
        "the API User ID is a number, as in your MyTracker profile under API Credentials"
    )


def is_local(url: str) -> bool:
    """Whether `url` is on this machine, where nothing that is sent leaves it."""
    try:
        return urlsplit(url.strip()).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:  # brackets that hold no IPv6 address
        return False


def checked_url(base_url: str) -> str:
    """`base_url` without a trailing slash, if signed requests may be sent to it.

    Raises
    ------
    CredentialsMissing
        If it is no address of a service, or neither https nor on this machine.
    """
    base_url = base_url.strip().rstrip("/")
    # no user info (a password would be in logs), no path or query (they would be signed)
    address = re.fullmatch(r"(https?)://([\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?", base_url.lower())
    if address and (address[1] == "https" or is_local(base_url)):
        return address[0]
    shown = re.sub(".*@", "***@", base_url, flags=re.DOTALL)
    raise CredentialsMissing(
        f"MYTRACKER_BASE_URL must be an address such as {SERVICE_URL} (http only on this "
        f"machine; no user, no path), not {shown!r}"
    )


_in_use: Credentials | None = None


def use(credentials: Credentials | None) -> Credentials | None:
    """Keep `credentials` for this process, before those of the environment.

    Parameters
    ----------
    credentials : Credentials or None
        None keeps none.

    Returns
    -------
    Credentials or None
        What was kept before.
    """
    global _in_use
    before, _in_use = _in_use, credentials
    return before


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
    api_user_id, secret_key = masked(api_user_id), masked(secret_key)
    user = SecretKey("" if api_user_id is None else api_user_id)
    key = SecretKey() if secret_key is None else _secret_key(secret_key)
    url = checked_url(base_url or _environment("MYTRACKER_BASE_URL") or SERVICE_URL)
    if (
        _in_use
        and not key
        and user in ("", str(_in_use.api_user_id))
        and (not base_url or url == _in_use.base_url)
    ):
        return _in_use
    for place in (_from_environment, _from_keyring):
        if not (user and key):
            found_user, found_key = place(url)
            # the key of another account is of no use
            if not (user and found_user and user != found_user):
                user, key = user or found_user, key or found_key
    if not (user and key):
        missing = [name for name, text in (("API User ID", user), ("secret key", key)) if not text]
        raise CredentialsMissing(f"no {' and no '.join(missing)} was found\n{_HELP}")
    return Credentials(_user_id(user), key, url)


def find_without_keyring() -> Credentials | None:
    """The credentials of a login or of the environment; None if they have none.

    A locked keyring can take many seconds, or ask for a password: it is left for when a key is
    needed.
    """
    if _in_use:
        return _in_use
    url = checked_url(_environment("MYTRACKER_BASE_URL") or SERVICE_URL)
    user, key = _from_environment(url)
    return Credentials(_user_id(user), key, url) if user and key else None


def _environment(name: str) -> str:
    return os.environ.get(name, "").strip()


def _from_environment(base_url: str) -> tuple[SecretKey, SecretKey]:
    user, key = map(SecretKey, map(_environment, ("MYTRACKER_API_USER_ID", "MYTRACKER_SECRET_KEY")))
    return user, key


def _from_keyring(base_url: str) -> tuple[SecretKey, SecretKey]:
    try:
        import keyring

        user, key = json.loads(keyring.get_password(_KEYRING_NAME, base_url) or "")
        return SecretKey(user), SecretKey(key)
    except Exception:  # no keyring, an empty or a locked one, or one that fails in its own way
        return SecretKey(), SecretKey()


def save(credentials: Credentials) -> str:
    """Keep `credentials` in the system's keyring.

    Returns
    -------
    str
        The name of the keyring that has them, such as ``SecretService Keyring``.

    Raises
    ------
    CredentialsMissing
        If there is no keyring, it would write the key down unencrypted, or it does not keep it.
    """
    try:
        import keyring
    except ImportError:
        raise CredentialsMissing(
            "the key was not saved: install the keyring with pip install 'mytracker-nb[keyring]'"
        ) from None
    backend = _backend_for_keys(keyring.get_keyring())
    kept = SecretKey(json.dumps([credentials.api_user_id, credentials.secret_key]))
    try:
        backend.set_password(_KEYRING_NAME, credentials.base_url, kept)
    except Exception as error:
        # the error's own text may hold what was to be kept
        reason = f"the keyring ({backend.name}) refused it ({type(error).__name__})"
        raise CredentialsMissing(_NOT_SAVED.format(reason)) from None
    if _from_keyring(credentials.base_url)[1] != credentials.secret_key:
        reason = f"the keyring ({backend.name}) did not keep it"
        raise CredentialsMissing(_NOT_SAVED.format(reason))
    return str(backend.name)


def _backend_for_keys(configured: Any) -> Any:
    """The first keyring that can keep a key secret; a chain has several, others are one."""
    backends = getattr(configured, "backends", [configured])
    usable = [each for each in backends if type(each).__module__ not in _KEEP_NOTHING]
    if not usable:
        reason = "this machine has no keyring that works"
        raise CredentialsMissing(_NOT_SAVED.format(reason))
    for backend in usable:
        if not _is_readable(backend):
            return backend
    where = getattr(usable[0], "file_path", "")
    place = f" to {where}" if where else ""
    reason = f"the keyring ({usable[0].name}) would write it{place} unencrypted"
    raise CredentialsMissing(_NOT_SAVED.format(reason))


def _is_readable(backend: Any) -> bool:
    """Whether a keyring only encodes what it keeps, so that anyone who has its file can read it.

    Tried, not looked up: keyrings that write files of their own have an ``encrypt``.
    """
    backend = getattr(backend, "_keyring", backend)  # that which a wrapper wraps
    encrypt = getattr(getattr(backend, "crypter", backend), "encrypt", None)
    if encrypt is None:
        return "plaintext" in type(backend).__name__.lower()
    probe = secrets.token_hex(16).encode()
    try:
        made = encrypt(probe)
    except Exception:  # locked, or broken: that shows when it is to keep the key
        return False
    made = made.encode() if isinstance(made, str) else bytes(made)
    forms = (probe, base64.b64encode(probe).rstrip(b"="), probe.hex().encode())
    return any(form in made for form in forms)

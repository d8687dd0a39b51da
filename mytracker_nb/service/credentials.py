"""Finding and saving the API User ID and the secret key.

They are read, in this order, from arguments, a login in this process, the environment
(``MYTRACKER_API_USER_ID``, ``MYTRACKER_SECRET_KEY``, ``MYTRACKER_BASE_URL``) and the system's
keyring, if the package ``keyring`` is installed.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

from mytracker_nb.endpoints import SERVICE_URL, is_local
from mytracker_nb.errors import CredentialsMissing
from mytracker_nb.service.signing import SecretKey

__all__ = [
    "SERVICE_URL",
    "Credentials",
    "find",
    "find_without_keyring",
    "masked",
    "save",
    "service_in_use",
    "use",
]

_KEYRING_NAME = "mytracker-nb"
# the backends that the package keyring uses on a machine without a keyring; they store nothing
_NO_KEYRING = ("keyring.backends.fail", "keyring.backends.null")

_HELP = """\
  With an account: they are in your MyTracker profile, under API Credentials. Type %mytracker_login,
  or set MYTRACKER_API_USER_ID and MYTRACKER_SECRET_KEY before you start Jupyter.
  Without an account: type %mytracker_sandbox to try everything on made-up data."""

_NOT_SAVED = """\
the key was not saved: {}. You are logged in until the kernel ends. To save the key, set up a
keyring that encrypts (https://pypi.org/project/keyring), or set MYTRACKER_API_USER_ID and
MYTRACKER_SECRET_KEY before you start Jupyter"""


def masked(given: Any) -> Any:
    """`given` in a form that a traceback with values does not show.

    Any argument can be the key, if the user has mixed them up. Text becomes a `SecretKey`; a value
    that is neither text nor an integer is replaced by a meaningless object.
    """
    if given is None or isinstance(given, SupportsIndex):
        return given
    return SecretKey(given.strip()) if isinstance(given, str) else object()


@dataclass(frozen=True, init=False)
class Credentials:
    """An account of a service.

    Attributes
    ----------
    api_user_id : int
        The *API User ID*.
    secret_key : str
        The *Secret key*; a repr does not show it.
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
        """Whether the service is a sandbox: one on this machine."""
        return is_local(self.base_url)


def _secret_key(given: object) -> SecretKey:
    """The key from a `masked` argument."""
    if isinstance(given, SecretKey):
        return given
    raise CredentialsMissing(
        "the secret key must be text: copy it from your MyTracker profile, under API Credentials"
    )


def _user_id(given: object) -> int:
    """The API User ID from a `masked` argument."""
    digits = SecretKey(given)
    if digits.isascii() and digits.isdigit():
        return int(digits)
    # the text does not show the value, which may be the key
    raise CredentialsMissing(
        "the API User ID must be a number: copy it from your MyTracker profile, under API "
        "Credentials"
    )


def checked_url(base_url: str) -> str:
    """`base_url` without a trailing slash, if signed requests may be sent to it.

    Raises
    ------
    CredentialsMissing
        If it is not the address of a service, or neither https nor on this machine.
    """
    base_url = base_url.strip().rstrip("/")
    # no user info (a password would appear in logs), no path or query (signatures cover them)
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
    """Log in: use `credentials` in this process, in preference to those of the environment.

    Parameters
    ----------
    credentials : Credentials or None
        The account; None logs out.

    Returns
    -------
    Credentials or None
        The account used before.
    """
    global _in_use
    before, _in_use = _in_use, credentials
    return before


def find(
    api_user_id: int | None = None,
    secret_key: str | None = None,
    base_url: str | None = None,
) -> Credentials:
    """Find the credentials to use.

    Parameters
    ----------
    api_user_id, secret_key, base_url : optional
        The values that are known; the others are looked up.

    Returns
    -------
    Credentials
        The account and the service.

    Raises
    ------
    CredentialsMissing
        If they are found nowhere; the text says where to find them and how to try the sandbox.
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
    for look_up in (_from_environment, _from_keyring):
        if not (user and key):
            found_user, found_key = look_up(url)
            # not the key of another account
            if not (user and found_user and user != found_user):
                user, key = user or found_user, key or found_key
    if not (user and key):
        missing = [name for name, text in (("API User ID", user), ("secret key", key)) if not text]
        raise CredentialsMissing(f"no {' and no '.join(missing)} was found\n{_HELP}")
    return Credentials(_user_id(user), key, url)


def find_without_keyring() -> Credentials | None:
    """The credentials of a login or of the environment; None if there are none.

    The keyring is not read, as a locked one can take many seconds or ask for a password; `find`
    reads it when a key is needed.
    """
    if _in_use:
        return _in_use
    url = service_in_use()
    user, key = _from_environment(url)
    return Credentials(_user_id(user), key, url) if user and key else None


def service_in_use() -> str:
    """The address that requests go to, whoever signs them: of a login, or from the environment.

    Raises
    ------
    CredentialsMissing
        If ``MYTRACKER_BASE_URL`` is not the address of a service.
    """
    if _in_use:
        return _in_use.base_url
    return checked_url(_environment("MYTRACKER_BASE_URL") or SERVICE_URL)


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
    except Exception:  # no keyring, or it is empty, locked or fails with an error of its own
        return SecretKey(), SecretKey()


def save(credentials: Credentials) -> str:
    """Save `credentials` in the system's keyring.

    Returns
    -------
    str
        The name of the keyring, such as ``SecretService Keyring``.

    Raises
    ------
    CredentialsMissing
        If there is no keyring, it would store the key unencrypted, or it does not store it.
    """
    try:
        import keyring
    except ImportError:
        raise CredentialsMissing(
            "the key was not saved: install the keyring with pip install 'mytracker-nb[keyring]'"
        ) from None
    backend = _backend_for_keys(keyring.get_keyring())
    stored = SecretKey(json.dumps([credentials.api_user_id, credentials.secret_key]))
    try:
        backend.set_password(_KEYRING_NAME, credentials.base_url, stored)
    except Exception as error:
        # without the error's own text, which can contain the key
        reason = f"the keyring ({backend.name}) refused it ({type(error).__name__})"
        raise CredentialsMissing(_NOT_SAVED.format(reason)) from None
    if _from_keyring(credentials.base_url)[1] != credentials.secret_key:
        reason = f"the keyring ({backend.name}) did not store it"
        raise CredentialsMissing(_NOT_SAVED.format(reason))
    return str(backend.name)


def _backend_for_keys(configured: Any) -> Any:
    """The first keyring that encrypts; `configured` is one keyring or a chain of several."""
    backends = getattr(configured, "backends", [configured])
    usable = [each for each in backends if type(each).__module__ not in _NO_KEYRING]
    if not usable:
        reason = "this machine has no working keyring"
        raise CredentialsMissing(_NOT_SAVED.format(reason))
    for backend in usable:
        if not _is_readable(backend):
            return backend
    path = getattr(usable[0], "file_path", "")
    where = f" to {path}" if path else ""
    reason = f"the keyring ({usable[0].name}) would write it{where} unencrypted"
    raise CredentialsMissing(_NOT_SAVED.format(reason))


def _is_readable(backend: Any) -> bool:
    """Whether a keyring stores keys unencrypted, so that anyone with its file can read them.

    Keyrings that write files have an ``encrypt``, which is tried on a random text: the result must
    not contain the text, nor an encoding of it.
    """
    backend = getattr(backend, "_keyring", backend)  # unwrap a wrapper
    encrypt = getattr(getattr(backend, "crypter", backend), "encrypt", None)
    if encrypt is None:
        return "plaintext" in type(backend).__name__.lower()
    probe = secrets.token_hex(16).encode()
    try:
        encrypted = encrypt(probe)
    except Exception:  # it is locked or broken, which saving the key will show
        return False
    encrypted = encrypted.encode() if isinstance(encrypted, str) else bytes(encrypted)
    forms = (probe, base64.b64encode(probe).rstrip(b"="), probe.hex().encode())
    return any(form in encrypted for form in forms)

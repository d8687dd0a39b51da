"""Signing requests: the service's AuthHMAC scheme.

Source: page ``authentication`` of the service's documentation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

from requests import PreparedRequest
from requests.auth import AuthBase

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AuthHMAC", "KeyHolder", "SecretKey", "signature"]


class SecretKey(str):
    """A secret key: text that its repr, tracebacks with values and pickles do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        raise TypeError("a secret key can't be pickled; send a signed header instead")


class KeyHolder:
    """An object with a secret key: it can be copied within its process, but not be pickled."""

    _is_called = "an object with a secret key"
    _instead = ""  # how to give its data to another process

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"{self._is_called} can't be pickled: the secret key does not leave its process. "
            f"{self._instead}"
        )

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        vars(copied).update(vars(self))
        return copied

    def __deepcopy__(self, memo: object) -> Self:
        # copies share connections and locks
        return self.__copy__()


def signature(method: str, url: str, body: bytes, secret_key: SecretKey) -> str:
    """Sign one HTTP request.

    Parameters
    ----------
    method : str
        The HTTP method, in capitals.
    url : str
        The full URL exactly as it is sent: scheme, host, path and query. A fragment is not sent, so
        it is not signed.
    body : bytes
        The body exactly as it is sent; empty without one.
    secret_key : SecretKey
        The account's secret key.

    Returns
    -------
    str
        base64(HMAC-SHA1(``METHOD&quoted URL&quoted body``, key)).
    """
    sent = url.partition("#")[0]
    baseline = "&".join([method, quote(sent, safe="~"), quote(body, safe="~")])
    try:
        digest = hmac.new(secret_key.encode(), baseline.encode(), hashlib.sha1).digest()
    except BaseException as error:
        # the frames below have the key in their variables, which a verbose traceback would show
        raise error.with_traceback(None) from None
    return base64.b64encode(digest).decode()


class AuthHMAC(AuthBase):
    """Signs requests: the exact bytes that are sent.

    Parameters
    ----------
    api_user_id : int
        The *API User ID* of the account's profile.
    secret_key : str
        The *Secret key* beside it. A repr does not show it, and it can't be pickled.

    Notes
    -----
    A signature has no time and does not expire, so a signed header for one link can be sent to
    another machine instead of the key (`header`).
    """

    def __init__(self, api_user_id: int, secret_key: str) -> None:
        self.api_user_id = api_user_id
        self._secret_key = SecretKey(secret_key)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign `request`, whose body must be text or bytes."""
        body = request.body or b""
        if isinstance(body, str):
            request.body = body = body.encode()  # send the same bytes that are signed
        if not isinstance(body, bytes):
            raise TypeError("a body that is a stream can't be signed")
        request.headers["Authorization"] = self._authorization(
            request.method or "GET", request.url or "", body
        )
        return request

    def header(self, url: str) -> dict[str, str]:
        """The signed header of a GET of `url`, which must be the URL as it will be sent."""
        return {"Authorization": self._authorization("GET", url, b"")}

    def _authorization(self, method: str, url: str, body: bytes) -> str:
        signed = signature(method, url, body, self._secret_key)
        return f"AuthHMAC {self.api_user_id}:{signed}"

    def __eq__(self, other: object) -> bool:
        # requests compares auth objects; this needs no access to the key from outside
        return (
            isinstance(other, AuthHMAC)
            and self.api_user_id == other.api_user_id
            and hmac.compare_digest(self._secret_key.encode(), other._secret_key.encode())
        )

    def __hash__(self) -> int:
        return hash((type(self), self.api_user_id))

    def __repr__(self) -> str:
        return f"AuthHMAC(api_user_id={self.api_user_id}, secret_key='***')"

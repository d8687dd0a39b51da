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
    """A secret key: text that neither a repr (a traceback with values, say) nor a pickle shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __reduce_ex__(self, protocol: object) -> tuple[object, ...]:
        raise TypeError("a secret key is not pickled; send a signed header in its place")


class KeyHolder:
    """What holds a key, and so stays in its process: copied there, but never pickled."""

    _is_called = "what holds a secret key"
    _instead = ""  # what another process can be given

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
        # connections and locks are shared
        return self.__copy__()


def signature(method: str, url: str, body: bytes, secret_key: SecretKey) -> str:
    """Sign one HTTP request.

    Parameters
    ----------
    method : str
        The HTTP method, in capitals.
    url : str
        The full URL exactly as it is sent: scheme, host, path and query. A fragment is never sent,
        and not signed.
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
        # the frames below hold the key itself, and a verbose traceback would show it
        raise error.with_traceback(None) from None
    return base64.b64encode(digest).decode()


class AuthHMAC(AuthBase):
    """Signs each request over exactly the bytes that are sent.

    Parameters
    ----------
    api_user_id : int
        The *API User ID* of the account's profile.
    secret_key : str
        The *Secret key* beside it. It is in no repr and in no pickle.

    Notes
    -----
    A signature covers no time: a signed header for one link may be handed to another machine in
    place of the key (`header`).
    """

    def __init__(self, api_user_id: int, secret_key: str) -> None:
        self.api_user_id = api_user_id
        self._secret_key = SecretKey(secret_key)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign `request`, whose body must be text or bytes."""
        body = request.body or b""
        if isinstance(body, str):
            request.body = body = body.encode()  # text would be encoded anew when it is sent
        if not isinstance(body, bytes):
            raise TypeError("a body that is a stream cannot be signed")
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
        # requests compares auth objects; the key itself is never handed out for it
        return (
            isinstance(other, AuthHMAC)
            and self.api_user_id == other.api_user_id
            and hmac.compare_digest(self._secret_key.encode(), other._secret_key.encode())
        )

    def __hash__(self) -> int:
        return hash((type(self), self.api_user_id))

    def __repr__(self) -> str:
        return f"AuthHMAC(api_user_id={self.api_user_id}, secret_key='***')"

"""Verification of signatures. Source: page ``authentication``."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import quote

__all__ = ["is_signed"]


def is_signed(
    header: str | None, *, method: str, url: bytes, body: bytes, api_user_id: int, secret_key: str
) -> bool:
    """Whether `header` is the right ``Authorization`` header of a request.

    Parameters
    ----------
    header : str or None
        The header of the request.
    method : str
        The HTTP method.
    url, body : bytes
        The full URL and the body, exactly as they were sent.
    api_user_id : int
        The API User ID of the account.
    secret_key : str
        The secret key of the account.
    """
    baseline = "&".join([method, quote(url, safe="~"), quote(body, safe="~")])
    digest = hmac.new(secret_key.encode(), baseline.encode(), hashlib.sha1).digest()
    expected = f"AuthHMAC {api_user_id}:{base64.b64encode(digest).decode()}"
    return hmac.compare_digest(expected.encode(), (header or "").encode("utf-8", "replace"))

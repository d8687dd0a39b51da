"""Signatures over exactly the bytes that are sent; the key is never shown."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import io
import pickle
import traceback
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from raw_client import Signed

from mytracker_nb.service.signing import AuthHMAC, SecretKey, signature

USER, KEY = 77658, "72d2erEtbynf6f7ZYTsYKnb7"
URL = "https://tracker.my.com/api/raw/v1/export/get.json?idReport=4"
DOCUMENTED = "AuthHMAC 77658:PqrQR8zsgQU9Qcocjp6T6hnjF8Y="
AUTH = AuthHMAC(USER, KEY)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def independent(method: str, url: str, body: bytes, key: str) -> str:
    """The documented signature, with an encoder of its own."""

    def encoded(data: bytes) -> bytes:
        unreserved = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"
        return b"".join(bytes([c]) if c in unreserved else b"%%%02X" % c for c in data)

    baseline = method.encode() + b"&" + encoded(url.encode()) + b"&" + encoded(body)
    return base64.b64encode(hmac.new(key.encode(), baseline, hashlib.sha1).digest()).decode()


def test_the_documented_vector() -> None:
    assert AUTH.header(URL) == {"Authorization": DOCUMENTED}
    request = requests.Request("GET", URL, auth=AUTH).prepare()
    assert request.headers["Authorization"] == DOCUMENTED
    assert f"AuthHMAC {USER}:{independent('GET', URL, b'', KEY)}" == DOCUMENTED


@given(
    st.sampled_from(["GET", "POST", "get"]),
    ANY_TEXT,
    st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=3),
    st.none() | ANY_TEXT | st.binary(max_size=20) | st.lists(st.tuples(ANY_TEXT, ANY_TEXT)),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
)
def test_the_signature_is_that_of_the_bytes_sent(
    method: str, path: str, query: list[tuple[str, str]], body: Any, key: str
) -> None:
    request = requests.Request(
        method,
        "https://tracker.my.com/api/" + path.lstrip("/"),
        params=query,
        data=body,
        auth=AuthHMAC(USER, key),
    ).prepare()
    sent = request.body or b""
    assert isinstance(sent, bytes)
    assert request.url is not None
    assert request.headers["Content-Length" if sent else "Authorization"]
    signed = independent(method.upper(), request.url.split("#")[0], sent, key)
    assert request.headers["Authorization"] == f"AuthHMAC {USER}:{signed}"


def test_a_text_body_is_sent_as_it_was_signed() -> None:
    request = requests.Request("POST", URL, data="Покупка", auth=AUTH).prepare()
    assert request.body == "Покупка".encode()
    assert request.headers["Content-Length"] == "14"


def test_a_fragment_is_not_signed_as_it_is_not_sent() -> None:
    assert AUTH.header(f"{URL}#top") == AUTH.header(URL)


def test_all_other_characters_are_encoded() -> None:
    every = "".join(map(chr, range(32, 127)))
    assert signature("GET", f"https://x/?{every[:3]}", every.encode(), SecretKey(KEY)) == (
        independent("GET", f"https://x/?{every[:3]}", every.encode(), KEY)
    )


def test_a_stream_cannot_be_signed() -> None:
    with pytest.raises(TypeError, match="stream"):
        requests.Request("POST", URL, data=io.BytesIO(b"x"), auth=AUTH).prepare()


@pytest.mark.parametrize("style", ["query", "body"])
def test_a_real_server_accepts_it(sandbox: Any, style: str) -> None:
    auth = AuthHMAC(sandbox.api_user_id, sandbox.secret_key)
    fields = {
        "event": "customEvents",
        "selectors": "idDevice",
        "dateFrom": "2024-11-01",
        "dateTo": "2024-11-01",
        "eventName[]": ["Покупка, 100 %", "~a*b c+d/'é🎉"],
    }
    sent = {"params": fields} if style == "query" else {"data": fields}
    url = f"{sandbox.base_url}/api/raw/v1/export/create.json"
    answer = requests.post(url, auth=auth, timeout=20, **sent)
    assert answer.status_code == 200, answer.text
    wrong = AuthHMAC(sandbox.api_user_id, "wrong")
    assert requests.post(url, auth=wrong, timeout=20, **sent).status_code == 403
    theirs = Signed(sandbox.api_user_id, sandbox.secret_key)
    assert requests.post(url, auth=theirs, timeout=20, **sent).status_code == 200


# ---- the key does not show


def test_no_repr_has_the_key() -> None:
    for thing in (AUTH, SecretKey(KEY), [SecretKey(KEY)], {"key": SecretKey(KEY)}, vars(AUTH)):
        assert KEY not in repr(thing)
        assert "***" in repr(thing)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_has_the_key(protocol: int) -> None:
    for thing in (SecretKey(KEY), AUTH, [AUTH]):
        with pytest.raises(TypeError, match="be pickled") as caught:
            pickle.dumps(thing, protocol)
        assert KEY not in str(caught.value)


def test_no_traceback_with_values_has_the_key() -> None:
    try:
        AUTH(requests.Request("POST", URL, data=io.BytesIO(b"x")).prepare())
    except TypeError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert KEY not in "".join(shown.format())
        assert "secret_key='***'" in "".join(shown.format())


def test_auth_objects_are_compared_without_showing_the_key() -> None:
    assert AuthHMAC(USER, KEY) == AUTH
    assert hash(AuthHMAC(USER, KEY)) == hash(AUTH)
    assert AuthHMAC(USER, "other") != AUTH
    assert AuthHMAC(1, KEY) != AUTH
    assert AUTH != "AuthHMAC"
    assert copy.copy(AUTH) == AUTH


def test_a_masked_key_is_still_a_str() -> None:
    assert SecretKey(KEY) == KEY
    assert str(SecretKey(KEY)) == KEY
    assert not SecretKey()

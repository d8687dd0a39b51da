from __future__ import annotations

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_client import INSTALLS, RAW, Signed, create, created, data, get, links, send

from mytracker_nb.sandbox.signature import is_signed


def test_the_documented_vector_holds():
    facts = {
        "method": "GET",
        "url": b"https://tracker.my.com/api/raw/v1/export/get.json?idReport=4",
        "body": b"",
        "api_user_id": 77658,
        "secret_key": "72d2erEtbynf6f7ZYTsYKnb7",
    }
    assert is_signed("AuthHMAC 77658:PqrQR8zsgQU9Qcocjp6T6hnjF8Y=", **facts)
    assert not is_signed("AuthHMAC 77659:PqrQR8zsgQU9Qcocjp6T6hnjF8Y=", **facts)
    assert not is_signed("AuthHMAC 77658:PqrQR8zsgQU9Qcocjp6T6hnjF8Z=", **facts)
    assert not is_signed(None, **facts)
    for name, value in (("method", "POST"), ("url", facts["url"] + b"2"), ("body", b"a=1")):
        assert not is_signed(
            "AuthHMAC 77658:PqrQR8zsgQU9Qcocjp6T6hnjF8Y=", **{**facts, name: value}
        )


@pytest.mark.parametrize("auth", [None, Signed(77658, "wrong"), Signed(1, "wrong")])
@pytest.mark.parametrize("path", ["create.json", "get.json?idRawExport=1", "cancel.json"])
def test_without_the_right_signature_access_is_denied(sandbox, auth, path):
    method = "POST" if path == "create.json" else "GET"
    answer = requests.request(method, f"{sandbox.base_url}{RAW}/{path}", auth=auth, timeout=20)
    assert answer.status_code == 403
    assert answer.json() == {"code": 403, "message": "Access denied", "data": None}


def test_a_signature_is_of_one_body_only(sandbox):
    url = f"{sandbox.base_url}{RAW}/create.json"
    auth = Signed(sandbox.api_user_id, sandbox.secret_key)
    signed = requests.Request("POST", url, data=INSTALLS, auth=auth).prepare()
    signed.body = signed.body.replace("installs", "sessions")
    assert requests.Session().send(signed, timeout=20).status_code == 403


def test_parameters_may_be_in_the_query_or_in_the_body(sandbox):
    in_query = send(sandbox, "POST", f"{RAW}/create.json", params=INSTALLS)
    in_body = create(sandbox)
    split = send(
        sandbox,
        "POST",
        f"{RAW}/create.json?event=installs",
        data={name: value for name, value in INSTALLS.items() if name != "event"},
    )
    texts = [
        sandbox.served(answer.json()["data"]["idRawExport"])
        for answer in (in_query, in_body, split)
    ]
    assert texts[0] == texts[1] == texts[2]


@settings(max_examples=25, deadline=None)
@given(name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_any_text_can_be_signed_and_sent(sandbox, name):
    fields = {**INSTALLS, "event": "customEvents", "eventName[]": name}
    for where in ("params", "data"):
        answer = send(sandbox, "POST", f"{RAW}/create.json", **{where: fields})
        number = int(answer.json()["data"]["idRawExport"])
        assert sandbox.exports[number].query.filters["eventName"] == {name}


def test_the_host_that_the_client_used_is_the_one_signed(sandbox):
    url = sandbox.base_url.replace("127.0.0.1", "localhost")
    answer = send(sandbox, "GET", f"{url}{RAW}/get.json?idRawExport=1")
    assert answer.status_code in (200, 404)


def test_files_need_a_signature(sandbox):
    link = links(sandbox, created(sandbox))[0]
    assert requests.get(link, timeout=20).status_code == 403
    assert send(sandbox, "GET", link).status_code == 200


def test_files_without_a_signature_where_that_is_allowed(start_sandbox):
    sandbox = start_sandbox(signed_downloads=False)
    link = links(sandbox, created(sandbox))[0]
    assert requests.get(link, timeout=20).status_code == 200
    assert requests.get(f"{link}?auth=1", timeout=20).status_code == 403
    assert send(sandbox, "GET", f"{link}?auth=1").status_code == 200


def test_everything_says_that_it_is_a_sandbox(sandbox):
    number = created(sandbox)
    for answer in (get(sandbox, number), send(sandbox, "GET", links(sandbox, number)[0])):
        assert answer.headers["X-MyTracker-Sandbox"] == "1"
    assert sandbox.secret_key not in repr(sandbox)
    assert set(data(sandbox, number)) == {"status", "files"}

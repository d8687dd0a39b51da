"""Where the keys come from, and where they must not be sent."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any

import keyring
import pytest
from conftest import MemoryKeyring
from hypothesis import given
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.backends import fail, null

import mytracker_nb as mt
from mytracker_nb.endpoints import is_local
from mytracker_nb.service import credentials
from mytracker_nb.service.credentials import SERVICE_URL, Credentials, checked_url, find

KEY = "72d2erEtbynf6f7ZYTsYKnb7"
LOCAL = "http://127.0.0.1:8123"


@pytest.fixture(autouse=True)
def _nothing_known(no_account: Any) -> None:
    """No credentials in any place."""


@pytest.fixture
def set_env(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_all(user: str = "", key: str = "", url: str = "") -> None:
        monkeypatch.setenv("MYTRACKER_API_USER_ID", user)
        monkeypatch.setenv("MYTRACKER_SECRET_KEY", key)
        monkeypatch.setenv("MYTRACKER_BASE_URL", url)

    return set_all


def known(*given: Any, **more: Any) -> tuple[int, str, str]:
    found = find(*given, **more)
    return found.api_user_id, str(found.secret_key), found.base_url


# ---- the places and their order


def test_arguments_come_first(set_env: Callable[..., None]) -> None:
    set_env("1", "env", LOCAL)
    credentials.use(Credentials(2, "login"))
    credentials.save(Credentials(3, "saved"))
    assert known(4, "given", "https://example.com") == (4, "given", "https://example.com")
    assert known(4, "given") == (4, "given", LOCAL)


def test_then_the_login(set_env: Callable[..., None]) -> None:
    set_env("1", "env", LOCAL)
    credentials.use(Credentials(2, "login"))
    assert known() == (2, "login", SERVICE_URL)
    assert known(2) == (2, "login", SERVICE_URL)
    assert known(base_url=f"{SERVICE_URL}/") == (2, "login", SERVICE_URL)
    assert known(base_url=LOCAL) == (1, "env", LOCAL)
    credentials.use(None)
    assert known() == (1, "env", LOCAL)


def test_then_the_environment(set_env: Callable[..., None]) -> None:
    credentials.save(Credentials(3, "saved"))
    set_env("1", "env")
    assert known() == (1, "env", SERVICE_URL)


def test_then_the_keyring_of_that_service() -> None:
    credentials.save(Credentials(3, "saved"))
    credentials.save(Credentials(4, "local", LOCAL))
    assert known() == (3, "saved", SERVICE_URL)
    assert known(base_url=LOCAL) == (4, "local", LOCAL)


def test_a_missing_half_comes_from_the_next_source(set_env: Callable[..., None]) -> None:
    set_env("1", "")
    assert known(secret_key="given") == (1, "given", SERVICE_URL)
    set_env("", "env")
    assert known(5) == (5, "env", SERVICE_URL)
    credentials.save(Credentials(3, "saved"))
    assert known() == (3, "env", SERVICE_URL)
    set_env("3", "")
    assert known() == (3, "saved", SERVICE_URL)
    set_env()
    assert known(secret_key="given") == (3, "given", SERVICE_URL)


def test_the_key_of_another_account_is_not_used(set_env: Callable[..., None]) -> None:
    credentials.save(Credentials(3, "saved"))
    credentials.use(Credentials(2, "login"))
    set_env("1", "env")
    with pytest.raises(mt.CredentialsMissing, match="secret key"):
        find(9)
    assert known(3) == (3, "saved", SERVICE_URL)


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_blank_variables_count_as_not_set(set_env: Callable[..., None], blank: str) -> None:
    set_env(blank, blank, blank)
    with pytest.raises(mt.CredentialsMissing, match="no API User ID and no secret key"):
        find()
    assert known(1, "given") == (1, "given", SERVICE_URL)
    credentials.save(Credentials(3, "saved"))
    assert known() == (3, "saved", SERVICE_URL)


def test_spaces_around_are_dropped(set_env: Callable[..., None]) -> None:
    set_env(" 77658\n", f"\t{KEY} \n", f" {LOCAL}/ ")
    assert known() == (77658, KEY, LOCAL)


# ---- missing credentials are reported


def test_missing_credentials_are_reported_with_the_next_steps(
    set_env: Callable[..., None],
) -> None:
    with pytest.raises(mt.CredentialsMissing) as caught:
        find()
    for text in (
        *["API Credentials", "%mytracker_login", "%mytracker_sandbox"],
        *["MYTRACKER_API_USER_ID", "MYTRACKER_SECRET_KEY"],
    ):
        assert text in str(caught.value)
    set_env("1")
    with pytest.raises(mt.CredentialsMissing, match=r"^no secret key was found"):
        find()
    set_env("", KEY)
    with pytest.raises(mt.CredentialsMissing, match=r"^no API User ID was found") as caught:
        find()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("user", ["abc", "-5", "1.5", "٣", "1 2", KEY, True, None, [1], 1.0])
def test_an_api_user_id_is_a_number(user: Any) -> None:
    with pytest.raises(mt.CredentialsMissing, match="API User ID must be a number") as caught:
        Credentials(user, "some key")
    assert str(user) not in str(caught.value) or user is None  # it may be the key


@pytest.mark.parametrize("key", [KEY.encode(), 5, [KEY], None])
def test_a_key_is_text(key: Any, set_env: Callable[..., None]) -> None:
    with pytest.raises(mt.CredentialsMissing, match="secret key must be text"):
        Credentials(1, key)
    set_env("1", KEY)
    if key is not None:
        with pytest.raises(mt.CredentialsMissing, match="secret key must be text"):
            mt.Client(1, key)


@pytest.mark.parametrize("key", ["", " "])
def test_an_empty_key_is_missing(key: str) -> None:
    with pytest.raises(mt.CredentialsMissing, match="empty"):
        Credentials(1, key)


# ---- addresses


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://tracker.my.com", "https://tracker.my.com"),
        (" https://tracker.my.com/ ", "https://tracker.my.com"),
        ("HTTPS://Tracker.My.Com:443", "https://tracker.my.com:443"),
        ("https://10.0.0.1:8443", "https://10.0.0.1:8443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("http://localhost:5000/", "http://localhost:5000"),
        ("http://[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_addresses_that_signed_requests_may_go_to(url: str, checked: str) -> None:
    assert checked_url(url) == checked
    assert Credentials(1, KEY, url).base_url == checked


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tracker.my.com",
        "http://tracker.my.com",
        "http://127.0.0.1.evil.com",
        "http://localhost.evil.com",
        "http://localhost@evil.com",
        "https://user@tracker.my.com",
        "https://user:password@tracker.my.com",
        "https://:password@tracker.my.com",
        "https://tracker.my.com\\@evil.com",
        "https://tracker.my.com/api",
        "https://tracker.my.com?x=1",
        "https://tracker.my.com#x",
        "https://tracker.my.com:port",
        "https://tracker.my.com\n.evil.com",
        "https://tracker my com",
        "https://",
        "https://[::1",
        "http://[::1",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
    ],
)
def test_addresses_that_they_may_not_go_to(url: str, set_env: Callable[..., None]) -> None:
    with pytest.raises(mt.CredentialsMissing, match="https") as caught:
        Credentials(1, KEY, url)
    assert "password" not in str(caught.value)
    if url:
        set_env("1", KEY, url)
        with pytest.raises(mt.CredentialsMissing, match="MYTRACKER_BASE_URL"):
            find()


@given(st.text() | st.text().map("https://{}".format) | st.text().map("http://[{}".format))
def test_no_address_raises_anything_else(url: str) -> None:
    assert is_local(url) in (True, False)
    with contextlib.suppress(mt.CredentialsMissing):
        assert checked_url(url).startswith(("https://", "http://"))


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:5000", True),
        ("http://localhost", True),
        ("https://[::1]:1", True),
        (" http://127.0.0.1 ", True),
        ("https://tracker.my.com", False),
        ("http://127.0.0.1.evil.com", False),
        ("http://127.0.0.1@evil.com", False),
        ("https://evil.com/127.0.0.1", False),
        ("", False),
    ],
)
def test_a_local_service_is_a_sandbox(url: str, local: bool) -> None:
    assert is_local(url) is local
    if local:
        assert Credentials(1, KEY, url).is_sandbox
    assert not Credentials(1, KEY).is_sandbox


def test_the_service_is_found_without_an_account(set_env: Callable[..., None]) -> None:
    assert credentials.service_in_use() == SERVICE_URL
    set_env(url=f"{LOCAL}/")
    assert credentials.service_in_use() == LOCAL
    credentials.use(Credentials(2, "login"))
    assert credentials.service_in_use() == SERVICE_URL


# ---- the keyring


class Failing(KeyringBackend):
    """A keyring that is locked, and indiscreet about it."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("locked")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(f"cannot keep {password}")


class Forgetful(KeyringBackend):
    """A keyring that keeps nothing and does not say so, as the null backend."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        pass


def test_a_failing_keyring_is_an_empty_one() -> None:
    keyring.set_keyring(Failing())
    with pytest.raises(mt.CredentialsMissing, match="no API User ID"):
        find()
    assert known(1, "given") == (1, "given", SERVICE_URL)


@pytest.mark.parametrize("stored", ["", "no json", "[]", "[1]", '{"a": 1}', "null"])
def test_other_content_of_the_keyring_is_ignored(stored: str) -> None:
    keyring.set_password("mytracker-nb", SERVICE_URL, stored)
    with pytest.raises(mt.CredentialsMissing):
        find()


@pytest.mark.parametrize("backend", [Failing, Forgetful])
def test_a_key_that_was_not_saved_is_reported_without_the_key(
    backend: type[KeyringBackend],
) -> None:
    keyring.set_keyring(backend())
    with pytest.raises(mt.CredentialsMissing, match="not saved") as caught:
        credentials.save(Credentials(1, KEY))
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


class Encoding(MemoryKeyring):
    """A keyring that writes a file of its own, encoded."""

    priority = 0.5
    file_path = "/somewhere/keyring_pass.cfg"

    def __init__(self, encode: Callable[[bytes], bytes | str]) -> None:
        super().__init__()
        self.encode = encode

    def encrypt(self, password: bytes, assoc: bytes | None = None) -> bytes | str:
        return self.encode(password)


class PlaintextKeyring(MemoryKeyring):
    """One that says by its name what it does."""


class Chain(KeyringBackend):
    """Several keyrings, as keyring's own chainer has them."""

    priority = 10

    def __init__(self, *backends: KeyringBackend) -> None:
        super().__init__()
        self.backends = backends

    def get_password(self, service: str, username: str) -> str | None:
        found = (backend.get_password(service, username) for backend in self.backends)
        return next((text for text in found if text), None)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.backends[0].set_password(service, username, password)


def _scrambled(text: bytes) -> bytes:
    return bytes(byte ^ 0x5A for byte in text)


OPEN = [
    Encoding(lambda text: text),
    Encoding(lambda text: text.decode()),
    Encoding(base64.b64encode),
    Encoding(lambda text: b"1:" + text.hex().encode()),
    PlaintextKeyring(),
]


@pytest.mark.parametrize("backend", [*OPEN, Chain(*OPEN), Chain(null.Keyring(), *OPEN)])
def test_a_keyring_that_only_encodes_is_refused(backend: KeyringBackend) -> None:
    keyring.set_keyring(backend)
    with pytest.raises(mt.CredentialsMissing, match="unencrypted") as caught:
        credentials.save(Credentials(1, KEY))
    shown = getattr(backend, "file_path", backend.name)
    assert shown in str(caught.value) or isinstance(backend, Chain)
    assert not any(isinstance(each, MemoryKeyring) and each.saved for each in [backend, *OPEN])


@pytest.mark.parametrize(
    "backend", [fail.Keyring(), null.Keyring(), Chain(null.Keyring()), Chain()]
)
def test_a_missing_keyring_is_reported(backend: KeyringBackend) -> None:
    keyring.set_keyring(backend)
    with pytest.raises(mt.CredentialsMissing, match="no working keyring"):
        credentials.save(Credentials(1, KEY))


def test_the_keyring_of_a_chain_that_encrypts_is_used_and_named() -> None:
    encrypting, readable = Encoding(_scrambled), PlaintextKeyring()
    keyring.set_keyring(Chain(readable, encrypting))
    assert credentials.save(Credentials(1, KEY)) == encrypting.name
    assert len(encrypting.saved) == 1
    assert not readable.saved
    assert find().secret_key == KEY


def test_without_the_keyring_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(mt.CredentialsMissing, match=r"mytracker-nb\[keyring\]"):
        credentials.save(Credentials(1, KEY))
    with pytest.raises(mt.CredentialsMissing, match="no API User ID"):
        find()


# ---- the key does not show


def test_no_repr_or_pickle_has_the_key() -> None:
    account = Credentials(1, KEY)
    assert repr(account) == f"Credentials(api_user_id=1, base_url='{SERVICE_URL}')"
    assert KEY not in repr(vars(account))
    with pytest.raises(TypeError, match="be pickled"):
        pickle.dumps(account)
    with pytest.raises(TypeError, match="be pickled"):
        dataclasses.asdict(account)


@pytest.mark.parametrize("open_account", [find, mt.Client, Credentials])
@pytest.mark.parametrize(
    "given",
    [
        ("abc", KEY, SERVICE_URL),
        (1, KEY, "http://evil.com"),
        (1, KEY, "https://[::1"),
        (KEY, "1", SERVICE_URL),
        (KEY.encode(), "1", SERVICE_URL),
        (1, KEY.encode(), SERVICE_URL),
        (1, [KEY], SERVICE_URL),
    ],
    ids=str,
)
def test_no_traceback_with_values_has_the_key(
    open_account: Callable[..., Any], given: tuple[Any, ...]
) -> None:
    with pytest.raises(mt.CredentialsMissing) as caught:
        open_account(*given)
    assert not shows_the_key(caught.value)


def test_no_traceback_with_values_has_the_key_of_the_environment(
    set_env: Callable[..., None],
) -> None:
    set_env(KEY, "1")
    with pytest.raises(mt.CredentialsMissing, match="must be a number") as caught:
        mt.Client()
    assert not shows_the_key(caught.value)


def shows_the_key(error: BaseException) -> bool:
    """Whether the error's text or a value in our own frames has the key."""
    frames = traceback.walk_tb(error.__traceback__)
    inside = [frame for frame, _ in frames if "mytracker_nb" in frame.f_code.co_filename]
    assert inside
    values = [value for frame in inside for value in frame.f_locals.values()]
    return any(KEY in text for text in [str(error), *map(shown, values)])


def shown(value: object) -> str:
    try:
        return repr(value)
    except AttributeError:  # of what is half made
        return ""


def test_credentials_are_values() -> None:
    assert Credentials(1, KEY) == Credentials("1", f" {KEY} ", f"{SERVICE_URL}/")  # type: ignore[arg-type]
    assert Credentials(1, KEY) != Credentials(1, "other")
    with pytest.raises(dataclasses.FrozenInstanceError):
        Credentials(1, KEY).secret_key = "x"  # type: ignore[misc]

"""Logging in from a notebook, over the sandbox."""

from __future__ import annotations

import builtins
import getpass
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keyring
import pytest
from IPython.core.error import StdinNotImplementedError, UsageError
from keyring.backends import fail

import mytracker_nb as mt
from mytracker_nb.magics import account_magics
from mytracker_nb.service import credentials

if TYPE_CHECKING:
    from conftest import MemoryKeyring
    from IPython.core.interactiveshell import InteractiveShell
    from jupyter_client.blocking.client import BlockingKernelClient

    from mytracker_nb.sandbox.server import Sandbox

Answers = Callable[..., list[str]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Answers for what is asked; gives the questions."""

    def set_answers(user: object = "", key: object = "") -> list[str]:
        asked: list[str] = []

        def answer(kind: str, text: object) -> Callable[[str], str]:
            def ask(prompt: str = "") -> str:
                asked.append(kind)
                if isinstance(text, BaseException):
                    raise text
                return str(text)

            return ask

        monkeypatch.setattr(builtins, "input", answer("user", user))
        monkeypatch.setattr(getpass, "getpass", answer("key", key))
        return asked

    return set_answers


@pytest.fixture(autouse=True)
def at_the_sandbox(
    shell: InteractiveShell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYTRACKER_BASE_URL", sandbox.base_url)


def test_the_key_is_prompted_for_and_checked(
    shell: InteractiveShell,
    sandbox: Sandbox,
    answers: Answers,
    capsys: pytest.CaptureFixture[str],
    no_account: MemoryKeyring,
) -> None:
    asked = answers(sandbox.api_user_id, f" {sandbox.secret_key}\n")
    shell.run_cell("%mytracker_login").raise_error()
    assert asked == ["user", "key"]
    shown = capsys.readouterr().out
    assert f"API User ID {sandbox.api_user_id} at {sandbox.base_url}" in shown
    assert sandbox.secret_key not in shown
    mt.Client().quotas()
    assert no_account.saved == {}


def test_the_id_may_be_given(shell: InteractiveShell, sandbox: Sandbox, answers: Answers) -> None:
    asked = answers(key=sandbox.secret_key)
    shell.run_cell(f"%mytracker_login {sandbox.api_user_id}").raise_error()
    assert asked == ["key"]
    assert credentials.find().api_user_id == sandbox.api_user_id


def test_the_service_may_be_given(
    shell: InteractiveShell,
    sandbox: Sandbox,
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MYTRACKER_BASE_URL")
    answers(key=sandbox.secret_key)
    code = f"%mytracker_login {sandbox.api_user_id} --base-url {sandbox.base_url}"
    shell.run_cell(code).raise_error()
    assert credentials.find().base_url == sandbox.base_url


def test_a_login_replaces_a_sandbox_of_the_environment(
    shell: InteractiveShell,
    sandbox: Sandbox,
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MYTRACKER_API_USER_ID", str(sandbox.api_user_id))
    monkeypatch.setenv("MYTRACKER_SECRET_KEY", sandbox.secret_key)
    with mt.sandbox.start(api_user_id=5, seconds=0) as service:
        monkeypatch.setattr(account_magics, "SERVICE_URL", service.base_url)
        answers(key=service.secret_key)
        shell.run_cell("%mytracker_login 5").raise_error()
        assert credentials.find().base_url == service.base_url


def test_saved_keys_are_found_again(
    shell: InteractiveShell,
    sandbox: Sandbox,
    answers: Answers,
    no_account: MemoryKeyring,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers(sandbox.api_user_id, sandbox.secret_key)
    shell.run_cell("%mytracker_login --save").raise_error()
    assert len(no_account.saved) == 1
    assert (
        "Saved in the keyring of this machine (conftest MemoryKeyring)" in capsys.readouterr().out
    )
    credentials.use(None)
    assert credentials.find().secret_key == sandbox.secret_key


def test_without_a_keyring_it_is_still_a_login(
    shell: InteractiveShell, sandbox: Sandbox, answers: Answers, no_account: MemoryKeyring
) -> None:
    keyring.set_keyring(fail.Keyring())
    answers(sandbox.api_user_id, sandbox.secret_key)
    error = shell.run_cell("%mytracker_login --save").error_in_exec
    assert isinstance(error, mt.CredentialsMissing)
    assert "not saved: this machine has no working keyring" in str(error)
    assert credentials.find().api_user_id == sandbox.api_user_id


def test_a_wrong_key_is_not_saved(
    shell: InteractiveShell,
    sandbox: Sandbox,
    answers: Answers,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers(sandbox.api_user_id, "wrong-key-of-mine")
    result = shell.run_cell("%mytracker_login --save")
    assert isinstance(result.error_in_exec, mt.AccessDenied)
    assert "wrong-key-of-mine" not in capsys.readouterr().out
    with pytest.raises(mt.CredentialsMissing):
        credentials.find()


@pytest.mark.parametrize(
    "words", ["77658 {}", "77658 --save {}", "--save={}", "77658 --key={}", "77658 --key {}"]
)
def test_a_key_in_the_cell_is_refused_and_not_repeated(
    shell: InteractiveShell, answers: Answers, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    asked = answers()
    error = shell.run_cell(f"%mytracker_login {words.format('typed-key')}").error_in_exec
    assert isinstance(error, UsageError)
    assert "asks for\nthe secret key" in str(error)
    assert "typed-key" not in "".join(capsys.readouterr())
    assert asked == []


@pytest.mark.parametrize(
    ("user", "key", "text"),
    [
        ("", "", "no input"),
        (77658, "", "no input"),
        ("me@example.com", "key", "must be a number"),
        (77658, StdinNotImplementedError("no input here"), "MYTRACKER_SECRET_KEY"),
        (EOFError(), "", "MYTRACKER_SECRET_KEY"),
    ],
)
def test_missing_input_is_reported(
    shell: InteractiveShell, answers: Answers, user: object, key: object, text: str
) -> None:
    answers(user, key)
    error = shell.run_cell("%mytracker_login").error_in_exec
    assert isinstance(error, mt.CredentialsMissing)
    assert text in str(error)


def test_a_notebook_asks_without_echo(kernel: BlockingKernelClient, sandbox: Sandbox) -> None:
    asked: list[bool] = []
    shown: list[str] = []

    def answer(message: Any) -> None:
        asked.append(message["content"]["password"])
        kernel.input(sandbox.secret_key)

    reply = kernel.execute_interactive(
        f"%mytracker_login {sandbox.api_user_id} --base-url {sandbox.base_url}",
        allow_stdin=True,
        stdin_hook=answer,
        output_hook=lambda message: shown.append(str(message["content"])),
        timeout=60,
    )
    assert reply["content"]["status"] == "ok"
    assert asked == [True]
    assert any("Logged in" in text for text in shown)
    assert sandbox.secret_key not in "".join(shown)


def test_a_notebook_that_cannot_ask_says_so(kernel: BlockingKernelClient) -> None:
    reply = kernel.execute("%mytracker_login 1", allow_stdin=False, reply=True, timeout=60)
    assert reply["content"]["status"] == "error"
    assert "MYTRACKER_SECRET_KEY" in reply["content"]["evalue"]

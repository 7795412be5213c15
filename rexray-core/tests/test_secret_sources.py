"""Secrets that are kept elsewhere: in a file, a variable, or with a program."""

from __future__ import annotations

import logging
import os
import pickle
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rexray import secret_sources
from rexray.errors import SettingsError
from rexray.settings import Secret, Sources, read_files, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeSettings:
    """Settings of a made-up platform."""

    password: Secret = setting(Secret(""), key="acme.password", help="The password")
    place: str = setting("", key="acme.place", help="Place")


def load(written: str, environ: Mapping[str, str] | None = None) -> str:
    """The password where the variable for it says that."""
    return Sources(environ={"ACME_PASSWORD": written, **(environ or {})}).load(AcmeSettings).password.reveal()


def refused(written: str, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as error:
        load(written, environ)
    message = str(error.value)
    assert message.startswith("$ACME_PASSWORD: ")
    assert "\n" not in message
    assert "canary" not in message
    return message.removeprefix("$ACME_PASSWORD: ")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("canary\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "text", ["canary", "fire:/x", "$HOME", "a:b", ":", "files:/x", "File:/x", "http://x", "env", " env:X"]
)
def test_what_names_no_source_is_the_secret_itself(text: str) -> None:
    assert load(text) == text


def test_a_secret_comes_from_a_file_a_variable_or_a_command(secret: Path) -> None:
    assert load(f"file:{secret}") == "canary"
    assert load("env:OTHER", {"OTHER": "canary"}) == "canary"
    assert load(f'command:{shlex.quote(sys.executable)} -c \'print("can" + "ary")\'') == "canary"
    assert load("env:OTHER", {"OTHER": "env:MORE"}) == "env:MORE", "what is found is the secret, and no other source"


def test_only_secrets_have_sources(secret: Path) -> None:
    loaded = Sources(environ={"ACME_PLACE": f"file:{secret}"}).load(AcmeSettings)
    assert loaded.place == f"file:{secret}"


def test_a_file_and_a_flag_can_say_it_as_well_and_an_error_has_the_place(tmp_path: Path, secret: Path) -> None:
    config = tmp_path / "c.yml"
    config.write_text(f"acme:\n  password: file:{secret}\n")
    assert Sources(files=read_files([config]), environ={}).load(AcmeSettings).password.reveal() == "canary"
    flags = {"--acmePassword": f"file:{secret}"}
    assert Sources(environ={}, flags=flags).load(AcmeSettings).password.reveal() == "canary"
    secret.unlink()
    with pytest.raises(SettingsError) as error:
        Sources(files=read_files([config]), environ={}).load(AcmeSettings)
    assert str(error.value) == f"{config}:2:3: acme.password: {secret}: the secret cannot be read: no such file"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o660])
def test_a_file_that_others_can_read_or_change_is_refused_with_what_to_say(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    assert refused(f"file:{secret}") == (
        f"{secret}: others than its owner may read or change this secret: say chmod 600 {secret}"
    )
    secret.chmod(0o400)
    assert load(f"file:{secret}") == "canary"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"canary\ncanary\n", "one line"),
        (b"canary\0", "one line"),
        (b"\xffcanary", "no text"),
        (b"x" * 70000, "one line of at most 64 KiB"),
    ],
)
def test_what_is_no_secret_is_refused_and_not_shown(secret: Path, content: bytes, told: str) -> None:
    secret.write_bytes(content)
    assert told in refused(f"file:{secret}")
    assert told in refused(f"command:cat {secret}")


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert refused(f"file:{tmp_path}/pipe") == f"{tmp_path}/pipe: a secret is to be in a plain file"
    assert refused(f"file:{tmp_path}") == f"{tmp_path}: a secret is to be in a plain file"


def test_a_link_leads_to_the_file_whose_mode_counts(tmp_path: Path, secret: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(secret)
    assert load(f"file:{link}") == "canary"
    secret.chmod(0o644)
    assert "say chmod 600" in refused(f"file:{link}")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("file:canary", "file: is to be followed by a path from the root"),
        ("file:", "file: is to be followed by a path from the root"),
        ("env:canary pass", "env: is to be followed by the name of a variable"),
        ("env:UNSET", "the variable UNSET, which is to have the secret, is not set or empty"),
        ("command:", "command: is to be followed by a program"),
        ("command: ", "command: is to be followed by a program"),
        ("command:echo 'canary", "its command: a quotation mark has no other to close it"),
        ("command:''", "its command cannot be run"),
        ("command:/no/such/canary", "its command cannot be run"),
        ("command:sh -c 'echo canary; echo canary >&2; exit 3'", "its command ended with status 3"),
        ("command:true", "what is there is empty"),
    ],
)
def test_a_source_that_gives_nothing_is_told_without_what_was_written(written: str, told: str) -> None:
    assert told in refused(written)


def test_a_command_is_run_without_a_shell(tmp_path: Path) -> None:
    assert load(f"command:echo 'a b' $HOME; touch {tmp_path}/x") == f"a b $HOME; touch {tmp_path}/x"
    assert not (tmp_path / "x").exists()


def test_a_command_that_hangs_is_given_up_and_killed() -> None:
    assert refused("command:sleep 600") == f"its command did not end within {secret_sources.SECONDS:g} s"


def test_nothing_is_fetched_to_show_what_holds(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    sources = Sources(environ={"ACME_PASSWORD": f"command:touch {mark}"})
    found = next(item for item in sources.effective(AcmeSettings) if item.option.secret)
    assert found.option.show(found.value) == "***"
    assert sources.given(found.option)
    assert str(mark) not in repr(found)
    assert not mark.exists()
    with pytest.raises(SettingsError, match="what is there is empty"):
        sources.load(AcmeSettings)
    assert mark.exists()


def test_who_reveals_what_holds_gets_the_secret_itself(secret: Path) -> None:
    sources = Sources(environ={"ACME_PASSWORD": f"file:{secret}"})
    value = next(item.value for item in sources.effective(AcmeSettings) if item.option.secret)
    assert isinstance(value, Secret)
    assert value.reveal() == "canary"


def test_a_file_with_a_secret_in_it_that_others_can_read_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tmp_path / "c.yml"
    config.write_text("acme.password: canary\n")
    config.chmod(0o640)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert Sources(files=read_files([config]), environ={}).load(AcmeSettings).password.reveal() == "canary"
    told = f"{config}: others than its owner may read the secrets in it: say chmod 600 {config}"
    assert [record.getMessage() for record in caplog.records] == [told]
    private = tmp_path / "private.yml"
    private.write_text("acme.password: canary\n")
    private.chmod(0o600)
    open_one = tmp_path / "open.yml"
    open_one.write_text("acme.place: x\n")
    for path in (private, open_one):
        Sources(files=read_files([path]), environ={}).load(AcmeSettings)
    assert len(caplog.records) == 1


def test_what_was_fetched_stays_in_this_process(secret: Path) -> None:
    sources = Sources(environ={"ACME_PASSWORD": f"file:{secret}"})
    assert sources.load(AcmeSettings).password.reveal() == "canary"
    sent = pickle.dumps(sources)
    assert b"canary" not in sent
    assert pickle.loads(sent).load(AcmeSettings).password.reveal() == "canary"

"""A secret setting shows nowhere, whichever driver it is of and by whatever means it is set."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from rexray.cli.app import all_settings
from rexray.cli.root import root
from rexray.settings import Option, Sources, options_of, read_files

CANARY = "canary-Zq7w!"
MEANS = ("file", "service", "module", "variable", "env", "flag", "file:", "env:", "command:")

SECRETS = {option.key: option for found in all_settings() for option in options_of(found) if option.secret}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a secret is set: what the file says, the variables and the words of the command line."""

    text: str
    environ: dict[str, str]
    words: tuple[str, ...] = ()


def place(folder: Path, option: Option, means: str) -> Place:
    kept = folder / "kept"
    kept.write_text(CANARY)
    kept.chmod(0o600)
    written = {
        "file:": f"file:{kept}",
        "env:": "env:KEPT",
        "command:": f"command:cat {kept}",
        "variable": "$KEPT",
    }.get(means, CANARY)
    prefix = {"service": f"rexray.services.{option.key.split('.')[0]}.", "module": "rexray.modules.web."}.get(means, "")
    if means == "env":
        return Place(text="", environ={option.env[-1]: CANARY})
    if means == "flag":
        return Place(text="", environ={}, words=(option.flags[0], CANARY))
    return Place(text=f"{prefix}{option.key}: '{written}'\n", environ={"KEPT": CANARY})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "etc").mkdir()
    monkeypatch.setenv("REXRAY_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


BREAKING = (
    "",
    "rexray.logLevle: x\n",
    "rexray: [\n",
    "KEY: [CANARY]\n",
    "KEYS: CANARY\n",
    "KEY: CANARY\nKEY: CANARY\n",
)
"""What is written besides: nothing, or something wrong of which an error is told."""


@pytest.mark.parametrize("means", MEANS)
@pytest.mark.parametrize("key", SECRETS)
def test_no_command_about_settings_shows_a_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, key: str, means: str
) -> None:
    option = SECRETS[key]
    where = place(home, option, means)
    for name, value in where.environ.items():
        monkeypatch.setenv(name, value)
    config = home / "etc/config.yml"
    caplog.set_level(logging.DEBUG)
    shown = ""
    for breaking in BREAKING:
        config.write_text(where.text + breaking.replace("KEY", key).replace("CANARY", CANARY))
        config.chmod(0o644)
        for words in (
            ("config", "show", "--all", "-f", "json"),
            ("env",),
            ("config", "check"),
            ("env", "--help", "-v"),
        ):
            answer = CliRunner().invoke(root, [*words, *where.words])
            shown += f"{answer.output} {answer.exception} {answer.exception!r}"
    config.write_text(where.text)
    sources = Sources(files=read_files([config]), flags=dict(zip(where.words[::2], where.words[1::2], strict=True)))
    shown += repr(sources)
    for found in all_settings():
        shown += repr(sources.effective(found)) + repr(sources.load(found))
    assert CANARY not in shown + caplog.text
    assert "***" in shown or means in ("service", "module")


def test_there_are_secrets_of_every_driver_that_has_some() -> None:
    assert {key.split(".")[0] for key in SECRETS} >= {"ec2", "scaleio", "xtremio"}


def test_a_secret_by_a_flag_is_honoured_with_a_warning_and_a_source_without(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer = CliRunner().invoke(root, ["config", "show", "--awsSecretKey", CANARY])
    assert "ec2.secretKey" in answer.output
    [record] = caplog.records
    told = "--awsSecretKey: every user of this host can read it on the command line: "
    assert record.getMessage() == told + "say file:/path, or set $AWS_SECRET_KEY"
    caplog.clear()
    CliRunner().invoke(root, ["config", "show", "--awsSecretKey", "env:KEPT"])
    assert caplog.records == []

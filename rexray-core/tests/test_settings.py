"""One declaration, many sources: what holds, where it came from, and what is wrong with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexray.errors import SettingsError
from rexray.settings import Secret, Sources, check_files, options_of, read_files, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeSettings:
    """Settings of a made-up platform."""

    endpoint: str = setting("", key="acme.endpoint", help="Where")
    password: Secret = setting(Secret(""), key="acme.password", help="The password")
    insecure: bool = setting(False, key="acme.insecure", help="No TLS checks")
    retries: int = setting(3, key="acme.maxRetries", help="Tries")
    wait: float = setting(1.0, key="acme.wait.time", help="Pause", duration=True)
    mode: int = setting(0o600, key="acme.fileMode", help="File mode", octal=True)
    kind: str = setting("thin", key="acme.kind", help="Kind", choices=("thin", "thick"))
    pools: tuple[str, ...] = setting((), key="acme.pools", help="Pools", env=("ACME_POOLS", "OLD_POOLS"))
    folder: Path = setting(Path("/x"), key="acme.folder", help="A folder")
    place: str = setting("", key="acme.place", help="Place", older=("anvil.placement.zone", "anvilZone"))


def load(
    environ: dict[str, str] | None = None,
    flags: dict[str, str] | None = None,
    files: tuple[tuple[str, Mapping[str, object]], ...] = (),
) -> AcmeSettings:
    return Sources(files=files, environ=environ or {}, flags=flags or {}).load(AcmeSettings)


def test_names_follow_from_the_key() -> None:
    found = {option.key: (option.env, option.flags) for option in options_of(AcmeSettings)}
    assert found["acme.endpoint"] == (("ACME_ENDPOINT",), ("--acmeEndpoint",))
    assert found["acme.maxRetries"] == (("ACME_MAXRETRIES",), ("--acmeMaxRetries",))
    assert found["acme.wait.time"] == (("ACME_WAIT_TIME",), ("--acmeWaitTime",))
    assert found["acme.pools"][0] == ("ACME_POOLS", "OLD_POOLS")


def test_a_flag_wins_over_the_environment_and_that_over_files_the_last_first() -> None:
    files: tuple[tuple[str, Mapping[str, object]], ...] = (
        ("/etc", {"acme.endpoint": "a", "acme.maxretries": 1}),
        ("/home", {"acme.endpoint": "b"}),
    )
    assert load().endpoint == ""
    assert load(files=files).endpoint == "b"
    assert load(files=files).retries == 1
    assert load({"ACME_ENDPOINT": "c"}, files=files).endpoint == "c"
    assert load({"ACME_ENDPOINT": "c"}, {"--acmeEndpoint": "d"}, files).endpoint == "d"


def test_origins_are_told() -> None:
    sources = Sources(
        files=(("/etc/x.yml", {"acme.endpoint": "a"}),), environ={"OLD_POOLS": "p"}, flags={"--acmeKind": "thick"}
    )
    found = {item.option.name: item.origin for item in sources.effective(AcmeSettings)}
    assert found["endpoint"] == "/etc/x.yml"
    assert found["pools"] == "$OLD_POOLS"
    assert found["kind"] == "--acmeKind"
    assert found["retries"] == "default"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("insecure", "TRUE", True),
        ("insecure", "1", True),
        ("insecure", "no", False),
        ("maxRetries", "12", 12),
        ("wait", "500ms", 0.5),
        ("wait", "1m30s", 90.0),
        ("wait", "2.5", 2.5),
        ("fileMode", "0660", 0o660),
        ("fileMode", "660", 0o660),
        ("fileMode", "0o660", 0o660),
        ("pools", "a,b c", ("a", "b", "c")),
        ("folder", "/srv", Path("/srv")),
    ],
)
def test_texts_are_read_in_the_type_of_the_field(name: str, text: str, value: object) -> None:
    key = f"acme.{'wait.time' if name == 'wait' else name}"
    found = next(
        item
        for item in Sources(environ={key.upper().replace(".", "_"): text}).effective(AcmeSettings)
        if item.option.key == key
    )
    assert found.value == value


@pytest.mark.parametrize(("written", "mode"), [("0660", 0o660), ("660", 0o660), ("'0660'", 0o660), ("0o660", 0o660)])
def test_a_file_mode_is_octal_however_yaml_reads_it(tmp_path: Path, written: str, mode: int) -> None:
    path = tmp_path / "c.yml"
    path.write_text(f"acme: {{fileMode: {written}}}\n")
    assert Sources(files=read_files([path]), environ={}).load(AcmeSettings).mode == mode


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("ACME_INSECURE", " ", "$ACME_INSECURE: ' ' is not true or false"),
        ("ACME_WAIT_TIME", " ", "$ACME_WAIT_TIME: ' ' is not a duration such as 500ms, 3s or 1m"),
        ("ACME_FILEMODE", "-7", "$ACME_FILEMODE: '-7' is not a file mode in octal such as 0660"),
        (
            "ACME_FILEMODE",
            "77777777777777",
            "$ACME_FILEMODE: '77777777777777' is not a file mode in octal such as 0660",
        ),
        ("ACME_FILEMODE", "²", "$ACME_FILEMODE: '²' is not a file mode in octal such as 0660"),
        ("ACME_FOLDER", "~no-such-user/x", "$ACME_FOLDER: '~no-such-user/x' is not a path"),
        ("ACME_INSECURE", "maybe", "$ACME_INSECURE: 'maybe' is not true or false"),
        ("ACME_MAXRETRIES", "many", "$ACME_MAXRETRIES: 'many' is not a whole number"),
        ("ACME_WAIT_TIME", "3 parsecs", "$ACME_WAIT_TIME: '3 parsecs' is not a duration such as 500ms, 3s or 1m"),
        ("ACME_FILEMODE", "rw-", "$ACME_FILEMODE: 'rw-' is not a file mode in octal such as 0660"),
        ("ACME_KIND", "thinn", "$ACME_KIND: 'thinn' is not one of thin, thick; did you mean 'thin'?"),
    ],
)
def test_a_wrong_value_is_refused_with_its_source_and_what_it_should_be(variable: str, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({variable: text})
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["insecure", "wait", "retries", "mode", "folder"])
def test_an_empty_variable_is_one_that_is_not_set(name: str) -> None:
    option = next(option for option in options_of(AcmeSettings) if option.name == name)
    sources = Sources(files=(("f", {"acme.insecure": "true"}),), environ=dict.fromkeys(option.env, ""))
    found = {item.option.name: item for item in sources.effective(AcmeSettings)}
    assert sources.load(AcmeSettings).insecure
    assert found[name].origin == ("f" if name == "insecure" else "default")
    assert sources.given(option) == (name == "insecure")


def test_of_two_variables_an_empty_one_leaves_the_other_its_say() -> None:
    assert load({"ACME_POOLS": "", "OLD_POOLS": "p"}).pools == ("p",)


@pytest.mark.parametrize("key", ["acme.insecure", "acme.wait.time", "acme.fileMode", "acme.maxRetries", "acme.folder"])
def test_an_empty_flag_or_file_entry_is_no_value(key: str) -> None:
    option = next(option for option in options_of(AcmeSettings) if option.key == key)
    with pytest.raises(SettingsError, match=f"^{option.flags[0]}: '' is not "):
        load(flags={option.flags[0]: ""})
    with pytest.raises(SettingsError, match=f"^f: {option.key}: '' is not "):
        load(files=(("f", {option.key.lower(): ""}),))


def test_a_relative_path_is_below_the_directory_in_which_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load({"ACME_FOLDER": "data"})
    monkeypatch.chdir("/")
    assert settings.folder == tmp_path / "data"


def test_a_user_without_a_home_is_told_so_in_one_line_unless_another_is_named() -> None:
    script = (
        "import os, pwd; from rexray.paths import find_paths; from rexray.errors import SettingsError\n"
        "number = next(n for n in range(54321, 99999) if not any(u.pw_uid == n for u in pwd.getpwall()))\n"
        "os.geteuid = os.getuid = lambda: number\n"
        "print(find_paths({'REXRAY_HOME': '/x'}).etc)\n"
        "try: find_paths({})\n"
        "except SettingsError as error: print(error)\n"
    )
    environ = {name: value for name, value in os.environ.items() if name != "HOME"}
    answer = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    etc, message = answer.stdout.splitlines()
    assert etc == "/x/etc"
    assert message.endswith("has no home directory: set HOME or REXRAY_HOME")


def test_a_wrong_type_in_a_file_names_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("acme:\n  maxRetries: [1]\n")
    with pytest.raises(SettingsError, match=r"c\.yml:2:3: acme\.maxRetries: \['1'\] is not a whole number"):
        Sources(files=read_files([path]), environ={}).load(AcmeSettings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("acme: [", r"c\.yml:\d+:\d+: not valid YAML"),
        ("a: b: c", r"c\.yml:1:5: not valid YAML"),
        ("- a\n", "a mapping of settings is expected, not a list"),
        ("just text", r"c\.yml:1:1: a mapping of settings is expected, not a text"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "c.yml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=message):
        read_files([path])


def test_a_missing_file_that_was_asked_for_is_an_error_and_others_are_not(tmp_path: Path) -> None:
    assert read_files([tmp_path / "none.yml"]) == ()
    with pytest.raises(SettingsError, match="no such configuration file"):
        read_files([], tmp_path / "none.yml")


def test_an_unknown_key_under_a_known_root_is_refused_with_the_nearest_name() -> None:
    check_files(Sources(files=(("f", {"other.key": 1}),)), [AcmeSettings])
    with pytest.raises(SettingsError, match=r"f: unknown setting 'acme\.zzz'; remove it, or install the plug-in"):
        check_files(Sources(files=(("f", {"acme.zzz": "x"}),)), [AcmeSettings])
    with pytest.raises(SettingsError, match=r"f: unknown setting 'acme\.endpiont'; did you mean 'acme\.endpoint'\?"):
        check_files(Sources(files=(("f", {"acme.endpiont": "x"}),)), [AcmeSettings])


def test_a_setting_is_found_by_its_older_keys_and_the_current_one_wins_within_a_file() -> None:
    old = ("/etc", {"anvil.placement.zone": "east"})
    assert load(files=(old,)).place == "east"
    assert load(files=(("/etc", {"anvilzone": "west", "anvil.placement.zone": "east"}),)).place == "east"
    assert load(files=(("/etc", {"anvilzone": "west", "acme.place": "north"}),)).place == "north"
    assert load(files=(("/etc", {"acme.place": "north"}), old)).place == "east", "a later file wins"
    assert load({"ACME_PLACE": "south"}, files=(old,)).place == "south"


def test_an_error_names_the_key_that_was_written() -> None:
    files: tuple[tuple[str, Mapping[str, object]], ...] = (("f", {"anvilzone": ["a"]}),)
    with pytest.raises(SettingsError, match=r"^f: anvilZone: \['a'\] is not a text"):
        load(files=files)
    sources = Sources(files=(("f", {"anvilzone": "a"}),), environ={})
    found = next(item for item in sources.effective(AcmeSettings) if item.option.name == "place")
    assert (found.origin, found.where) == ("f", "f: anvilZone")


def test_older_keys_are_known_and_their_roots_as_well() -> None:
    check_files(Sources(files=(("f", {"anvil.placement.zone": "a", "anvilzone": "b"}),)), [AcmeSettings])
    with pytest.raises(
        SettingsError, match=r"f: unknown setting 'anvil\.placment\.zone'; did you mean 'anvil\.placement\.zone'\?"
    ):
        check_files(Sources(files=(("f", {"anvil.placment.zone": "a"}),)), [AcmeSettings])


def test_keys_are_found_however_they_are_capitalised(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("ACME: {EndPoint: x}\n")
    assert Sources(files=read_files([path]), environ={}).load(AcmeSettings).endpoint == "x"


def test_a_secret_shows_nowhere() -> None:
    settings = load({"ACME_PASSWORD": "canary"})
    option = next(option for option in options_of(AcmeSettings) if option.name == "password")
    assert settings.password.reveal() == "canary"
    shown = f"{settings!r} {settings.password} {option.show(settings.password)} {[settings.password]}"
    assert "canary" not in shown
    with pytest.raises(SettingsError) as caught:
        option.parse(["canary"], "here")
    assert "canary" not in str(caught.value)


def test_sources_show_none_of_their_values() -> None:
    said = {"acme.password": "canary"}
    sources = Sources(files=(("config.yml", said),), environ={"ACME_PASSWORD": "canary"}, flags={"--pw": "canary"})
    assert "canary" not in repr(sources)


@given(value=st.one_of(st.text(), st.integers(), st.booleans(), st.lists(st.text()), st.none(), st.floats()))
def test_any_value_is_either_read_or_refused_in_one_line(value: object) -> None:
    for option in options_of(AcmeSettings):
        try:
            option.show(option.parse(value, "origin"))
        except SettingsError as error:
            assert "\n" not in str(error).replace(repr(value), "")  # noqa: PT017 both ways are right

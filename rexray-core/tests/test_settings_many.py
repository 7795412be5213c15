"""Configurations by the hundred: what holds is what a simple oracle says, and every mistake is refused in its place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rexray import modules, services
from rexray.core_settings import CoreSettings
from rexray.errors import RexrayError, SettingsError
from rexray.paths import find_paths
from rexray.registry import registry
from rexray.settings import Option, Secret, Sources, options_of, read_files
from rexray.settings_check import check
from rexray.settings_files import existing
from rexray.settings_schema import json_schema

PLUGIN = """
from dataclasses import dataclass
from pathlib import Path
from rexray import hookimpl
from rexray.settings import Secret, setting
from rexray.testing.memory.node import MemoryNode
from rexray.testing.memory.storage import MemoryStorage

@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    endpoint: str = setting("", key="anvil.endpoint", older=("anvilEndpoint",), help="Where")
    password: Secret = setting(Secret(""), key="anvil.password", help="The password")
    insecure: bool = setting(False, key="anvil.insecure", help="No TLS checks")
    retries: int = setting(3, key="anvil.maxRetries", older=("hammer.retries", "anvilRetries"), help="Tries")
    wait: float = setting(1.0, key="anvil.wait.time", help="Pause", duration=True)
    mode: int = setting(0o600, key="anvil.fileMode", help="File mode", octal=True)
    kind: str = setting("thin", key="anvil.kind", help="Kind", choices=("thin", "thick"))
    pools: tuple[str, ...] = setting((), key="anvil.pools", env=("ANVIL_POOLS", "HAMMER_POOLS"), help="Pools")
    folder: Path = setting(Path("/x"), key="anvil.wait.folder", help="A folder")

class Storage(MemoryStorage):
    name, aliases, settings = "anvil", (), Settings

class Node(MemoryNode):
    name, aliases, settings = "anvil", (), None

@hookimpl
def rexray_storage_drivers(): return [Storage]

@hookimpl
def rexray_node_drivers(): return [Node]
"""

FILES = ("/etc/rexray/config.yml", "/root/.rexray/config.yml", "/root/more.yml")
"""The standard files, and one that ``-c`` names: from the weakest to the strongest."""
MODULE, SERVICE = "rexray.modules.web.", "rexray.services.fast."
OTHERS = ("rexray.modules.other.", "rexray.services.slow.")
"""A module and a service that are not looked at: what they say must make no difference."""

OWN_VALUES: Mapping[str, list[tuple[Any, object]]] = {
    "rexray.docker.fsType": [("xfs", "xfs"), ("ext3", "ext3")],
    "rexray.volume.mount.rootPath": [("/data", "/data"), ("sub/dir", "sub/dir")],
}
"""The values of settings that take not just any of their type."""


def good_values(option: Option) -> list[tuple[Any, object]]:
    """What can be written in a file for an option, and what that means."""
    if option.key in OWN_VALUES:
        return OWN_VALUES[option.key]
    if option.choices:
        return [(word, word) for word in option.choices if word]
    if option.octal:
        return [("0755", 0o755), ("755", 0o755), ("0o755", 0o755), ("700", 0o700), ("0000640", 0o640)]
    if option.duration:
        return [("500ms", 0.5), ("1m30s", 90.0), ("2.5", 2.5), ("3h", 10800.0)]
    by_type: dict[object, list[tuple[Any, object]]] = {
        bool: [("true", True), ("off", False), ("1", True), ("No", False), ("T", True)],
        int: [("12", 12), (" 7 ", 7), ("1_000", 1000)],
        Path: [("/srv/x", Path("/srv/x")), ("/", Path("/"))],
        Secret: [("swordfish", Secret("swordfish")), ("a:b", Secret("a:b")), ("$$x", Secret("$x"))],
        str: [("word", "word"), ("a: b # c", "a: b # c"), ("7", "7"), ("$$HOME", "$HOME"), ("a$HOME", "a$HOME")],
    }
    listed: list[tuple[Any, object]] = [(["a", "b"], ("a", "b")), ("a,b c", ("a", "b", "c")), ([], ())]
    return by_type.get(option.type, listed)


def bad_values(option: Option) -> list[Any]:
    """What is refused in a file for an option."""
    if option.choices:
        return ["nothing of the kind", ["x"]]
    if option.octal:
        return ["493", "0o888", "-7", "rwx", "7777", ""]
    if option.duration:
        return ["3 parsecs", "", "-1", ["1"]]
    by_type: dict[object, list[Any]] = {
        bool: ["maybe", "", "2"],
        int: ["many", "1.5", "", "0x10"],
        Path: ["", ["/x"]],
        Secret: [["swordfish"], "file:relative", "env:1", "command: "],
        str: [["word"], {"word": "x"}],
    }
    return by_type.get(option.type, [[["a"]], {"a": "b"}])


@dataclass(frozen=True, kw_only=True)
class World:
    """What is installed while these tests run, and the options that can be set."""

    options: Sequence[Option]
    nested: Mapping[str, Option]
    classes: Sequence[type]
    schema: jsonschema.protocols.Validator


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("plugins")
    folder.chmod(0o700)
    (folder / "anvil.py").write_text(PLUGIN)
    (folder / "anvil.py").chmod(0o600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REXRAY_PLUGINS_DIR", str(folder))
        patch.setenv("REXRAY_PLUGINS", "anvil,docker,csi")
        found = json_schema()
        jsonschema.Draft202012Validator.check_schema(found)
        classes = [CoreSettings, *registry().settings()]
        chosen = {"rexray.service", "rexray.storageDrivers", "rexray.host"}
        options = [
            option
            for each in classes
            if each.__module__.split(".")[0] in ("rexray", "anvil") or "anvil" in option_keys(each)
            for option in options_of(each)
            if option.key not in chosen and "endpoint" not in option.key.removeprefix("anvil.endpoint")
        ]
        yield World(
            options=options,
            nested=services.nested_options("anvil"),
            classes=classes,
            schema=jsonschema.Draft202012Validator(found),
        )


def option_keys(found: type) -> set[str]:
    return {option.key.split(".")[0] for option in options_of(found)}


class Configuration:
    """Files, variables and flags that are made one setting at a time, with what they mean."""

    def __init__(self, draw: Callable[..., Any], world: World) -> None:
        self.draw = draw
        self.world = world
        self.files: list[list[tuple[str, Any]]] = [[], [], []]
        self.environ: dict[str, str] = {}
        self.flags: dict[str, str] = {}
        self.meant: dict[str, tuple[int, object]] = {}
        self.lines: dict[tuple[int, str], int] = {}

    def fill(self) -> None:
        """Two services and two modules, and some settings, each in some of the places where it can be set."""
        for file in self.files:  # the schema sees one of them alone
            file += [(f"{SERVICE}driver", "anvil"), (f"{OTHERS[1]}driver", "anvil")]
        self.files[0].append((f"{OTHERS[0]}host", "x"))
        self.files[0] += [(f"{MODULE}type", "docker"), (f"{MODULE}{self.pick('rexray', 'libstorage')}.service", "fast")]
        self.files[2].append(("rexray.service", "slow"))
        for option in self.draw(st.lists(st.sampled_from(self.world.options), min_size=1, max_size=6, unique=True)):
            for _ in range(self.draw(st.integers(1, 4))):
                self.set(option)

    def pick(self, *what: Any) -> Any:
        return self.draw(st.sampled_from(what))

    def set(self, option: Option) -> None:
        """Set an option somewhere, to something."""
        where = self.pick("file", "file", "env", "flag", "module", "service", "other")
        written, value = self.pick(*good_values(option))
        if where == "env":
            self.set_variable(option, written, value)
        elif where == "flag":
            if option.flags and isinstance(written, str) and not written.startswith("$$"):
                self.flags[option.flags[0]] = written
                self.mean(option, 100, value)
        else:
            at, key = self.draw(st.integers(0, 2)), self.pick(*option.keys)
            scope = {"module": MODULE, "service": SERVICE}.get(where, "")
            if where == "other":
                scope = self.pick(*OTHERS)
            if "services" in scope and option.key not in self.world.nested:
                return
            taken = {f"{scope}{each}".lower() for each in option.keys}
            if any(name.lower() in taken for name, _ in self.files[at]):
                return
            self.files[at].append((scope + key, self.by_variable(written)))
            if where != "other":
                self.mean(option, {"module": 80, "service": 60}.get(where, 0) + at, value)

    def set_variable(self, option: Option, written: Any, value: object) -> None:
        if not isinstance(written, str) or written.startswith("$$"):
            return
        given = [name for name in option.env if name in self.environ]
        if not given:
            self.environ[self.pick(*option.env)] = written
            self.mean(option, 40, value)

    def by_variable(self, written: Any) -> Any:
        """The value itself, or the name of a variable with it."""
        if not isinstance(written, str) or not written or written.startswith("$") or self.draw(st.integers(0, 4)):
            return written
        name = f"V{len(self.environ)}"
        self.environ[name] = written
        return self.pick(f"${name}", f"${{{name}}}")

    def mean(self, option: Option, rank: int, value: object) -> None:
        before, _ = self.meant.get(option.key, (-1, None))
        if rank > before or (rank == before == 100):
            self.meant[option.key] = rank, value

    def write(self, folder: Path) -> list[Path]:
        """The files: each now with a line for every key, now nested, with keys in one case or another."""
        paths = []
        for number, (name, entries) in enumerate(zip(FILES, self.files, strict=True)):
            path = folder / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if self.draw(st.booleans()):
                lines = []
                for key, value in self.draw(st.permutations(entries)):
                    lines.append(f"{json.dumps(self.cased(key))}: {json.dumps(value)}\n")
                    self.lines[number, key] = len(lines)
                text = "".join(lines)
            else:
                nested: dict[str, Any] = {}
                for key, value in entries:
                    put(nested, key.split("."), value)
                text = yaml.safe_dump(nested) if nested else ""
            path.write_text(text)
            path.chmod(0o600)
            paths.append(path)
        return paths

    def cased(self, key: str) -> str:
        return str(self.pick(key, key, key.lower(), key.upper()))


def put(into: dict[str, Any], parts: Sequence[str], value: object) -> None:
    """Write a key as deep as it can be nested; where it cannot, with dots."""
    first, *rest = parts
    if not rest:
        into[first] = value
    elif isinstance(into.setdefault(first, {}), dict):
        put(into[first], rest, value)
    else:
        into[".".join(parts)] = value


def sources_for(config: Configuration, paths: Sequence[Path]) -> Sources:
    """The sources as the command line makes them, of the module and the service that it chooses."""
    files = read_files(paths[:2], paths[2], config.environ)
    found = Sources(files=files, environ=config.environ, flags=config.flags)
    services.check_files(found)
    return services.scoped(modules.scoped(found, "web"))


QUICK = settings(
    max_examples=100,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


def test_of_a_hundred_configurations_each_gives_just_what_the_oracle_says(world: World, tmp_path: Path) -> None:
    texts: dict[str, None] = {}

    @given(data=st.data())
    @QUICK
    def each(data: st.DataObject) -> None:
        config = Configuration(data.draw, world)
        config.fill()
        paths = config.write(tmp_path)
        found = sources_for(config, paths)
        assert found.scopes == (MODULE, SERVICE)
        effective = {item.option.key: item.value for each in world.classes for item in found.effective(each)}
        for option in world.options:
            _, value = config.meant.get(option.key, (0, option.default))
            assert effective[option.key] == value, option.key
        assert check(paths, config.environ) == []
        texts.update(dict.fromkeys(path.read_text() for path in paths))

    each()
    assert len(texts) > 100
    assert [text for text in texts if not is_valid(world, text)] == []


def is_valid(world: World, text: str) -> bool:
    return world.schema.is_valid(yaml.load(text, Loader=yaml.BaseLoader) or {})


WRONG_KEYS = (
    "rexray.logLevle",
    "rexry.logLevel",
    "anvil.endpiont",
    "anvils.endpoint",
    "storageDriver",
    "dockerSiez",
    "some.thing.else",
    "libstorage.host",
    "libstorage.client.service",
    "libstorage.server.endpoints.public.address",
    "rexray.volume.path.cache",
    "xtremIoRemoteManagement",
    "efs.region",
    "rackspaceUserName",
    f"{MODULE}anvil.endpiont",
    f"{MODULE}hots",
    f"{MODULE}libstorage.tls.insecure",
    f"{MODULE}rexray.services.x.driver",
    f"{SERVICE}anvil.endpiont",
    f"{SERVICE}rexray.logLevel",
    f"{SERVICE}linux.volume.filemod",
)


def test_of_a_hundred_configurations_with_a_mistake_each_is_refused_with_file_line_and_key(
    world: World, tmp_path: Path
) -> None:
    texts: dict[str, None] = {}
    seen = set()

    @given(data=st.data())
    @QUICK
    def each(data: st.DataObject) -> None:
        config = Configuration(data.draw, world)
        config.fill()
        at = data.draw(st.integers(0, 2))
        key, value = mistake(config, at)
        config.files[at].append((key, value))
        paths = config.write(tmp_path)
        findings = check(paths, config.environ)
        assert len(findings) == 1, findings
        assert findings[0].file == str(paths[at])
        assert findings[0].place is not None
        line = config.lines.get((at, key))
        assert line is None or findings[0].place[0] == line
        assert findings[0].key.lower().startswith(key.lower())
        assert "\n" not in findings[0].message
        told = refusal(config, paths, world)
        assert told.startswith(f"{paths[at]}:{findings[0].place[0]}:{findings[0].place[1]}: ")
        assert key.lower() in told.lower()
        texts[paths[at].read_text()] = None
        seen.add(tuple(path.read_text() for path in paths))

    each()
    assert len(seen) > 70
    assert [text for text in texts if is_valid(world, text)] == []


def mistake(config: Configuration, at: int) -> tuple[str, Any]:
    """A key that nobody has, or a value that is none, of a setting that no other file has."""
    if config.draw(st.booleans()):
        return config.pick(*WRONG_KEYS), config.pick("x", ["x"], {"y": "x"})
    option = config.pick(*config.world.options)
    for file in config.files:  # what a stronger one hides is found by the check, and by no start
        file[:] = [(key, value) for key, value in file if key not in option.keys]
    return option.key, config.pick(*bad_values(option))


def refusal(config: Configuration, paths: Sequence[Path], world: World) -> str:
    """What a start says, which looks at the files as they are and then loads all settings."""
    found = Sources(files=read_files(paths[:2], paths[2], config.environ), environ={})
    try:
        services.check_files(found)
        for each in world.classes:
            found.load(each)
    except SettingsError as error:
        return str(error)
    pytest.fail("nothing is refused")


def findings_of(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    path = tmp_path / "c.yml"
    path.write_text(text)
    return [str(each).removeprefix(f"{path}:") for each in check([path], environ or {})]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rexry.logLevel: warn", "1:1: unknown setting 'rexry.loglevel'; did you mean 'rexray.logLevel'?"),
        ("rexry:\n  volume: {mount: {preemt: x}}", "2:20: unknown setting 'rexry.volume.mount.preemt'; did you mean"),
        ("anvill: {pools: x}", "1:10: unknown setting 'anvill.pools'; did you mean 'anvil.pools'?"),
        ("loglevel: warn\nx: y", "2:1: unknown setting 'x'; remove it, or install the plug-in that has it"),
        (
            "efs: {region: x}",
            "1:7: unknown setting 'efs.region'; no installed plug-in has it, and there is none for efs",
        ),
        ("vfs.root: /x", "1:1: unknown setting 'vfs.root'; no installed plug-in has it, and there is none for vfs"),
        (
            "libstorage.disabled: true",
            "1:1: setting 'libstorage.disabled' is of the original and refused: it is now csi.",
        ),
        ("rexray.docker.mount.path: /x", "is of the original and refused: it is now rexray.volume.mount.path"),
        (
            "libstorage.client.service: x",
            "1:1: setting 'libstorage.client.service' is refused: here one process is all",
        ),
        ("libstorage.client.libstorage.service: x", "say libstorage.service"),
        ("libstorage.client.tls.insecure: x", "is of the original and refused: every host uses its platform itself"),
        ("rexray.agent.csi.endpoint: x", "one process is all: say csi.endpoint"),
        ("dockerSize: *canary", "1:13: not valid YAML: found undefined alias: put quotation marks around what begins"),
        ("dockerSize: !canary!x y", "1:13: not valid YAML: found undefined tag handle: put quotation marks around"),
        ("dockerSize: !canary", "1:13: a tag means nothing here: put quotation marks around what begins with !"),
        ("dockerSize: 1\nrexray.docker.size: 2", "2:1: rexray.docker.size: it contradicts dockersize in line 1"),
        ("rexray.modules: web", "1:1: rexray.modules: modules are expected, such as rexray.modules.NAME.host"),
        (
            "rexray.modules.web: x",
            "1:1: rexray.modules.web: its settings are expected, such as rexray.modules.web.host",
        ),
        ("rexray.modules: {a b: {host: x}}", "1:24: rexray.modules.a b: a module is called by up to 40 letters"),
        ("rexray.modules.a.rexray.services.b.driver: anvil", "services stand outside of modules: say rexray.services"),
        ("rexray.modules.a.disabled: maybe", "1:1: rexray.modules.a.disabled: 'maybe' is not true or false"),
        (
            "rexray.modules.a.hots: x",
            "1:1: unknown setting 'rexray.modules.a.hots'; did you mean 'rexray.modules.a.host'?",
        ),
        ("anvil.kind: $KIND", "1:1: anvil.kind: it names a variable that is not set or empty: set that, or write $$"),
        ("anvil.pools: [a, '${POOL}']", "1:1: anvil.pools: it names a variable that is not set"),
        ("rexray.services.a.driver: $DRIVER", "1:1: rexray.services.a.driver: it names a variable that is not set"),
        (
            "rexray.services.a: {driver: anvil, libstorage: {host: x}}",
            "1:49: setting 'rexray.services.a.libstorage.host' is",
        ),
    ],
)
def test_a_mistake_is_told_with_what_to_do(world: World, tmp_path: Path, text: str, told: str) -> None:
    found = findings_of(tmp_path, text)
    assert len(found) == 1, found
    assert told in found[0]


def test_a_setting_by_two_of_its_names_is_right_where_both_say_the_same(world: World, tmp_path: Path) -> None:
    assert findings_of(tmp_path, "linux.volume.filemode: '0700'\nrexray.volume.mount.fileMode: 700") == []
    assert findings_of(tmp_path, "minVolSize: 1\nrexray.modules.a.rexray.minVolSize: 2") == []


@pytest.mark.parametrize("text", ["conformance: {size: 1MiB}", "a: {}", "rexray: {modules: {a: , b: {}}}"])
def test_what_others_check_and_what_says_nothing_is_let_be(world: World, tmp_path: Path, text: str) -> None:
    assert findings_of(tmp_path, text) == []
    assert world.schema.is_valid(yaml.load(text, Loader=yaml.BaseLoader))


@pytest.mark.parametrize("written", ["0755", "'0755'", "755", "'755'", "0o755", "'0o755'", "$MODE"])
@pytest.mark.parametrize("key", ["linux.volume.filemode", "rexray.volume.mount.fileMode"])
def test_a_file_mode_is_octal_however_and_wherever_it_is_written(
    world: World, tmp_path: Path, key: str, written: str
) -> None:
    path = tmp_path / "c.yml"
    path.write_text(f"{key}: {written}\n")
    environ = {"MODE": "755"}
    name = key.rpartition(".")[2].lower()
    modes = {
        item.value
        for found in (
            Sources(files=read_files([path], None, environ), environ={}),
            Sources(files=(), environ={"LINUX_VOLUME_FILEMODE": "755"}),
            Sources(files=(), environ={}, flags={"--linuxVolumeFilemode": "755"}),
        )
        for each in world.classes
        for item in found.effective(each)
        if item.option.key == "rexray.volume.mount.fileMode"
    }
    assert modes == {0o755}, name


def test_a_variable_in_a_file_is_looked_up_only_as_the_whole_value(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("a: $X\nb: ${X}\nc: x$X\nd: $$X\ne: $9\nf: $X-\ng: ['$X', '$$']\nh: $\n")
    [(_, content)] = read_files([path], None, {"X": "found"})
    assert content == {
        "a": "found",
        "b": "found",
        "c": "x$X",
        "d": "$X",
        "e": "$9",
        "f": "$X-",
        "g": ["found", "$"],
        "h": "$",
    }


def test_who_does_not_use_a_value_is_not_bothered_by_its_variable(world: World, tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text("rexray.services: {a: {driver: anvil, anvil.endpoint: $UNSET}, b: {driver: anvil}}\n")
    found = Sources(files=read_files([path], None, {}), environ={})
    services.check_files(found)
    driver = registry().storage_driver("anvil").settings
    assert driver is not None
    services.load(found, "b").sources.load(driver)
    with pytest.raises(SettingsError, match=r"c\.yml:1:38: rexray\.services\.a\.anvil\.endpoint: it names a variable"):
        services.load(found, "a").sources.load(driver)


def test_a_secret_by_a_variable_is_no_secret_in_the_file(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c.yml"
    path.write_text("anvil.password: $PASSWORD\n")
    path.chmod(0o644)
    driver = registry().storage_driver("anvil").settings
    assert driver is not None
    loaded: Any = Sources(files=read_files([path], None, {"PASSWORD": "canary"}), environ={}).load(driver)
    assert loaded.password.reveal() == "canary"
    assert caplog.records == []


def test_a_module_chooses_its_service_and_wins_over_it(world: World, tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text(
        "libstorage.server.services.fast: {driver: anvil, anvil: {kind: thick, maxRetries: 1}}\n"
        "libstorage.server.services.slow.driver: anvil\nrexray.modules:\n"
        "  one: {libstorage.service: fast, anvil.maxRetries: 2}\n"
        "  two: {rexray.service: SLOW}\n"
        "  three: {rexray.service: gone}\n"
    )
    found = Sources(files=read_files([path], None, {}), environ={"ANVIL_KIND": "thin", "ANVIL_POOLS": "p"})
    driver = registry().storage_driver("anvil").settings
    assert driver is not None
    one = services.scoped(modules.scoped(found, "ONE"))
    held: Any = one.load(driver)
    assert (held.kind, held.retries, held.pools) == ("thick", 2, ("p",))
    again: Any = services.scoped(one).load(driver)
    assert again == held
    two: Any = services.load(modules.scoped(found, "two"), "slow").sources.load(driver)
    assert (two.kind, two.retries) == ("thin", 3)
    with pytest.raises(
        RexrayError, match=r"c\.yml:6:11: rexray\.modules\.three\.rexray\.service: service 'gone' is not"
    ):
        services.choose(modules.scoped(found, "three"))
    with pytest.raises(RexrayError, match="module 'four' is not configured; the modules are: one, three, two"):
        modules.scoped(found, "four")
    flagged = Sources(files=found.files, environ={}, flags={"--service": "slow"})
    assert services.choose(modules.scoped(flagged, "one")) == "slow", "a flag wins over all"


def test_the_file_of_c_is_read_once_though_it_is_a_standard_one(tmp_path: Path) -> None:
    paths = [tmp_path / "config.yml", tmp_path / "user.yml"]
    for path in paths:
        path.touch()
    (tmp_path / "link.yml").symlink_to(paths[0])
    assert existing(paths, tmp_path / "link.yml") == [paths[1], tmp_path / "link.yml"]


def test_the_file_of_c_is_merged_over_the_standard_ones(tmp_path: Path) -> None:
    paths = find_paths({"REXRAY_HOME": str(tmp_path), "HOME": str(tmp_path / "user")})
    for number, path in enumerate((tmp_path / "etc/config.yaml", tmp_path / "user/.rexray/rexray.yml")):
        path.parent.mkdir(parents=True)
        path.write_text(f"rexray: {{docker: {{size: {number}, iops: {number}, volumeType: {number}}}}}")
    (tmp_path / "etc/config.yaml").write_text("dockerSize: 0\ndockerIops: 0\ndockerVolumeType: 0\n")
    (tmp_path / "user/.rexray/rexray.yml").write_text("dockerSize: 1\ndockerIops: 1\n")
    (tmp_path / "more.yml").write_text("dockerSize: 2\n")
    found = Sources(files=read_files(paths.config_files, tmp_path / "more.yml"), environ={})
    values = {item.option.key: item.value for each in registry().settings() for item in found.effective(each)}
    assert [values[f"rexray.docker.{name}"] for name in ("size", "iops", "volumeType")] == ["2", 1, "0"]


@pytest.mark.parametrize("other", ["config.yaml", "rexray.yml", "rexray.yaml"])
def test_two_files_of_one_folder_are_refused_by_both_names(tmp_path: Path, other: str) -> None:
    paths = find_paths({"REXRAY_HOME": str(tmp_path), "HOME": str(tmp_path)})
    paths.etc.mkdir()
    for name in ("config.yml", other):
        (paths.etc / name).write_text("")
    with pytest.raises(SettingsError) as refused:
        read_files(paths.config_files)
    assert str(refused.value).startswith(f"{paths.etc}/config.yml and {paths.etc}/{other} are both there: ")
    os.unlink(paths.etc / "config.yml")
    assert [path for path, _ in read_files(paths.config_files)] == [f"{paths.etc}/{other}"]


def test_a_command_is_run_once_for_all_who_load_and_again_by_a_reload(world: World, tmp_path: Path) -> None:
    script = tmp_path / "secret"
    script.write_text(f"#!/bin/sh\necho run >>{tmp_path}/runs\nwc -l <{tmp_path}/runs\n")
    script.chmod(0o700)
    path = tmp_path / "c.yml"
    path.write_text(f"rexray.services.fast: {{driver: anvil, anvil.password: 'command:{script}'}}\n")
    driver = registry().storage_driver("anvil").settings
    assert driver is not None

    def load() -> list[str]:
        found = Sources(files=read_files([path]), environ={})
        held: list[Any] = [services.load(found, "fast").sources.load(driver) for _ in range(3)]
        return [each.password.reveal().strip() for each in held]

    assert load() == ["1", "1", "1"]
    assert load() == ["2", "2", "2"]

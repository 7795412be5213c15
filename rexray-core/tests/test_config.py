"""``rexray config``: what holds, what is wrong and where, the schema for editors, and the file to start from."""

from __future__ import annotations

import json
import os
import random
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

PLUGIN = """
from dataclasses import dataclass
from pathlib import Path
from rexray import hookimpl
from rexray.settings import Secret, setting
from rexray.testing.memory.node import MemoryNode
from rexray.testing.memory.storage import MemoryStorage

@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    endpoint: str = setting("", key="NAME.endpoint", help="Where")
    password: Secret = setting(Secret(""), key="NAME.password", help="The password")
    insecure: bool = setting(False, key="NAME.insecure", help="No TLS checks")
    retries: int = setting(3, key="NAME.maxRetries", help="Tries")
    share: float = setting(0.5, key="NAME.share", help="A share")
    wait: float = setting(1.0, key="NAME.wait.time", help="Pause", duration=True)
    mode: int = setting(0o600, key="NAME.fileMode", help="File mode", octal=True)
    kind: str = setting("thin", key="NAME.kind", help="Kind", choices=("thin", "thick"))
    pools: tuple[str, ...] = setting((), key="NAME.pools", help="Pools")
    folder: Path = setting(Path("/x"), key="NAME.wait.folder", help="A folder")
    place: str = setting("", key="NAME.place", help="Place", older=("NAMEZone", "old.NAME.zone"))

class Storage(MemoryStorage):
    name, aliases, settings = "NAME", (), Settings

class Node(MemoryNode):
    name, aliases, settings = "NAME", (), None

@hookimpl
def rexray_storage_drivers(): return [Storage]

@hookimpl
def rexray_node_drivers(): return [Node]
"""

VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "endpoint": (["x", "3", "true", "", "~", "a: b"], [["x"], {}]),
    "password": (
        ["x", "file:/x", "", "env:X", "command:pass show x", "environ:", "a file:b"],
        [["x"], {}, "file:x", "file:", "env:1", "env:X ", "command: ", "command:"],
    ),
    "insecure": (["true", "Off", "1", "T", " yes "], ["maybe", "", "2", ["true"], "1.0"]),
    "maxRetries": (["12", "-3", "+7", "1_000", " 7 "], ["many", "1.5", "", "0x10", "1__0", ["1"], "7\n7"]),
    "share": (["1", "1.5", "-.5", "2.", "1e3", "inf", "1_0.5"], ["half", "", "1e", ".", ["1"]]),
    "wait.time": (["500ms", "1m30s", "2.5", "3", ".5", "1.5h2ms"], ["3 parsecs", "", "-1", "1e3", "ms", "1.2.3s", {}]),
    "fileMode": (["0660", "660", "0o660", "7", "0000777"], ["888", "01000", "rw-", "-7", "", ["660"]]),
    "kind": (["thin", "thick"], ["thinn", "Thin", "", ["thin"]]),
    "pools": (["a,b", ["a", "b"], [], "", ["3"]], [[["a"]], [{"a": "b"}], {}, {"a": "b"}]),
    "wait.folder": (["/x", "rel", "~/x"], ["", ["x"], {}]),
    "place": (["east"], [["east"]]),
}
"""Of each setting of the plug-in, values that are read and values that are refused."""

ROOTS = ("rexray.services", "libstorage.server.services")

ORACLE = """
import json, sys
from pathlib import Path
import jsonschema, yaml
from rexray.settings_check import check
from rexray.settings_schema import json_schema
schema = json_schema()
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
answers = []
for path in sorted(Path(sys.argv[1]).iterdir()):
    read = yaml.load(path.read_text(), Loader=yaml.BaseLoader) or {}
    findings = [[f.place, f.key, f.message] for f in check([path])]
    answers.append([path.name, findings, validator.is_valid(read)])
print(json.dumps(answers))
"""


class Site:
    """A home with the plug-ins ``acme`` and ``zeta``, and no other drivers."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.etc = self.home / "etc"
        self.etc.mkdir(parents=True)
        plugins = folder / "plugins"
        plugins.mkdir(mode=0o700)
        for name in ("acme", "zeta"):
            (plugins / f"{name}.py").write_text(PLUGIN.replace("NAME", name))
            (plugins / f"{name}.py").chmod(0o600)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI", "CSI_"))}
        self.environ = {
            **clean,
            "HOME": str(self.home),
            "REXRAY_HOME": str(self.home),
            "REXRAY_PLUGINS_DIR": str(plugins),
            "REXRAY_PLUGINS": "acme,zeta,docker,csi",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            env={**self.environ, **environ},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def config(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "rexray", "config", *words, **environ)

    def rows(self, *words: str, **environ: str) -> list[dict[str, Any]]:
        answer = self.config(*words, "--format", "json", **environ)
        assert answer.stderr == ""
        found: list[dict[str, Any]] = json.loads(answer.stdout)
        return found

    def write(self, text: str, name: str = "config.yml") -> Path:
        path = (self.etc / name).resolve()
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_show_has_what_is_set_with_the_place_where_it_is(site: Site) -> None:
    path = site.write("acme:\n  endpoint: here\n  password: canary\nrexray.logLevel: warn\n")
    rows = {row["key"]: row for row in site.rows("show", ACME_MAXRETRIES="7", ACME_ENDPOINT="there")}
    assert {key: (row["value"], row["origin"]) for key, row in rows.items()} == {
        "acme.endpoint": ("there", "$ACME_ENDPOINT"),
        "acme.maxRetries": ("7", "$ACME_MAXRETRIES"),
        "acme.password": ("***", f"{path}:3:3: acme.password"),
        "rexray.logLevel": ("warn", f"{path}:4:1: rexray.logLevel"),
    }
    rows = {row["key"]: row for row in site.rows("show", "--all", "--acmeEndpoint", "flag")}
    assert rows["acme.endpoint"]["origin"] == "--acmeEndpoint"
    assert (rows["acme.fileMode"]["value"], rows["acme.fileMode"]["origin"]) == ("0600", "default")
    table = site.config("show").stdout
    assert "canary" not in table
    assert re.search(r"^acme\.password +\*\*\* +/", table, re.MULTILINE)


def test_show_is_of_the_service_that_is_chosen(site: Site) -> None:
    site.write("rexray.services: {a: {driver: acme, acme.endpoint: one}, b: {driver: acme, acme: {endpoint: two}}}")
    for service, value in (("a", "one"), ("b", "two")):
        row = next(row for row in site.rows("show", "-s", service) if row["key"] == "acme.endpoint")
        assert row["value"] == value
        assert row["origin"].endswith(f"rexray.services.{service}.acme.endpoint")


def test_check_lists_all_that_is_wrong_with_its_place(site: Site) -> None:
    path = site.write(
        "acme:\n"
        "  endpiont: x\n"
        "  maxRetries: many\n"
        "  password: [canary]\n"
        "  kind: thin\n"
        "acme.kind: thick\n"
        "rexray:\n"
        "  services:\n"
        "    fast: {driver: acme, zeta.endpoint: x, acme.maxRetries: few}\n"
        "    gone: {driver: nosuch}\n"
        "    lone: {acme.endpoint: x}\n"
        "    'a b': {driver: acme}\n"
    )
    broken = site.write("acme: [\n", "../.rexray/rexray.yaml")
    answer = site.config("check")
    lines = answer.stdout.splitlines()
    assert answer.returncode == 1
    assert [line.split(": ")[0] for line in lines] == [
        *(f"{path}:{place}" for place in ("2:3", "3:3", "4:3", "6:1", "9:26", "9:44", "10:12", "11:12", "12:13")),
        f"{broken}:2:1",
    ]
    assert lines[0].endswith("unknown setting 'acme.endpiont'; did you mean 'acme.endpoint'?")
    assert lines[1].endswith("acme.maxRetries: 'many' is not a whole number")
    assert lines[2].endswith("acme.password: the value is not a text")
    assert "acme.kind is written twice, first at 5:3" in lines[3]
    assert "rexray.services.fast.acme.maxRetries: 'few' is not a whole number" in lines[5]
    assert "rexray.services.gone.driver: driver 'nosuch' is not installed: pip install" in lines[6]
    assert "rexray.services.lone: driver 'lone' is not installed" in lines[7]
    assert "not valid YAML" in lines[9]
    assert "canary" not in answer.stdout + answer.stderr
    row = site.rows("check")[0]
    assert (row["file"], row["line"], row["column"], row["key"]) == (str(path), 2, 3, "acme.endpiont")


def test_check_of_one_file_looks_at_no_other(site: Site) -> None:
    site.write("acme.nope: x")
    other = site.write("acme.kind: thin", "other.yml")
    answer = site.config("check", str(other))
    assert (answer.returncode, answer.stdout) == (0, f"{other}: nothing is wrong\n"), answer.stderr
    answer = site.config("check", str(site.etc / "none.yml"))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == f"error: {site.etc}/none.yml: no such configuration file\n"


def test_check_without_any_file_says_where_it_looked(site: Site) -> None:
    answer = site.config("check")
    assert answer.returncode == 1
    assert f"{site.etc}/config.yml" in answer.stderr


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: &a\n  b: *a\n", "2:3", "a.b has itself for its value"),
        ("acme.pools: &a\n  - *a\n", "1:13", "a list has itself for an item"),
        ("? [a]\n: b\n", "1:3", "the name of a setting is expected"),
        ("acme.place: 1\nacme.place: 2\n", "2:1", "acme.place is written twice, first at 1:1: "),
        ("acme: {place: 1}\nAcme.Place: 2\n", "2:1", "acme.place is written twice, first at 1:8: "),
    ],
)
def test_what_no_file_can_mean_is_told_with_its_place(site: Site, text: str, place: str, message: str) -> None:
    path = site.write(text)
    answer = site.config("check")
    assert answer.returncode == 1, answer.stderr
    assert answer.stdout.startswith(f"{path}:{place}: {message}")
    assert site.config("show").stderr.startswith(f"error: {path}:")


def test_others_are_warned_of_secrets_that_they_can_read_and_of_nothing_else(site: Site) -> None:
    path = site.write("acme.password: canary")
    assert site.config("check").stderr == ""
    path.chmod(0o644)
    assert (
        site.config("check").stderr
        == f"{path}: others than its owner may read the secrets in it: say chmod 600 {path}\n"
    )
    path.write_text("acme: {password: 'file:/run/secret', endpoint: x}\n")
    assert site.config("check").stderr == ""


def test_init_writes_a_file_that_passes_as_it_is_and_with_every_line_uncommented(site: Site) -> None:
    answer = site.config("init")
    path = site.etc / "config.yml"
    assert (answer.returncode, answer.stdout) == (0, f"{path} is written\n"), answer.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert site.config("check").stdout == f"{path}: nothing is wrong\n"
    assert site.rows("show") == []
    text = path.read_text()
    for row in site.rows("show", "--all"):
        assert f"\n#{row['key']}: " in text
        assert row["env"] in text
        assert row["flag"] in text
    path.write_text(re.sub(r"^#(?=\w)", "", text, flags=re.MULTILINE))
    assert site.config("check").stdout == f"{path}: nothing is wrong\n"
    path.rename(site.etc / "full.yml")
    defaults = {row["key"]: row["value"] for row in site.rows("show", "--all")}
    (site.etc / "full.yml").rename(path)
    full = {row["key"]: row for row in site.rows("show", "--all")}
    assert {row["origin"].split(":")[0] for row in full.values()} == {str(path)}
    assert [key for key, row in full.items() if row["value"] != defaults[key]] == ["rexray.volume.mount.path"]


def test_init_writes_over_nothing(site: Site) -> None:
    path = site.write("acme.kind: thin")
    link = site.etc / "link.yml"
    link.symlink_to(site.etc / "nowhere")
    for file in (path, link):
        answer = site.config("init", str(file))
        assert answer.returncode == 1
        assert answer.stderr == f"error: {file}: it exists, and is not written over: name another file\n"
    assert path.read_text() == "acme.kind: thin"
    assert not (site.etc / "nowhere").exists()


def test_the_schema_is_one_and_helps_editors(site: Site) -> None:
    answer = site.config("schema")
    schema = json.loads(answer.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$defs"]["setting:acme.maxRetries"]["description"] == "Tries ($ACME_MAXRETRIES, --acmeMaxRetries)"
    assert schema["$defs"]["setting:acme.maxRetries"]["default"] == "3"
    assert schema["$defs"]["setting:acmeZone"]["deprecated"] is True
    assert "default" not in schema["$defs"]["setting:acme.password"]


@pytest.mark.parametrize(
    ("written", "valid"),
    [
        ({"acme": {"maxRetries": 3, "insecure": True, "fileMode": 660, "share": 0.5, "wait": {"time": 2.5}}}, True),
        ({"acme": {"endpoint": None, "place": 3, "pools": ["a", 3], "password": 1234}}, True),
        ({"ACME": {"maxretries": 3}, "Acme.Pools": None}, True),
        ({"acme": {"maxRetries": 3.5}}, False),
        ({"acme": {"maxRetries": True}}, False),
        ({"acme": {"insecure": 2}}, False),
        ({"acme": {"fileMode": 888}}, False),
        ({"acme": {"kind": None}}, False),
        ({"acme": {"wait": {"time": -1}}}, False),
        ({"acme": None}, False),
    ],
)
def test_what_yaml_makes_of_plain_scalars_is_valid_as_well(site: Site, written: object, valid: bool) -> None:
    schema = json.loads(site.config("schema").stdout)
    assert jsonschema.Draft202012Validator(schema).is_valid(written) == valid


class Maker:
    """Makes configurations of which it knows whether they are right."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def make(self, *, wrong: bool) -> dict[str, Any]:
        """A configuration with a few settings and services, and with one mistake if it is to be wrong."""
        document: dict[str, Any] = {}
        keys = self.chance.sample(sorted(VALUES), self.chance.randint(1, 5))
        mistakes: list[Callable[[], None]] = []
        mistakes.append(lambda: self._put(document, f"acme.{keys[0]}", self.chance.choice(VALUES[keys[0]][1])))
        mistakes.append(lambda: self._put(document, *self._unknown()))
        mistakes.append(lambda: self._services(document, self._wrong_service()))
        mistake = self.chance.randrange(3) if wrong else -1
        if wrong:
            mistakes[mistake]()
        for key in keys[1:]:
            self._put(document, f"acme.{key}", self.chance.choice(VALUES[key][0]))
        if mistake != 2 and self.chance.random() < 0.5:
            self._services(document, {})
        if self.chance.random() < 0.3:
            self._put(
                document,
                *self.chance.choice([("libstorage.service", "x"), ("linux.volume.filemode", "700"), ("a.b", {})]),
            )
        if mistake != 1 and self.chance.random() < 0.4:
            self._put(document, "rexray.modules", self._modules())
        return document

    def _modules(self) -> dict[str, Any]:
        """Modules that are right."""
        key = self.chance.choice(sorted(VALUES))
        return {
            "web": {"host": "tcp://127.0.0.1:1", **self._written(f"acme.{key}", self.chance.choice(VALUES[key][0]))},
            self._cased("side"): self.chance.choice(["", {}, {"libstorage.service": "a", "startTimeout": "3s"}]),
            self._cased("third.rexray.service"): "x",
        }

    def _wrong_module(self) -> tuple[str, object]:
        key = self.chance.choice(sorted(VALUES))
        wrong: list[tuple[str, object]] = [
            ("web", "x"),
            ("a b", {"host": "x"}),
            ("-a", {}),
            ("web", {"hots": "x"}),
            ("web.disabled", "maybe"),
            ("web", {"startTimeout": "long"}),
            ("web", {"other": {"key": "x"}}),
            ("web.rexray.services.a.driver", "acme"),
            ("web", {"rexray": {"modules": {"b": {"host": "x"}}}}),
            ("web", {"libstorage": {"host": "x"}}),
            ("web", {"rexray.nope": "x"}),
            (f"web.acme.{key}", self.chance.choice(VALUES[key][1])),
        ]
        name, value = self.chance.choice(wrong)
        if value == {} and name != "-a":  # says nothing, and is let be
            value = ["x", ["x"], {"x": ["x"]}]
        return f"rexray.modules.{name}", value

    def _unknown(self) -> tuple[str, object]:
        wrong = ["acme.endpiont", "acme.wait.tim", "acme.kind.of", "rexray.nope", "zeta", "zeta.acme", "rexray"]
        wrong += ["rexray.services", "libstorage.server.x", "libstorage.server.services", "rexray.modules"]
        wrong += ["other.key", "Other", "libstorage.host", "libstorage.tls", "efs.region", "libstorage.client.service"]
        if self.chance.random() < 0.4:
            return self._wrong_module()
        return self.chance.choice(wrong), self.chance.choice(["x", ["x"]])

    def _wrong_service(self) -> dict[str, Any]:
        """A service with a mistake, by its name."""
        key = self.chance.choice(sorted(VALUES))
        return self.chance.choice(
            [
                {"bad": {"driver": "nosuch"}},
                {"bad": {"driver": ["acme"]}},
                {"bad": {"driver": ""}},
                {"bad": {}},
                {"bad": ""},
                {"bad": "acme"},
                {"a b": {"driver": "acme"}},
                {"-a": {}},
                {"x" * 41: {"driver": "acme"}},
                {"bad": {"driver": "acme", "zeta": {"endpoint": "x"}}},
                {"acme": {"zeta.endpoint": "x"}},
                {"acme": {"driver": "zeta", "acme": {"endpoint": "x"}}},
                {"bad": {"driver": "acme", "rexray": {"logLevel": "info"}}},
                {"bad": {"driver": "acme", "dirver": "x"}},
                {"bad": {"driver": "acme", f"acme.{key}": self.chance.choice(VALUES[key][1])}},
                {"zeta": {f"zeta.{key}": self.chance.choice(VALUES[key][1])}},
                {"bad.driver": "nosuch"},
                {"acme.acme.endpiont": "x"},
                {"acme.acme.insecure": "maybe"},
            ]
        )

    def _services(self, document: dict[str, Any], more: dict[str, Any]) -> None:
        key = self.chance.choice(sorted(VALUES))
        good = {
            "fast": {self._cased("driver"): "acme", **self._written(f"acme.{key}", self.chance.choice(VALUES[key][0]))},
            "Slow_1": {"driver": "zeta", "rexray": {"docker.size": "8", "volume": {"mount": {"preempt": "true"}}}},
        }
        if "zeta" not in more:
            named: list[Any] = ["", {}, {"zeta": {"endpoint": "x"}}, {"driver": "acme", "acme.place": "x"}]
            good["zeta"] = self.chance.choice(named)
        self._put(document, self.chance.choice(ROOTS), {**good, **more})

    def _put(self, document: dict[str, Any], key: str, value: object) -> None:
        """Write a key, now nested, now with dots, in one case or another."""
        for name, written in self._written(key, value).items():
            if name in document and isinstance(document[name], dict) and isinstance(written, dict):
                self._merge(document[name], written)
            else:
                assert name not in document
                document[name] = written

    def _merge(self, into: dict[str, Any], more: dict[str, Any]) -> None:
        for name, value in more.items():
            if isinstance(into.get(name), dict) and isinstance(value, dict):
                self._merge(into[name], value)
            else:
                assert name not in into
                into[name] = value

    def _written(self, key: str, value: object) -> dict[str, Any]:
        parts = self._cased(key).split(".")
        at = self.chance.randint(1, len(parts))
        first, rest = ".".join(parts[:at]), ".".join(parts[at:])
        return {first: self._written(rest, value) if rest else value}

    def _cased(self, key: str) -> str:
        return key if self.chance.random() < 0.8 else self.chance.choice([key.upper(), key.lower(), key.title()])


def test_of_generated_files_check_and_schema_refuse_just_the_wrong_ones(site: Site) -> None:
    """600 files, of which half have one mistake: a wrong value, an unknown key, or a wrong service."""
    maker = Maker(8)
    folder = site.home / "generated"
    folder.mkdir()
    wrong = {}
    for number in range(600):
        name = f"{number:03}.yml"
        try:
            document = maker.make(wrong=number % 2 == 1)
        except AssertionError:  # one key came twice, in two ways of writing it
            continue
        wrong[name] = number % 2 == 1
        (folder / name).write_text(json.dumps(document, indent=1))
    assert len(wrong) > 400
    answer = site.run("-c", ORACLE, str(folder))
    assert answer.returncode == 0, answer.stderr
    for name, findings, valid in json.loads(answer.stdout):
        text = (folder / name).read_text()
        assert bool(findings) == wrong[name], f"{findings} in {text}"
        assert valid != wrong[name], f"the schema says {valid} of {text}"
        for (line, column), key, message in findings:
            written = text.splitlines()[line - 1][column - 1 :].lower()
            assert written.startswith('"')
            assert key.rpartition(".")[0].lower() in message.lower()

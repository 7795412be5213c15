"""``rexray driver new``: what it writes, what it refuses, and that its tests pass at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from rexray import __version__, catalog
from rexray.scaffold.kinds import KINDS
from rexray.scaffold.naming import MAX_LENGTH, checked
from rexray.scaffold.writing import contract, render

Run = Callable[..., subprocess.CompletedProcess[str]]

COMMON = {
    ".github/workflows/ci.yml",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "tests/test_conformance.py",
    "tests/test_readme.py",
}
PACKAGE = {"__init__.py", "plugin.py", "settings.py", "py.typed"}

PLACEHOLDER = re.compile(r"\$\{?(name|kind|distribution|package|Class|key|ENV|group|extra|contract|stubs|summary)\b")

each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``rexray driver new`` in an empty folder."""

    def new(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rexray", "driver", "new", *words],
            cwd=tmp_path,
            env={**clean_environ(), "REXRAY_HOME": str(tmp_path / ".home"), "HOME": str(tmp_path / ".home")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return new


def clean_environ() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("REXRAY_", "X_CSI", "CSI_"))}


def files_in(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def left_in(folder: Path) -> list[str]:
    """What is in the folder, but for what the program itself keeps for its user."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".home")


@each_kind
def test_a_distribution_has_all_that_one_needs(run: Run, tmp_path: Path, kind: str) -> None:
    answer = run("acme", "--kind", kind)
    assert answer.stderr == ""
    folder = tmp_path / ("rexray-os-acme" if kind == "os" else "rexray-driver-acme")
    files = files_in(folder)
    package = folder.name.replace("-", "_")
    assert files.keys() >= COMMON | {f"src/{package}/{name}" for name in PACKAGE}
    assert left_in(tmp_path) == [folder.name]
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["name"] == folder.name
    assert project["entry-points"] == {catalog.GROUPS[kind]: {"acme": f"{package}.plugin"}}
    assert project["dependencies"][0].endswith(">=0.1,<0.2")
    assert not [name for name, text in files.items() if PLACEHOLDER.search(text)]


@each_kind
def test_its_tests_pass_at_once(run: Run, tmp_path: Path, kind: str) -> None:
    run("acme", "--kind", kind, "--directory", "new")
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "new",
        env={**clean_environ(), "PYTHONPATH": str(tmp_path / "new" / "src"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout
    assert re.search(rf"^\| `acme` \| {kind} \|", answer.stdout, re.MULTILINE), "the kit's report is at the end"
    assert " failed" not in answer.stdout


@each_kind
def test_the_readme_is_rewritten_on_demand_and_compared_otherwise(run: Run, tmp_path: Path, kind: str) -> None:
    run("acme", "--kind", kind, "--directory", "new")
    readme = tmp_path / "new" / "README.md"
    text = readme.read_text()
    assert "| `acme." in text

    def test(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_readme.py"],
            cwd=tmp_path / "new",
            env={**clean_environ(), "PYTHONPATH": str(tmp_path / "new" / "src"), **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    readme.write_text(text.replace("| `acme.", "| `acme.old", 1))
    assert "REXRAY_WRITE_DOCS=1" in test().stdout
    assert test(REXRAY_WRITE_DOCS="1").returncode == 0
    assert readme.read_text() == text
    assert test().returncode == 0


def test_the_readme_names_no_command_that_refuses_the_kind() -> None:
    """``driver check`` starts no CSI plug-in, and says to run the kit."""
    readmes = {kind: render(KINDS[kind], checked("acme", KINDS[kind].prefix))["README.md"] for kind in KINDS}
    assert {kind for kind, text in readmes.items() if "rexray driver check acme" not in text} == {"csi"}
    assert "pytest --rexray-driver=acme" in readmes["csi"]


def test_it_says_what_comes_next(run: Run) -> None:
    lines = run("acme").stdout.splitlines()
    assert lines[1:6] == [
        "  cd rexray-driver-acme",
        "  pip install -e . --group test",
        "  pytest",
        "  rexray driver ls",
        "  rexray volume create data --size 1 -s acme",
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Acme", "what about 'acme'?"),
        ("my_array", "what about 'my-array'?"),
        ("9lives", "a letter first: what about 'lives'?"),
        ("-acme", "error"),
        ("a--b", "single dashes"),
        ("../acme", "what about 'acme'?"),
        ("acme\n", "what about 'acme'?"),
        ("", "a letter first"),
        ("größe", "small letters"),
        ("class", "a word of Python's"),
        ("match", "a word of Python's"),
        ("test", "for tests"),
        ("testify", "for tests"),
        ("a" * (MAX_LENGTH + 1), f"at most {MAX_LENGTH}"),
        ("docker", "is taken: rexray-core"),
        ("libstorage", "is taken: rexray-core"),
        ("rexray", "the setting 'rexray.host'"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_one_line(run: Run, tmp_path: Path, name: str, said: str) -> None:
    answer = run("--", name)
    assert answer.returncode != 0
    assert said in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert left_in(tmp_path) == []


def test_what_follows_from_a_name_with_dashes() -> None:
    names = checked("my-big-array2", "rexray-driver")
    assert (names.distribution, names.package) == ("rexray-driver-my-big-array2", "rexray_driver_my_big_array2")
    assert (names.class_prefix, names.key) == ("MyBigArray2", "myBigArray2")
    files = render(KINDS["storage"], names)
    assert "class MyBigArray2Storage(" in files["src/rexray_driver_my_big_array2/storage.py"]
    assert "`MYBIGARRAY2_ROOT`" in files["README.md"]


def test_a_folder_with_something_in_it_is_left_alone(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "rexray-driver-acme"
    folder.mkdir()
    assert run("acme").returncode == 0, "an empty one is as good as none"
    (folder / "README.md").write_text("mine")
    before = files_in(folder)
    answer = run("acme")
    assert answer.returncode == 1
    assert "is not empty: nothing was written" in answer.stderr
    assert files_in(folder) == before
    assert left_in(tmp_path) == [folder.name]


def test_an_empty_folder_that_somebody_works_in_is_filled_and_not_replaced(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir(mode=0o750)
    before = place.stat()
    answer = run("acme", "--directory", "place")
    assert (answer.returncode, answer.stderr) == (0, "")
    after = place.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert set(files_in(place)) == set(render(KINDS["storage"], checked("acme", "rexray-driver")))


def test_what_cannot_be_written_is_one_line_that_names_the_folder_and_leaves_nothing(tmp_path: Path) -> None:
    answer = subprocess.run(
        ["sh", "-c", 'ulimit -f 4; exec "$@"', "sh", sys.executable, "-m", "rexray", "driver", "new", "acme"],
        cwd=tmp_path,
        env={**clean_environ(), "REXRAY_HOME": str(tmp_path / ".home"), "HOME": str(tmp_path / ".home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == f"error: {tmp_path}/rexray-driver-acme: File too large\n"
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("what", ["file", "link", "hidden"])
def test_nothing_is_replaced(run: Run, tmp_path: Path, what: str) -> None:
    place = tmp_path / "place"
    if what == "file":
        place.write_text("mine")
    elif what == "link":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.mkdir()
        (place / ".git").mkdir()
    before = left_in(tmp_path)
    answer = run("acme", "--directory", "place")
    assert answer.returncode == 1
    assert "nothing was written" in answer.stderr
    assert left_in(tmp_path) == before


def test_a_folder_in_one_that_is_missing_is_refused(run: Run, tmp_path: Path) -> None:
    answer = run("acme", "--directory", "missing/new")
    assert "make it first" in answer.stderr
    assert left_in(tmp_path) == []


def test_a_kill_leaves_all_of_it_or_none(tmp_path: Path) -> None:
    """The folder gets its name by one rename: it is whole whenever it is there."""
    whole = set(render(KINDS["storage"], checked("acme", "rexray-driver")))
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rexray.scaffold.kinds import KINDS\n"
        "from rexray.scaffold.naming import checked\n"
        "from rexray.scaffold.writing import write\n"
        "names = checked('acme', 'rexray-driver')\n"
        "print('ready', flush=True)\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    write(KINDS['storage'], names, Path(sys.argv[1], f'new-{number}'))\n"
        "    print(number, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(4):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    found = [set(files_in(path)) for path in tmp_path.glob("new-*")]
    assert len(found) >= 3
    assert all(files == whole for files in found)


def test_the_range_of_contracts_ends_where_the_next_may_break() -> None:
    assert contract("0.1.0") == ">=0.1,<0.2"
    assert contract("1.4.2") == ">=1.4,<2"
    low, high = contract().split(",")
    assert low == f">={'.'.join(__version__.split('.')[:2])}"
    assert high.startswith("<")

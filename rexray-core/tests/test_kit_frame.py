"""The kit's own parts: what a check is, how it runs, what is tidied up, what is killed, and what is watched."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from broken_looks import AsksAtStart
from broken_storage import KeepsAll, memory_rig
from rexray.errors import AlreadyExists, InUse, NotFound, RexrayError
from rexray.settings import Secret, Sources, options_of
from rexray.testing.kit.check import Check, Failed, Skipped, Suite, expect_raises
from rexray.testing.kit.killing import MOMENTS, Call, Killed, sweep
from rexray.testing.kit.patience import patiently
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.running import Result, run_all
from rexray.testing.kit.suites import STORAGE
from rexray.testing.kit.watching import Watch, messages_of, with_value
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage
from rexray.types import Volume, VolumeId, VolumeSpec


@pytest.fixture
def rig(tmp_path: Path) -> StorageRig:
    return memory_rig(tmp_path)


def _check(run: Callable[[StorageRig], None]) -> Check[StorageRig]:
    return Check(name="this", kind="storage", help="It is so.", capabilities=(), reads_only=False, run=run)


def _result(run: Callable[[StorageRig], None], rig: StorageRig) -> Result:
    (result,) = run_all([_check(run)], lambda: rig)
    return result


def _raise(error: Exception) -> None:
    raise error


# Checks


def test_two_modules_cannot_have_checks_of_one_name() -> None:
    suite: Suite[StorageRig] = Suite("storage", [])

    def mine(rig: StorageRig) -> None: ...

    def other(rig: StorageRig) -> None: ...

    other.__name__, other.__module__ = "mine", "elsewhere"
    suite.check()(mine)
    with pytest.raises(ValueError, match="two storage checks are called mine"):
        suite.check()(other)


def test_an_expected_error_is_there_for_the_check_to_look_at() -> None:
    with expect_raises(NotFound, InUse, what="looking") as caught:
        _raise(InUse("volume 'a' is in use"))
    assert caught.text == "volume 'a' is in use"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AlreadyExists("it is there"), r"looking raised AlreadyExists \(it is there\), where NotFound was expected"),
        (KeyError("a"), "which is no RexrayError"),
        (NotFound("two\nlines"), "is not one line"),
        (NotFound(" "), "is not one line"),
    ],
)
def test_another_error_or_one_that_is_no_line_is_a_failure(error: Exception, said: str) -> None:
    with pytest.raises(Failed, match=said), expect_raises(NotFound, what="looking"):
        raise error


def test_no_error_where_one_is_expected_is_a_failure() -> None:
    with (
        pytest.raises(Failed, match="looking succeeded, where NotFound was expected"),
        expect_raises(NotFound, what="looking"),
    ):
        pass


# Running


def test_a_check_that_hangs_fails_when_its_time_is_over() -> None:
    release = threading.Event()
    with pytest.raises(Failed, match=r"hanging did not end within 0\.05 s"):
        patiently(0.05, "hanging", lambda: release.wait(20))
    release.set()


def test_a_driver_that_ends_the_process_fails_and_ends_nothing() -> None:
    def leave() -> None:
        raise SystemExit(1)

    with pytest.raises(Failed, match="SystemExit"):
        patiently(5, "leaving", leave)


def test_a_result_has_its_reason_in_one_line(rig: StorageRig) -> None:
    def fail(rig: StorageRig) -> None:
        raise OSError("two\nlines")

    result = _result(fail, rig)
    assert (result.outcome, result.reason) == ("failed", "OSError: two lines")


def test_a_check_that_does_not_apply_is_skipped_with_its_reason(rig: StorageRig) -> None:
    def skip(rig: StorageRig) -> None:
        raise Skipped("there is nothing to look at")

    result = _result(skip, rig)
    assert (result.outcome, result.reason) == ("skipped", "there is nothing to look at")


def test_a_check_whose_volumes_cannot_be_removed_fails(tmp_path: Path) -> None:
    result = _result(lambda rig: _make(rig), memory_rig(tmp_path, KeepsAll))
    assert result.outcome == "failed"
    assert "volumes are there after they were removed: 'vol-" in result.reason


def _make(rig: StorageRig) -> None:
    rig.create()


# Tidying up


def _names(rig: StorageRig) -> set[str]:
    return {volume.name for volume in rig.restarted().volumes()}


def test_all_that_a_check_made_is_removed_and_nothing_else(rig: StorageRig) -> None:
    before = _names(rig)
    with rig:
        volume = rig.create()
        rig.driver.attach(volume.id, rig.hosts(1)[0])
        rig.snapshot(rig.create())
        rig.group([volume])
        rig.create(rig.claim(f"-{rig.name()} 'x' *"))
        rig.driver.create(rig.spec(size_bytes=0))
    assert _names(rig) == before
    assert [snapshot.name for snapshot in MemoryStorage.make(rig.sources).snapshots()] == ["other-snapshot"]


def test_names_that_cannot_be_looked_up_do_not_stop_the_tidying(rig: StorageRig) -> None:
    before = _names(rig)
    with rig:
        rig.claim(rig.name("\0/.."))
        rig.create()
    assert _names(rig) == before


def test_a_name_of_somebody_elses_cannot_be_claimed(rig: StorageRig) -> None:
    with pytest.raises(ValueError, match="'other-0' may be somebody else's"):
        rig.claim("other-0")


class TakesAnothers(MemoryStorage):
    """``create`` returns a volume of somebody else's, as if it were the one."""

    def create(self, spec: VolumeSpec) -> Volume:
        return next(volume for volume in self.volumes() if volume.name.startswith("other-"))

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return self.volumes()


def test_what_was_there_before_is_never_removed_whatever_a_driver_says(tmp_path: Path) -> None:
    rig = memory_rig(tmp_path, TakesAnothers)
    before = _names(rig)
    with rig:
        rig.create()
    assert _names(rig) == before


def test_a_folder_that_no_report_can_be_written_to_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "test_it.py").write_text("def test_it():\n    print('it ran')\n")
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "--rexray-report=file/reports"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--rexray-report: file/reports: Not a directory" in answer.stderr
    assert "it ran" not in answer.stdout


def test_an_id_that_is_somebody_elses_by_now_is_left_alone(rig: StorageRig) -> None:
    with rig:
        volume = rig.create()
        with MemoryStorage.make(rig.sources).platform.array() as array:
            ours = array.state.volumes[volume.id]
            array.state.volumes[volume.id] = replace(ours, name="somebody's", content={"0": "YQ=="})
    assert rig.restarted().volume(volume.id).name == "somebody's"


class TakesPatterns(MemoryStorage):
    """``remove`` takes an id with a star for all that begins so; ids have no fixed length."""

    def create(self, spec: VolumeSpec) -> Volume:
        volume = super().create(spec)
        with self.platform.array() as array:
            longer = replace(array.state.volumes[volume.id], id=f"{volume.id}0", name=f"somebody's {volume.id}")
            array.state.volumes[longer.id] = longer
        return volume

    def remove(self, volume_id: VolumeId, *, force: bool = False) -> None:
        for volume in list(self.volumes()) if volume_id.endswith("*") else []:
            if volume.id.startswith(volume_id[:-1]):
                super().remove(volume.id, force=force)
        super().remove(volume_id, force=force)


def test_no_pattern_is_tried_that_could_match_what_is_somebody_elses(tmp_path: Path) -> None:
    rig = memory_rig(tmp_path, TakesPatterns)
    check = next(each for each in STORAGE.checks() if each.name == "remove_leaves_what_its_id_only_resembles")
    list(run_all([check], lambda: rig))
    assert [name for name in _names(rig) if name.startswith("somebody's")] != []


def test_a_volume_that_a_killed_process_made_is_removed(rig: StorageRig) -> None:
    before = _names(rig)
    with rig:
        spec = rig.spec()
        MemoryStorage.make(rig.sources).create(spec)
    assert _names(rig) == before


# Killing


def _swept(rig: StorageRig) -> list[tuple[Killed, bool]]:
    """Each kill of a create, and whether there is a volume afterwards."""
    calls = sweep(rig.target, rig.sources, lambda: Call(method="create", arguments=(rig.spec(),)))
    found = []
    for killed in calls:
        (spec,) = killed.call.arguments
        assert isinstance(spec, VolumeSpec)
        found.append((killed, bool(rig.named(spec.name))))
    return found


def test_a_call_is_killed_at_every_fault_point_and_at_moments(rig: StorageRig) -> None:
    with rig:
        found = _swept(rig)
    made = {killed.where: is_there for killed, is_there in found}
    points = {where.rsplit(" ", 1)[1]: is_there for where, is_there in made.items() if "fault point" in where}
    assert points == {"memory-create-asked": False, "memory-save-written": False, "memory-create-recorded": True}
    assert made["nowhere"] is True
    assert len([killed for killed, _ in found if killed.where.startswith("after ")]) == MOMENTS


def test_a_class_that_another_process_cannot_import_is_skipped(rig: StorageRig) -> None:
    class Local(MemoryStorage):
        """A class of this function."""

    with pytest.raises(Skipped, match="another process could import"):
        list(sweep(Local, rig.sources, lambda: Call(method="volumes")))


def test_a_driver_that_cannot_be_made_in_another_process_says_why(rig: StorageRig) -> None:
    with pytest.raises(RuntimeError, match=r"cannot be called in another process: .*cannot be reached"):
        list(sweep(AsksAtStart, rig.troubles["unreachable"], lambda: Call(method="volumes")))


def test_what_a_call_raises_in_another_process_is_for_the_check_to_see_afterwards(rig: StorageRig) -> None:
    call = Call(method="volume", arguments=(VolumeId("none"),))
    assert [killed.call for killed in sweep(rig.target, rig.sources, lambda: call)] == [call] * (1 + MOMENTS)


def test_a_sweep_that_is_left_ends_its_process(rig: StorageRig) -> None:
    calls = sweep(rig.target, rig.sources, lambda: Call(method="volumes"))
    assert isinstance(calls, Generator)
    next(calls)
    children = _children()
    calls.close()
    assert children - _children()


def _children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children").read_text().split())


# Watching


def test_a_watch_hears_every_logger_at_debug_and_leaves_levels_as_they_were() -> None:
    deaf = logging.getLogger("kit.frame.deaf")
    deaf.setLevel(logging.ERROR)
    deaf.propagate = False
    level = logging.root.level
    with Watch() as watch:
        deaf.debug("the word is %s", "sesame")
        try:
            raise ValueError("sesame in an error")
        except ValueError:
            logging.getLogger("kit.frame.error").exception("it failed")
    assert watch.places_of(("sesame",)) == ["the log of kit.frame.deaf", "the log of kit.frame.error"]
    assert (deaf.level, logging.root.level, deaf.handlers) == (logging.ERROR, level, [])


def test_a_watch_sees_the_command_lines_of_processes() -> None:
    with Watch() as watch:
        subprocess.run(["true", "--password=sesame"], check=True)
    subprocess.run(["true", "--password=later"], check=True)
    assert watch.places_of(("sesame",)) == ["the command line of a process"]
    assert watch.places_of(("later",)) == []


def test_all_that_an_error_came_of_is_looked_at() -> None:
    try:
        try:
            raise OSError("in the context")
        except OSError:
            raise RexrayError("in the error") from None
    except RexrayError as error:
        error.add_note("in a note")
        error.__cause__ = ExceptionGroup("in the cause", [KeyError("in the group")])
        text = " ".join(messages_of(error))
    for where in ("error", "context", "note", "cause", "group"):
        assert f"in {'a' if where == 'note' else 'the'} {where}" in text


def test_a_canary_wins_over_all_that_says_a_setting() -> None:
    (option,) = (each for each in options_of(MemorySettings) if each.secret)
    files = (("file", {"memory.password": "a", "rexray.services.fast.memory.password": "b"}),)
    sources = Sources(files=files, environ={"MEMORY_PASSWORD": "c"}, scopes=("rexray.services.fast.",))
    assert with_value(sources, option, "canary").load(MemorySettings).password == Secret("canary")


def test_calls_at_once_begin_together_and_give_results_and_errors(rig: StorageRig) -> None:
    gate = threading.Barrier(2, timeout=10)

    def fail() -> int:
        gate.wait()
        raise NotFound("not this one")

    first, second = rig.together(gate.wait, fail)
    assert isinstance(first, int)
    assert isinstance(second, NotFound)

"""Several processes share a platform in a file, and one that is killed at any point loses nothing that was said."""

from __future__ import annotations

import json
import re
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_memory_parts import MIB, THERE, Host, run_script

import rexray.testing.memory
from rexray.settings import Secret
from rexray.testing.memory.settings import MemorySettings

HEAD = """
import sys
from pathlib import Path
from test_memory_parts import MIB, THERE, Host
from rexray.testing.memory.settings import MemorySettings
host = Host(MemorySettings(file=sys.argv[1]))
target = Path(sys.argv[1]).parent / "m"
data = next(host.storage.volumes_named("data"), None)
"""

STEPS = {
    "create": "host.create()",
    "attach": "host.attach(data)",
    "connect": "host.connect(data)",
    "format": "host.os.probe(host.connect(data)) or host.os.format(host.connect(data), 'ext4')",
    "mount": "host.mount(data, target)",
    "write_file": "host.os.write_file(target / 'file', b'kept')",
    "freeze": "host.os.freeze(target)",
    "thaw": "host.os.thaw(target)",
    "bind": "host.os.bind(target, target.parent / 'b')",
    "create_snapshot": "host.storage.create_snapshot(data.id, 'snap')",
    "copy_snapshot": "host.storage.copy_snapshot(next(host.storage.snapshots()).id, 'copy', 'region-2')",
    "create_snapshot_group": "host.storage.create_snapshot_group('group', [data.id])",
    "expand": "host.storage.expand(data.id, 2 * MIB)",
    "grow": "host.os.grow(host.connect(data), target)",
    "remount": "host.os.remount(target, read_only=True)",
    "modify": "host.storage.modify(data.id, {'type': 'fast'})",
    "unmount": "[host.os.unmount(target.parent / name) for name in 'bm']",
    "disconnect": "host.node.disconnect(host.attach(data))",
    "detach": "host.storage.detach(data.id)",
    "rollback": "host.storage.rollback(data.id, next(host.storage.snapshots(volume_id=data.id)).id)",
    "remove_snapshot": "[host.storage.remove_snapshot(item.id) for item in host.storage.snapshots() if not item.group]",
    "remove_snapshot_group": "[host.storage.remove_snapshot_group(item.group) for item in host.storage.snapshots()]",
    "remove": "host.storage.remove(data.id) if data else None",
}
"""A life of a volume: each call that changes the platform, in an order in which each has something to do."""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(MemorySettings(file=str(tmp_path / "platform.json")))


def play(host: Host, call: str) -> None:
    """Make a call here."""
    folder = Path(host.settings.file).parent
    known = {"host": host, "target": folder / "m", "MIB": MIB}
    eval(STEPS[call], {**known, "data": next(host.storage.volumes_named("data"), None)})


def die(host: Host, call: str, point: str) -> None:
    """Make a call in a process that is killed at that point."""
    ended = run_script(HEAD + STEPS[call], [host.settings.file], fault=point)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def seen(host: Host) -> Any:
    """All that the platform knows, but for ids and times, which differ from one run to the next."""
    text = json.dumps(host.platform.state().to_json(), sort_keys=True)
    numbers: dict[str, str] = {}
    text = re.sub(
        r"(vol|snap|link|group)-[0-9a-f]{8}",
        lambda found: numbers.setdefault(found[0], f"{found[1]} {len(numbers)}"),
        text,
    )
    text = re.sub(r"20\d\d-\d\d-\d\dT[0-9:.+]+", "a time", text)
    found = json.loads(text)
    del found["made"]
    for volume in found["volumes"].values():
        volume["content"] = sorted(volume["content"])  # a filesystem's id is in it
    for snapshot in found["snapshots"].values():
        snapshot["content"] = sorted(snapshot["content"])
    return found


def test_the_sweep_makes_every_call_that_changes_something() -> None:
    sources = [path.read_text() for path in Path(rexray.testing.memory.__path__[0]).glob("*.py")]
    called = {name for text in sources for name in re.findall(r'_(?:change|set_frozen)\(\s*"(\w+)"', text)}
    assert called - {"using", "claim", "write_device"} == set(STEPS)


@pytest.mark.parametrize("point", ["memory-{}-asked", "memory-save-written", "memory-{}-recorded"])
def test_who_is_killed_at_any_point_of_any_call_and_tries_again_ends_like_who_was_not(
    host: Host, tmp_path: Path, point: str
) -> None:
    (tmp_path / "calm").mkdir()
    calm = Host(MemorySettings(file=str(tmp_path / "calm/platform.json")))
    for call in STEPS:
        before = seen(host)
        die(host, call, point.format(call))
        if point == "memory-save-written":
            assert seen(host) == before, f"{call} is half done"
        play(host, call)
        play(calm, call)
        assert _placeless(seen(host), tmp_path) == _placeless(seen(calm), tmp_path / "calm"), call
        play(host, call)
        assert _placeless(seen(host), tmp_path) == _placeless(seen(calm), tmp_path / "calm"), (
            f"{call} is not idempotent"
        )


def _placeless(found: Any, folder: Path) -> Any:
    return json.loads(json.dumps(found).replace(str(folder), "."))


def test_processes_see_what_others_do_and_their_calls(host: Host) -> None:
    assert run_script(HEAD + STEPS["create"], [host.settings.file]).returncode == 0
    [made] = host.storage.volumes()
    assert host.platform.calls == ["volumes_named", "volumes_named", "create", "volumes"]
    assert run_script(HEAD + STEPS["attach"], [host.settings.file]).returncode == 0
    assert len(host.storage.attachments(made.id)) == 1
    assert stat.S_IMODE(Path(host.settings.file).stat().st_mode) == 0o600


def test_a_fault_that_one_process_injects_meets_another(host: Host) -> None:
    host.platform.fail("create", message="from elsewhere")
    ended = run_script(HEAD + STEPS["create"], [host.settings.file])
    assert "rexray.errors.Unavailable: from elsewhere" in ended.stderr
    play(host, "create")


def test_processes_that_create_at_once_make_each_volume_once(host: Host) -> None:
    script = HEAD + "for n in range(20): host.create(f'v{n}'); host.create(f'own-{sys.argv[2]}-{n}')"
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda n: run_script(script, [host.settings.file, str(n)]), range(4)))
    assert [(item.returncode, item.stderr) for item in ended] == [(0, "")] * 4
    names = [volume.name for volume in host.storage.volumes()]
    assert sorted(names) == sorted([f"v{n}" for n in range(20)] + [f"own-{m}-{n}" for m in range(4) for n in range(20)])


def test_nothing_secret_is_in_the_files(host: Host, tmp_path: Path) -> None:
    host.platform.set_password("canary-password")
    known = Host(replace(host.settings, password=Secret("canary-password")))
    known.create(encrypted=True, encryption_key="canary-key")
    assert len(list(known.storage.volumes())) == 1
    for file in tmp_path.iterdir():
        assert "canary" not in file.read_text(), file


def test_what_is_taken_on_another_host_by_another_process_is_seen_here(host: Host, tmp_path: Path) -> None:
    made = host.create(size_bytes=MIB)
    host.mount(made, tmp_path / "m")
    ended = run_script(HEAD + "host.storage.attach(data.id, THERE, force=True)", [host.settings.file])
    assert ended.returncode == 0, ended.stderr
    assert [item.instance_id for item in host.storage.attachments(made.id)] == [THERE]
    with pytest.raises(OSError, match="Input/output error"):
        host.os.write_file(tmp_path / "m/file", b"x")

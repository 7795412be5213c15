"""The workflow where names, records and mounts are not what they were a moment ago."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from workflow_parts import NOTHING, Host, clean, mount_at

from rexray.errors import AlreadyExists, InUse, InvalidRequest, NotReady, SettingsError, Unavailable
from rexray.types import Attachment, InstanceId, Volume, VolumeId, VolumeSpec
from rexray.volumes.platform import find_platform
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.storage import LoopStorage

pytestmark = pytest.mark.needs("loop", "mkfs.ext4", "mkfs.xfs")


class Tagged(LoopStorage):
    """A platform whose names are tags, which anybody may give to anything."""

    def __init__(self, settings: LoopSettings) -> None:
        super().__init__(settings)
        self.tags: dict[str, str] = {}

    def create(self, spec: VolumeSpec) -> Volume:
        for volume in self.volumes_named(spec.name):
            return volume
        return self.tagged(f"vol-{len(self.tags) + 1}", spec.name)

    def tagged(self, volume_id: str, name: str) -> Volume:
        self.tags[volume_id] = name
        return self._tagged(super().create(VolumeSpec(name=volume_id, size_bytes=64 << 20)))

    def volume(self, volume_id: VolumeId) -> Volume:
        return self._tagged(super().volume(volume_id))

    def volumes(self) -> Iterator[Volume]:
        return map(self._tagged, super().volumes())

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return (volume for volume in self.volumes() if volume.name == name)

    def _tagged(self, volume: Volume) -> Volume:
        return replace(volume, name=self.tags.get(volume.id, volume.name))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    yield Host(tmp_path)
    clean(tmp_path)


@pytest.fixture
def cloud(host: Host) -> tuple[Host, Tagged]:
    storage = Tagged(host.sources.load(LoopSettings))
    return host.over(storage), storage


def ids(storage: Tagged) -> list[str]:
    return [volume.id for volume in storage.volumes()]


def test_an_id_means_that_volume_whatever_else_has_its_name(cloud: tuple[Host, Tagged]) -> None:
    host, storage = cloud
    host.create()
    host.write(content="precious")
    storage.tagged("vol-2", "data")
    with pytest.raises(InvalidRequest, match="is not unique: say which by its id, one of vol-1, vol-2"):
        host.mount()
    (host.mount("vol-2") / "file").write_text("of the second")
    host.unmount("vol-2")
    assert host.read("vol-1") == "precious"
    host.remove("vol-2")
    assert ids(storage) == ["vol-1"]
    assert host.read() == "precious"


def test_the_second_of_two_volumes_is_not_mistaken_for_the_mounted_first(cloud: tuple[Host, Tagged]) -> None:
    host, storage = cloud
    host.create()
    first = host.mount()
    storage.tagged("vol-2", "data")
    second = host.mount("vol-2", "c2")
    assert first != second
    (second / "file").write_text("two")
    assert not (first / "file").exists()
    host.unmount("vol-2", "c2")
    host.remove("vol-2")
    assert mount_at(first) is not None
    host.unmount()
    assert ids(storage) == ["vol-1"]


def test_a_record_says_nothing_about_a_volume_that_got_the_name_later(cloud: tuple[Host, Tagged]) -> None:
    host, storage = cloud
    host.create()
    storage.remove(VolumeId("vol-1"))
    del storage.tags["vol-1"]
    storage.tagged("vol-9", "data")
    host.write(content="new")
    assert host.read() == "new"
    host.remove()
    assert ids(storage) == []


def test_a_plain_create_never_formats_what_an_unfinished_one_was_to_format(host: Host) -> None:
    host.create("source")
    host.write("source", "old")
    host.snap(volume="source")
    host.create(snapshotname="snap")
    host.write(content="precious")
    record = host.record_file()
    record.parent.mkdir(parents=True, exist_ok=True)
    left = {
        "name": "data",
        "volume_id": "data",
        "context": {"overwritefs": "1000000000"},
        "holders": [],
        "mount_options": [],
    }
    record.write_text(json.dumps(left))
    host.create()
    with pytest.raises(NotReady, match="did not finish"):
        host.mount()
    record.unlink()
    assert host.read() == "precious"
    with pytest.raises(AlreadyExists, match="overwritefs formats only what the same call makes"):
        host.create(overwritefs="true")
    assert host.read() == "precious"


def test_what_is_mounted_at_the_path_by_others_is_not_unmounted(host: Host) -> None:
    host.create()
    target = host.home / "var/lib/volumes/data"
    target.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "foreign", str(target)], check=True)
    try:
        (target / "file").write_text("theirs")
        with pytest.raises(InUse, match="has foreign mounted"):
            host.mount()
        assert (target / "file").read_text() == "theirs"
    finally:
        subprocess.run(["umount", str(target)], check=True)
    assert host.in_use() == NOTHING


def test_recovery_leaves_alone_what_a_request_has_mounted_meanwhile(host: Host) -> None:
    for name in ("a", "b"):
        host.create(name)
        subprocess.run(["umount", str(host.mount(name, "before"))], check=True)
        record = json.loads(host.record_file(name).read_text())
        host.record_file(name).write_text(json.dumps({**record, "boot": "an earlier one"}))
    slow, storage = threading.Event(), LoopStorage(host.sources.load(LoopSettings))
    begun = threading.Event()

    class Slow(LoopStorage):
        def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
            if volume_id == "a":
                begun.set()
                assert slow.wait(30)
            storage.detach(volume_id, instance_id, force=force)

    again = host.again().over(Slow(host.sources.load(LoopSettings)))
    lines: list[str] = []
    recovery = threading.Thread(target=lambda: lines.extend(again.volumes.recover()))
    recovery.start()
    assert begun.wait(30)
    path = again.mount("b", "container")
    slow.set()
    recovery.join(60)
    assert mount_at(path) is not None
    assert any(line.startswith("a: interrupted") for line in lines)
    again.unmount("b", "container")
    assert again.in_use() == NOTHING


def test_one_busy_volume_does_not_keep_the_others_from_being_unmounted(host: Host) -> None:
    paths = {}
    for name in ("a", "b", "c"):
        host.create(name)
        paths[name] = host.mount(name)
    with (paths["b"] / "open").open("w"):
        done: list[str] = []
        with pytest.raises(InUse, match="1 still mounted: b: "):
            done.extend(host.volumes.unmount_all())
        assert done == ["a", "c"]
    assert list(host.volumes.unmount_all()) == ["b"]
    assert host.in_use() == NOTHING


def test_a_volume_is_unmounted_from_where_it_is_although_the_setting_has_changed(host: Host, tmp_path: Path) -> None:
    host.create()
    path = host.mount()
    moved = Host(tmp_path, REXRAY_VOLUME_MOUNT_PATH=str(tmp_path / "elsewhere"))
    assert moved.volumes.path("data") == path
    moved.unmount()
    assert moved.in_use() == NOTHING
    assert moved.mount().parent == tmp_path / "elsewhere"
    moved.unmount()


def test_only_a_mount_of_the_platforms_own_device_is_adopted(host: Host) -> None:
    host.create()
    own = host.mount()
    host.record_file().unlink(missing_ok=True)
    foreign = own.parent / "foreign"
    foreign.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "foreign", str(foreign)], check=True)
    try:
        assert list(host.again().volumes.recover()) == ["data: mount without a record, adopted"]
    finally:
        subprocess.run(["umount", str(foreign)], check=True)
    host.unmount("data", "whoever")
    assert host.in_use() == NOTHING


def test_a_link_in_a_volume_does_not_lead_out_of_it(tmp_path: Path) -> None:
    host = Host(tmp_path, REXRAY_VOLUME_MOUNT_ROOTPATH="/data")
    try:
        plain = Host(tmp_path)
        plain.create()
        (plain.mount() / "data").symlink_to("/etc")
        plain.unmount()
        with pytest.raises(NotReady, match="symbolic link"):
            host.mount()
        assert host.in_use() == NOTHING
    finally:
        clean(tmp_path)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"fstype": "ext44"}, "'ext44' is unknown; did you mean 'ext4'"),
        ({"mountoptions": "noatime,bind"}, "'bind' is no option"),
    ],
)
def test_what_no_mount_could_do_is_refused_when_the_volume_is_made(
    host: Host, options: dict[str, str], fault: str
) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        host.create(**options)
    assert host.names() == []


def test_a_create_that_is_repeated_with_other_options_is_refused(host: Host) -> None:
    host.create(fstype="xfs", size="300MiB")
    host.create(fstype="xfs", size="300MiB")
    host.create(size="300MiB")
    with pytest.raises(AlreadyExists, match="'fstype': 'xfs'"):
        host.create(fstype="ext4", size="300MiB")


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("REXRAY_VOLUME_MOUNT_RETRYCOUNT", "-1", "retryCount: -1 is less than none"),
        ("REXRAY_DOCKER_FSTYPE", "ext44", "fsType: 'ext44' is not one of"),
        ("REXRAY_VOLUME_MOUNT_ROOTPATH", "/../etc", "leads out of the volume"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, variable: str, value: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        Host(tmp_path, "here", None, **{variable: value})


def test_a_create_without_options_is_content_with_a_volume_of_any_size_and_origin(host: Host) -> None:
    host.create(size="100MiB", type="thick")
    assert host.create().size_bytes == 100 << 20
    assert host.create(fstype="ext4").size_bytes == 100 << 20
    host.snap()
    host.create("copy", snapshotname="snap")
    assert host.create("copy").size_bytes == 100 << 20
    with pytest.raises(AlreadyExists, match="104857600 bytes"):
        host.create(size="200MiB")


def test_an_attachment_that_cannot_be_connected_is_taken_back_unless_it_was_there(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = find_platform(host.sources)
    host.on(platform).create()

    def connect(attachment: Attachment, *, deadline: float) -> None:
        raise Unavailable(f"{attachment.volume_id}: not now")

    monkeypatch.setattr(platform.node, "connect", connect)
    with pytest.raises(Unavailable):
        host.volumes.attach("data", host.instance)
    assert host.holders_of_platform() == []
    platform.storage.attach(host.volumes.volume_id("data"), host.instance)
    with pytest.raises(Unavailable):
        host.volumes.attach("data", host.instance)
    assert host.holders_of_platform() == [host.instance]


def test_the_device_of_a_volume_that_was_taken_from_here_goes_with_its_mount(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = find_platform(host.sources)
    host.on(platform).create()
    disconnected: list[Attachment] = []
    monkeypatch.setattr(platform.node, "disconnect", disconnected.append)
    host.mount()
    with monkeypatch.context() as taken:
        taken.setattr(platform.storage, "attachments", lambda *_: ())
        steps: tuple[Callable[[], None], ...] = (host.unmount, lambda: host.volumes.detach("data", host.instance))
        for step in steps:
            step()
            (gone,) = disconnected
            assert (gone.volume_id, gone.instance_id) == (host.volumes.volume_id("data"), host.instance)
            disconnected.clear()

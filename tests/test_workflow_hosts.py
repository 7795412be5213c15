"""The workflow where several hosts have one volume, want one name, or one host and one volume have several names."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from workflow_parts import MIB, NOTHING, SIZES, Host, clean, mount_at, mounts_of, run_host

from rexray.errors import AlreadyExists, InUse
from rexray.types import Attachment, InstanceId, Volume, VolumeId, VolumeSpec
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.storage import LoopStorage

pytestmark = pytest.mark.needs("root", "loop", "mkfs.ext4")

THERE = InstanceId("there")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    yield Host(tmp_path)
    clean(tmp_path)


@pytest.fixture
def there(host: Host) -> Host:
    """Another host of the same platform."""
    return Host(host.home / "elsewhere", THERE, host.root)


def settings(host: Host) -> LoopSettings:
    return host.sources.load(LoopSettings)


# One volume on several hosts


class Shared(LoopStorage):
    """An array on which an administrator may give a volume to further hosts, which have it without asking us."""

    def __init__(self, settings: LoopSettings, *, allowed: bool = False) -> None:
        super().__init__(settings)
        self.allowed = allowed
        self.others: list[InstanceId] = []
        self.detached: list[str | None] = []

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        further = (Attachment(volume_id=volume_id, instance_id=other) for other in self.others)
        found = (*super().attachments(volume_id), *further)
        return tuple(item for item in found if instance_id in (None, item.instance_id))

    def attach(
        self,
        volume_id: VolumeId,
        instance_id: InstanceId,
        *,
        device: str = "",
        read_only: bool = False,
        force: bool = False,
    ) -> Attachment:
        if self.others and not self.allowed:
            if not force:
                raise InUse(f"volume {volume_id!r} is attached to {', '.join(self.others)} as well")
            self.others.clear()
        return super().attach(volume_id, instance_id, device=device, read_only=read_only, force=force)

    def detach(self, volume_id: VolumeId, instance_id: InstanceId | None = None, *, force: bool = False) -> None:
        self.detached.append(instance_id)
        if instance_id in self.others:
            self.others.remove(InstanceId(instance_id))
        elif instance_id == self._settings.instance_id:
            super().detach(volume_id, instance_id, force=force)


def shared(host: Host, *, allowed: bool = False) -> Shared:
    """The host on an array where its volume ``data`` is attached to it and to another host."""
    storage = Shared(settings(host), allowed=allowed)
    host.over(storage)
    host.create()
    host.volumes.attach("data", host.instance)
    storage.others.append(THERE)
    return storage


def test_a_volume_that_another_host_has_as_well_is_not_mounted(host: Host) -> None:
    shared(host)
    for use in (host.mount, lambda: host.volumes.attach("data", host.instance)):
        with pytest.raises(InUse, match="attached to there as well"):
            use()
    assert mounts_of(host.home) == []
    assert host.data().stat().st_blocks == 0, "not even formatted"
    assert [item.instance_id for item in host.over().volumes.get("data").attachments] == ["here"], "as it was found"


def test_preempt_takes_a_volume_from_the_other_hosts_that_have_it_as_well(host: Host) -> None:
    storage = shared(host)
    assert mount_at(host.mount(preempt=True))
    assert storage.others == []


def test_a_volume_that_may_have_several_hosts_is_mounted(host: Host) -> None:
    storage = shared(host, allowed=True)
    assert mount_at(host.mount())
    assert storage.others == [THERE]
    host.unmount()
    assert storage.detached == [], "as it was found"


@pytest.mark.needs("mkfs.xfs")
def test_a_mounted_volume_grows_whoever_else_has_got_it_meanwhile(host: Host) -> None:
    storage = Shared(settings(host))
    host.over(storage)
    host.create(fstype="xfs", size=SIZES["xfs"])
    path = host.mount()
    before = os.statvfs(path).f_blocks
    storage.others.append(THERE)
    host.expand(600 * MIB)
    assert os.statvfs(path).f_blocks > before


# One host by several words


@pytest.mark.parametrize("word", ["HERE", "10.0.0.1"])
@pytest.mark.parametrize("others", [[], [THERE]], ids=["alone", "shared"])
def test_a_mounted_volume_is_not_detached_from_what_may_be_another_word_for_this_host(
    host: Host, word: str, others: list[InstanceId]
) -> None:
    storage = Shared(settings(host))
    host.over(storage)
    host.create()
    path = host.mount()
    storage.others += others
    for force in (False, True):
        with pytest.raises(InUse, match="mounted for 1 holder"):
            host.volumes.detach("data", InstanceId(word), force=force)
    assert storage.detached == [], "the driver, which may know the word, is not asked"
    assert mount_at(path)


def test_a_mounted_volume_is_detached_from_another_host_that_has_it(host: Host) -> None:
    storage = Shared(settings(host))
    host.over(storage)
    host.create()
    path = host.mount()
    storage.others.append(THERE)
    host.volumes.detach("data", THERE)
    assert storage.others == []
    assert mount_at(path)


def test_a_mounted_volume_is_not_given_to_another_host_by_force(host: Host, there: Host) -> None:
    storage = Shared(settings(host))
    host.over(storage)
    host.create()
    host.mount()
    with pytest.raises(InUse, match="mounted for 1 holder: unmount it first"):
        host.volumes.attach("data", there.instance, force=True)
    assert host.holders_of_platform() == ["here"]


# One name wanted by several hosts


class Late(LoopStorage):
    """A platform on which something happens between a create's look for the volume and its making."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def create(self, spec: VolumeSpec) -> Volume:
        self.meanwhile()
        return super().create(spec)


def late(host: Host, meanwhile: Callable[[], object]) -> Late:
    storage = Late(settings(host))
    storage.meanwhile = meanwhile
    host.over(storage)
    return storage


def test_overwritefs_does_not_format_what_another_host_has_made_and_written_meanwhile(host: Host, there: Host) -> None:
    def theirs() -> None:
        there.create()
        there.write(content="theirs")

    storage = late(host, theirs)
    with pytest.raises(AlreadyExists, match="is not blank"):
        host.create(overwritefs="true")
    storage.meanwhile = lambda: None
    with pytest.raises(AlreadyExists, match="overwritefs formats only what the same call makes"):
        host.create(overwritefs="true")
    assert host.read() == "theirs", "and what was not formatted can be mounted"
    assert host.in_use() == NOTHING


def test_overwritefs_does_not_format_a_copy_that_another_host_has_got_meanwhile(host: Host, there: Host) -> None:
    host.create("source")
    host.write("source", "old")

    def theirs() -> None:
        there.create(volumename="source")
        there.mount()

    late(host, theirs)
    with pytest.raises(InUse, match="there"):
        host.create(volumename="source", overwritefs="true")
    (there.mount() / "file").write_text("theirs")
    there.unmount()
    with pytest.raises(AlreadyExists, match="overwritefs formats only what the same call makes"):
        host.over().create(volumename="source", overwritefs="true")
    assert host.read() == "theirs"


def test_overwritefs_does_not_format_a_copy_that_several_hosts_have(host: Host) -> None:
    storage = Shared(settings(host), allowed=True)
    host.over(storage)
    host.create("source")
    host.write("source", "theirs")
    storage.others.append(THERE)
    with pytest.raises(InUse, match="not formatted"):
        host.create(volumename="source", overwritefs="true")
    storage.others.clear()
    assert host.read() == "theirs"


@pytest.mark.parametrize("point", ["volume-created", "volume-disconnected", "volume-detached"])
def test_a_create_with_overwritefs_that_was_killed_is_finished_by_the_next_one(host: Host, point: str) -> None:
    call = "host.create('data', overwritefs='true')"
    assert run_host(host.home, call, fault=point).status == -9
    assert run_host(host.home, call).status == 0
    host.write()
    assert host.read() == "precious"


# One volume by several names


class Shortened(LoopStorage):
    """A platform on which a name has no more than five characters, and its volumes are also found by longer ones."""

    before: Callable[[], object] = staticmethod(lambda: None)

    def create(self, spec: VolumeSpec) -> Volume:
        made = super().create(replace(spec, name=f"vol-{spec.name[:5]}"))
        return replace(made, name=spec.name)

    def volume(self, volume_id: VolumeId) -> Volume:
        return _shortened(super().volume(volume_id))

    def volumes(self) -> Iterator[Volume]:
        return map(_shortened, super().volumes())

    def volumes_named(self, name: str) -> Iterator[Volume]:
        return (replace(volume, name=name) for volume in self.volumes() if volume.name == name[:5])

    def attachments(self, volume_id: VolumeId, instance_id: InstanceId | None = None) -> tuple[Attachment, ...]:
        self.before()
        return super().attachments(volume_id, instance_id)


def _shortened(volume: Volume) -> Volume:
    return replace(volume, name=volume.id.partition("-")[2])


LONG, SHORT, ID = "longer", "longe", "vol-longe"


@pytest.fixture
def shortened(host: Host) -> Shortened:
    storage = Shortened(settings(host))
    host.over(storage)
    return storage


@pytest.mark.parametrize("noted", [True, False], ids=["made here", "made elsewhere"])
@pytest.mark.parametrize("first", [LONG, SHORT, ID])
@pytest.mark.parametrize("second", [LONG, SHORT, ID])
def test_a_volume_has_one_mount_by_whichever_of_its_names(
    host: Host, shortened: Shortened, first: str, second: str, noted: bool
) -> None:
    if noted:
        host.create(LONG)
    else:
        shortened.create(VolumeSpec(name=LONG, size_bytes=64 * MIB))
    path = host.mount(first, "c1")
    assert host.mount(second, "c2") == path
    assert len(mounts_of(host.home)) == 1
    for word in (LONG, SHORT, ID):
        assert host.volumes.path(word) == path
    [listed] = host.volumes.list()
    assert (listed.name, listed.attachments[0].mount_point) == (SHORT, str(path))
    with pytest.raises(InUse, match="mounted for 2 holders"):
        host.volumes.detach(second, host.instance)
    host.unmount(second, "c1")
    host.unmount(first, "c2")
    assert host.in_use() == NOTHING
    assert host.holders_of_platform(LONG) == []
    assert len(list(host.record_file().parent.glob("*.json"))) == 1
    host.remove(second)
    assert list(host.record_file().parent.glob("*.json")) == []


def test_a_volume_that_is_mounted_by_two_names_at_once_has_one_mount(host: Host, shortened: Shortened) -> None:
    shortened.create(VolumeSpec(name=LONG, size_bytes=64 * MIB))
    reached, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        reached.set()
        assert go_on.wait(30)

    paths: list[Path] = []
    shortened.before = wait
    one = threading.Thread(target=lambda: paths.append(host.mount(LONG, "c1")))
    one.start()
    assert reached.wait(30)  # it has chosen its name, and noted nothing
    passed = threading.Event()
    second = Shortened(settings(host))
    second.before = passed.set
    other = host.again().over(second)
    two = threading.Thread(target=lambda: paths.append(other.mount(SHORT, "c2")))
    two.start()
    assert not passed.wait(1), "it waits for the first"
    go_on.set()
    for thread in (one, two):
        thread.join(60)
    shortened.before = lambda: None
    assert len(paths) == 2
    assert len(set(paths)) == 1
    host.unmount(LONG, "c1")
    host.unmount(SHORT, "c2")
    assert host.in_use() == NOTHING


def test_options_that_a_volume_was_made_with_are_its_own_by_whichever_name(host: Host, shortened: Shortened) -> None:
    host.create(LONG, fstype="ext2")
    with pytest.raises(AlreadyExists, match="'fstype': 'ext2'"):
        host.create(SHORT, fstype="ext3")
    host.create(SHORT, fstype="ext2")
    with pytest.raises(AlreadyExists, match="overwritefs formats only what the same call makes"):
        host.create(SHORT, overwritefs="true")
    assert len(list(host.record_file().parent.glob("*.json"))) == 1

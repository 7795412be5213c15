"""Clients of the daemon, each with volumes of its own, and one that several of them share."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

from checks import sha256_of
from talking import Talk
from world import Belief, Over, World

from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from service_parts import Daemon

SIZE = 32 << 20
MOST_BYTES = 256 << 10
SHARED = "shared"

_MODES = pb.VolumeCapability.AccessMode
_WRITER = pb.VolumeCapability(
    mount=pb.VolumeCapability.MountVolume(fs_type="ext4"), access_mode=_MODES(mode=_MODES.SINGLE_NODE_WRITER)
)


class Client:
    """What every client does: rounds until the run ends, with a pause wherever no call is under way."""

    def __init__(self, daemon: Daemon, world: World, name: str, seed: str) -> None:
        self.daemon = daemon
        self.world = world
        self.name = name
        self.random = random.Random(f"{seed}/{name}")
        self.talk = Talk(daemon, world, name)

    def run(self) -> None:
        """Work until the run ends; what is wrong is noted in the world."""
        number = 0
        try:
            while not self.world.finishing:
                self.world.pause()
                self.round(number)
                number += 1
            self.last()
        except Over:
            pass
        except Exception as error:  # noqa: BLE001 whatever it is, it is no success
            self.world.violated(f"{self.name}: {type(error).__name__}: {error}")
        finally:
            self.world.ended()

    def round(self, number: int) -> None:
        """A volume's life, or a part of one."""
        raise NotImplementedError

    def last(self) -> None:
        """Let go of what was kept between rounds."""

    def write(self, belief: Belief, where: Path) -> None:
        """A file more, and its fsync(2); or one of the old ones anew."""
        label = f"{self.name}-{self.random.randrange(6)}"
        data = self.random.randbytes(self.random.randrange(1, MOST_BYTES))
        temporary, final = where / f".{label}", where / label
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(final)
        folder = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        belief.files[label] = hashlib.sha256(data).hexdigest()
        self.world.count(written=len(data))

    def verify(self, belief: Belief, where: Path, *, own: bool = False) -> None:
        """Every file that was fsynced is there as it was; with ``own``, those of this client."""
        for label, digest in list(belief.files.items()):
            if own and not label.startswith(f"{self.name}-"):
                continue
            found = sha256_of(where / label)
            if found != digest:
                self.world.violated(f"{self.name}: {belief.name}: {label} is {found}, and {digest} was fsynced")
                raise Over


class DockerClient(Client):
    """Volumes of its own through their whole life, by several holders, with a snapshot now and then."""

    def round(self, number: int) -> None:
        """A volume's whole life."""
        belief = self.world.add(Belief(f"{self.name}-{number}"))
        with self.world.unsure(belief):
            self.talk.docker("Create", Name=belief.name, Opts={"size": f"{SIZE >> 20}MiB", "fstype": "ext4"})
        for _ in range(self.random.randrange(1, 4)):
            self.world.pause()
            self._use(belief)
        if self.random.random() < 0.4:
            self._snapshot(belief, number)
        self.world.pause()
        with self.world.unsure(belief):
            self.talk.docker("Remove", gone=True, Name=belief.name)
            self.world.forget(belief)

    def _use(self, belief: Belief) -> None:
        """Several holders, who come and go in any order, and files."""
        for number in range(self.random.randrange(1, 4)):
            self.world.pause()
            self.mount(belief, f"{self.name}-holder-{number}")
            self.write(belief, Path(belief.path))
        self.world.pause()
        self.verify(belief, Path(belief.path))
        holders = sorted(belief.holders)
        self.random.shuffle(holders)
        for holder in holders:
            self.world.pause()
            self.unmount(belief, holder)

    def mount(self, belief: Belief, holder: str) -> None:
        """One holder more."""
        with self.world.unsure(belief):
            belief.path = self.talk.docker("Mount", Name=belief.name, ID=holder)["Mountpoint"]
            belief.holders.add(holder)

    def unmount(self, belief: Belief, holder: str) -> None:
        """One holder less."""
        with self.world.unsure(belief):
            belief.holders.discard(holder)
            self.talk.docker("Unmount", Name=belief.name, ID=holder)

    def _snapshot(self, belief: Belief, number: int) -> None:
        """A snapshot by CSI's word, and a volume that is made of it by Docker's: it has what the volume had."""
        self.world.pause()
        snapshot = f"snap-{self.name}-{number}"
        copy = self.world.add(Belief(f"copy-{self.name}-{number}", files=dict(belief.files)))
        self.world.snapshots.add(snapshot)
        with self.world.unsure(belief, copy):
            asked = pb.CreateSnapshotRequest(source_volume_id=belief.name, name=snapshot)
            made = self.talk.csi(rpc.CREATE_SNAPSHOT, asked).snapshot.snapshot_id
            self.talk.docker("Create", Name=copy.name, Opts={"snapshotname": snapshot})
        self.world.pause()
        self.mount(copy, f"{self.name}-copy")
        self.world.pause()
        self.verify(copy, Path(copy.path))
        self.unmount(copy, f"{self.name}-copy")
        self.world.pause()
        with self.world.unsure(copy, belief):
            self.talk.docker("Remove", gone=True, Name=copy.name)
            self.world.forget(copy)
            self.talk.csi(rpc.DELETE_SNAPSHOT, pb.DeleteSnapshotRequest(snapshot_id=made))
            self.world.snapshots.discard(snapshot)


class SharingClient(DockerClient):
    """A volume that every client of this kind uses: each a holder of its own, with files of its own."""

    def round(self, number: int) -> None:
        """One holder more for a while."""
        belief = self.world.beliefs[SHARED]
        self.mount(belief, f"{self.name}-{number}")
        self.world.pause()
        where = Path(belief.path)
        for _ in range(self.random.randrange(1, 4)):
            self.write(belief, where)
            self.verify(belief, where, own=True)
            self.world.pause()
        self.unmount(belief, f"{self.name}-{number}")


class KeepingClient(DockerClient):
    """A volume that is mounted as long as it can be, through many deaths of the daemon, and written to."""

    def round(self, number: int) -> None:
        """Files more; seldom is it unmounted."""
        name = f"{self.name}-kept"
        belief = self.world.beliefs.get(name)
        if belief is None:
            belief = self.world.add(Belief(name))
            with self.world.unsure(belief):
                self.talk.docker("Create", Name=name, Opts={"size": f"{SIZE >> 20}MiB", "fstype": "ext4"})
        if not belief.holders:
            self.mount(belief, f"{self.name}-holder")
        for _ in range(20):
            self.world.pause()
            self.write(belief, Path(belief.path))
            self.verify(belief, Path(belief.path))
        if self.random.random() < 0.1:
            self.unmount(belief, f"{self.name}-holder")

    def last(self) -> None:
        """Let go of the volume."""
        for belief in [belief for belief in self.world.beliefs.values() if belief.name == f"{self.name}-kept"]:
            self.unmount(belief, f"{self.name}-holder")


class CSIClientOfSoak(Client):
    """What Kubernetes does: attach, stage, publish, and back; twice, for the data have to be there the second time."""

    def round(self, number: int) -> None:
        """A volume's whole life."""
        belief = self.world.add(Belief(f"{self.name}-{number}"))
        node = self.talk.csi(rpc.NODE_GET_INFO, pb.NodeGetInfoRequest()).node_id
        with self.world.unsure(belief):
            wanted = pb.CapacityRange(required_bytes=SIZE)
            made = pb.CreateVolumeRequest(name=belief.name, volume_capabilities=[_WRITER], capacity_range=wanted)
            self.talk.csi(rpc.CREATE_VOLUME, made)
        for _ in range(self.random.randrange(1, 3)):
            self._use(belief, node)
        self.world.pause()
        with self.world.unsure(belief):
            self.talk.csi(rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=belief.name))
            self.world.forget(belief)

    def _use(self, belief: Belief, node: str) -> None:
        folder = self.daemon.home / "csi" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        staging, target = folder / "staging", folder / "target"
        staging.mkdir(exist_ok=True)
        self.world.pause()
        with self.world.unsure(belief):
            attach = pb.ControllerPublishVolumeRequest(volume_id=belief.name, node_id=node, volume_capability=_WRITER)
            context = dict(self.talk.csi(rpc.CONTROLLER_PUBLISH_VOLUME, attach).publish_context)
        stage = pb.NodeStageVolumeRequest(
            volume_id=belief.name,
            staging_target_path=str(staging),
            volume_capability=_WRITER,
            publish_context=context,
        )
        publish = pb.NodePublishVolumeRequest(
            volume_id=belief.name,
            staging_target_path=str(staging),
            target_path=str(target),
            volume_capability=_WRITER,
            publish_context=context,
        )
        unpublish = pb.NodeUnpublishVolumeRequest(volume_id=belief.name, target_path=str(target))
        unstage = pb.NodeUnstageVolumeRequest(volume_id=belief.name, staging_target_path=str(staging))
        detach = pb.ControllerUnpublishVolumeRequest(volume_id=belief.name, node_id=node)
        self._step(belief, lambda: self.talk.csi(rpc.NODE_STAGE_VOLUME, stage), add=staging)
        self._step(belief, lambda: self.talk.csi(rpc.NODE_PUBLISH_VOLUME, publish), add=target)
        belief.path = str(target)
        for _ in range(self.random.randrange(1, 4)):
            self.world.pause()
            self.write(belief, target)
        self.verify(belief, target)
        self._step(belief, lambda: self.talk.csi(rpc.NODE_UNPUBLISH_VOLUME, unpublish), drop=target)
        self._step(belief, lambda: self.talk.csi(rpc.NODE_UNSTAGE_VOLUME, unstage), drop=staging)
        self._step(belief, lambda: self.talk.csi(rpc.CONTROLLER_UNPUBLISH_VOLUME, detach))

    def _step(
        self, belief: Belief, act: Callable[[], object], *, add: Path | None = None, drop: Path | None = None
    ) -> None:
        self.world.pause()
        with self.world.unsure(belief):
            belief.places.discard(str(drop))
            act()
            if add is not None:
                belief.places.add(str(add))

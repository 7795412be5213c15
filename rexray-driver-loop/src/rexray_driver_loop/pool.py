"""The platform on disk: one directory with its volumes, snapshots, instances, keys and locks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rexray.errors import AlreadyExists, NotFound
from rexray.locks import Locks
from rexray.names import check_name
from rexray_driver_loop.crypt import Keys
from rexray_driver_loop.files import read_record, told, write_record
from rexray_driver_loop.grouprecords import Groups
from rexray_driver_loop.model import InstanceMeta, SnapshotMeta, VolumeMeta
from rexray_driver_loop.scratch import Scratch
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.store import LOCK_SECONDS, Store, lock_key

_SUFFIX = ".json"


class Instances:
    """The hosts that have said who they are, a JSON file each."""

    def __init__(self, folder: Path, locks: Locks) -> None:
        self._folder = folder
        self._locks = locks

    def load(self, name: str) -> InstanceMeta:
        """What is known of an instance; ``NotFound`` if nothing."""
        meta = self._look(name)
        if meta is None:
            raise NotFound(f"instance {name!r} does not exist: no REX-Ray with that loop.instanceID was here yet")
        return meta

    def entries(self) -> Iterator[tuple[str, InstanceMeta]]:
        """Every instance, sorted by its id."""
        for file in sorted(os.listdir(self._folder)):
            name = file.removesuffix(_SUFFIX)
            meta = self._look(name) if name != file else None
            if meta is not None:
                yield name, meta

    def register(self, name: str, meta: InstanceMeta) -> None:
        """Note an instance; noted so already costs one read, ``AlreadyExists`` if it is another machine's."""
        if self._look(name) != meta:
            lock = self._locks.hold(lock_key("instance", name), owner=f"registering {name!r}", timeout=LOCK_SECONDS)
            with told(f"registering {name!r}"), lock:
                noted = self._look(name) or meta
                self._refuse_other_machine(name, noted, meta)
                write_record(self._folder, name + _SUFFIX, replace(meta, machine=meta.machine or noted.machine))

    def _refuse_other_machine(self, name: str, noted: InstanceMeta, meta: InstanceMeta) -> None:
        if noted.machine and meta.machine and noted.machine != meta.machine:
            raise AlreadyExists(
                f"instance {name!r} is another machine's: set loop.instanceID to an id of this host's own; "
                f"if that machine is gone, or this one was installed anew, remove {self._folder}/{name}{_SUFFIX}"
            )

    def _look(self, name: str) -> InstanceMeta | None:
        return read_record(f"{self._folder}/{check_name(name, 'instance id')}{_SUFFIX}", InstanceMeta)


class Pool:
    """Everything below the directory that the settings name, made and tidied up when it is first needed."""

    def __init__(self, settings: LoopSettings) -> None:
        settings.check()
        root = settings.directory
        self.root = root
        self.instance = settings.instance
        self.zone = settings.zone
        self.locks = Locks(root / "locks", keep=True)
        self.scratch = Scratch(root / "tmp")
        self.volumes = Store(root / "volumes", VolumeMeta, "volume", self.scratch, self.locks)
        self.snapshots = Store(root / "snapshots", SnapshotMeta, "snapshot", self.scratch, self.locks)
        self.groups = Groups(root / "groups", self.locks)
        self.instances = Instances(root / "instances", self.locks)
        self.keys = Keys(settings.keys, self.locks)
        with told(f"using {root}"):
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in ("locks", "tmp", "volumes", "snapshots", "groups", "instances"):
                (root / folder).mkdir(exist_ok=True, mode=0o700)
            self.scratch.sweep()

    def key_of(self, meta: VolumeMeta) -> Path | None:
        """The key file of a volume, None if it is not encrypted."""
        return self.keys.path(meta.key) if meta.encrypted else None

    def attached_to(self, instance: str) -> list[str]:
        """The names of the volumes that an instance has."""
        return [name for name, meta in self.volumes.entries() if meta.attached_to == instance]

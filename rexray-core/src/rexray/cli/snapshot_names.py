"""Which snapshots the user named, and which ones they are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from rexray.cli.targets import Target
from rexray.cli.verbs import F
from rexray.errors import InvalidRequest, NotFound, Unsupported
from rexray.hints import nearest
from rexray.mixins import Snapshots
from rexray.types import Snapshot, SnapshotId, VolumeId


def snapshot_targets(*, required: bool = True, several: bool = True) -> Callable[[F], F]:
    """Give a command ``targets``: its arguments, or what ``--snapshotname`` or ``--snapshotid`` says."""

    def decorate(function: F) -> F:
        @click.argument("names", nargs=-1, metavar="[SNAPSHOT]..." if several else "[SNAPSHOT]")
        @click.option("--snapshotname", metavar="NAME", help="A snapshot by its exact name.")
        @click.option("--snapshotid", metavar="ID", help="A snapshot by its id.")
        @functools.wraps(function)
        def command(
            *args: Any, names: tuple[str, ...], snapshotname: str | None, snapshotid: str | None, **kwargs: Any
        ) -> None:
            if snapshotname and snapshotid:
                raise click.UsageError("--snapshotname and --snapshotid say the same thing: give one of them")
            found = [Target(name) for name in names]
            found += [Target(snapshotname, "name")] if snapshotname else []
            found += [Target(snapshotid, "id")] if snapshotid else []
            if required and not found:
                raise click.UsageError("say which snapshot: its id, its name, --snapshotname or --snapshotid")
            if len(found) > 1 and not several:
                raise click.UsageError("this is done to one snapshot at a time")
            function(*args, targets=tuple(dict.fromkeys(found)), **kwargs)

        return command

    return decorate


class Finder:
    """Finds snapshots by exact id, else by exact name; ``volume_id`` narrows it to those of one volume."""

    def __init__(self, snapshots: Snapshots, volume_id: VolumeId | None = None) -> None:
        self._snapshots = snapshots
        self._volume_id = volume_id

    def one(self, target: Target) -> Snapshot:
        """The snapshot; ``NotFound`` with a hint, ``InvalidRequest`` if several have the name."""
        if target.by != "name":
            found = self._by_id(target.word)
            if found is not None:
                return found
        return self._by_name(target)

    def all(self) -> list[Snapshot]:
        """Every one."""
        return list(self._snapshots.snapshots(volume_id=self._volume_id))

    def _by_id(self, word: str) -> Snapshot | None:
        try:
            found = list(self._snapshots.snapshots(snapshot_id=SnapshotId(word)))
        except NotFound:
            return None
        except Unsupported:  # it cannot be asked for; whoever acts on it will be told if it is not there
            return Snapshot(id=SnapshotId(word), name="", volume_id=VolumeId(""))
        fits = (item for item in found if item.id == word and self._volume_id in (None, item.volume_id))
        return next(fits, None)

    def _by_name(self, target: Target) -> Snapshot:
        known = self.all()
        found = [item for item in known if item.name == target.word and target.by != "id"]
        if len(found) > 1:
            ids = ", ".join(item.id for item in found)
            raise InvalidRequest(f"snapshot {target.word!r} is not unique: say which by its id, one of {ids}")
        if found:
            return found[0]
        of = f" of volume {self._volume_id!r}" if self._volume_id else ""
        words = {name for item in known for name in (item.id, item.name)} - {target.word}
        near = nearest(target.word, words)
        hint = f"; did you mean {near!r}?" if near else ""
        raise NotFound(f"snapshot {target.word!r}{of} does not exist{hint}")

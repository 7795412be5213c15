"""Encrypted volumes: encrypted from the start, and so is what is made of them."""

from __future__ import annotations

from rexray.errors import AlreadyExists, NotReady, SettingsError, Unsupported
from rexray.mixins import Clone, Encrypted, Snapshots
from rexray.testing.kit.check import Skipped, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig, times
from rexray.testing.kit.storage.parts import ready_snapshot
from rexray.testing.kit.suites import STORAGE
from rexray.types import Volume


@STORAGE.check(Encrypted)
def an_encrypted_volume_says_so_everywhere(rig: StorageRig) -> None:
    """``create`` with ``encrypted`` makes a volume that says so, wherever it is told of."""
    volume = _encrypted(rig)
    found = (volume, rig.driver.volume(volume.id), *rig.named(volume.name), rig.restarted().volume(volume.id))
    expect_equal({each.encrypted for each in found}, {True}, "whether the volume is encrypted, by each call")


@STORAGE.check(Encrypted)
def an_encrypted_volume_said_ten_times_is_one(rig: StorageRig) -> None:
    """Making an encrypted volume is idempotent."""
    name = rig.name()
    ids = {volume.id for volume in times(10, lambda: _encrypted(rig, name))}
    expect_equal([each.id for each in rig.named(name)], list(ids), "the volumes of the name after ten creates")


@STORAGE.check(Encrypted)
def a_plain_volume_is_not_taken_for_an_encrypted_one(rig: StorageRig) -> None:
    """A volume of that name that is not encrypted is ``AlreadyExists``: secrets would be written to it in the clear."""
    _encrypted(rig)
    plain = rig.create()
    if plain.encrypted:
        raise Skipped("the platform encrypts every volume")
    with expect_raises(AlreadyExists, what="making an encrypted volume whose name a plain one has"):
        rig.create(plain.name, encrypted=True)
    expect_equal(rig.driver.volume(plain.id).encrypted, False, "whether the plain volume is encrypted afterwards")


@STORAGE.check(Encrypted, Snapshots)
def a_volume_of_an_encrypted_snapshot_is_encrypted(rig: StorageRig) -> None:
    """What is made of a snapshot of an encrypted volume is encrypted, asked for or not."""
    snapshot = ready_snapshot(rig, _encrypted(rig))
    made = rig.create(source_snapshot=snapshot.id, size_bytes=snapshot.size_bytes)
    expect_equal(rig.driver.volume(made.id).encrypted, True, "whether the volume of the snapshot is encrypted")


@STORAGE.check(Encrypted, Clone)
def a_clone_of_an_encrypted_volume_is_encrypted(rig: StorageRig) -> None:
    """A clone of an encrypted volume is encrypted, asked for or not."""
    source = _encrypted(rig)
    made = rig.create(source_volume=source.id, size_bytes=source.size_bytes)
    expect_equal(rig.driver.volume(made.id).encrypted, True, "whether the clone is encrypted")


def _encrypted(rig: StorageRig, name: str = "") -> Volume:
    """An encrypted volume with the key of the settings; skipped where those name none, or this host cannot encrypt."""
    try:
        return rig.create(name, encrypted=True)
    except (SettingsError, NotReady, Unsupported) as error:
        raise Skipped(f"nothing can be encrypted with these settings, or on this host: {error}") from None

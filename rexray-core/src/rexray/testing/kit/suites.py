"""The suites of the kit, one for each kind of driver, and where their checks are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexray.testing.kit.check import Suite

if TYPE_CHECKING:
    from rexray.testing.kit.csi_rig import CSIRig
    from rexray.testing.kit.node_rig import NodeRig
    from rexray.testing.kit.os_rig import OSRig
    from rexray.testing.kit.rig import StorageRig
    from rexray.testing.kit.volume_rig import VolumeRig

_HERE = "rexray.testing.kit"

STORAGE: Suite[StorageRig] = Suite(
    "storage",
    [
        f"{_HERE}.storage.{module}"
        for module in (
            "creating",
            "removing",
            "listing",
            "naming",
            "racing",
            "recovering",
            "failing",
            "keeping",
            "declaring",
            "attaching",
            "detaching",
            "holding",
            "snapshots",
            "restoring",
            "groups",
            "copies",
            "clones",
            "growing",
            "modifying",
            "rolling",
            "readonly",
            "telling",
            "encrypting",
        )
    ],
)

VOLUME: Suite[VolumeRig] = Suite(
    "volume",
    [
        f"{_HERE}.volume.{module}"
        for module in (
            "creating",
            "naming",
            "removing",
            "listing",
            "mounting",
            "attaching",
            "recovering",
            "racing",
            "offering",
        )
    ],
)

NODE: Suite[NodeRig] = Suite(
    "node", [f"{_HERE}.node.{module}" for module in ("knowing", "mapping", "connecting", "refusing", "disconnecting")]
)

OS: Suite[OSRig] = Suite(
    "os",
    [
        f"{_HERE}.os.{module}"
        for module in (
            "looking",
            "locating",
            "probing",
            "formatting",
            "mounting",
            "unmounting",
            "binding",
            "filling",
            "placing",
        )
    ],
)

CSI: Suite[CSIRig] = Suite(
    "csi",
    [
        f"{_HERE}.csi.{module}"
        for module in ("telling", "creating", "listing", "attaching", "mounting", "snapshots", "changing")
    ],
)

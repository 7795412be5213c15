"""The suites of the kit, one for each kind of driver, and where their checks are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexray.testing.kit.check import Suite

if TYPE_CHECKING:
    from rexray.testing.kit.rig import StorageRig

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
            "snapshots",
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

"""What is unknown, recalled or inferred of a real array, each as a switch, so that tests can try every answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True)
class Switches:
    """Read at each request: a test may set them while the simulator runs. The defaults are the stricter answers."""

    delete_mapped: Literal["refuse", "cascade"] = "refuse"
    """DELETE of a mapped volume: refused, or its mappings go with it."""
    delete_with_snapshots: bool = True
    """Whether a volume that has snapshots can be deleted."""
    orphan_ancestor: Literal["emptied", "kept"] = "emptied"
    """What ancestor-vol-id of a snapshot is after its source is gone."""
    naa_at: Literal["map", "create"] = "map"
    """When a volume gets its naa-name; it keeps it then."""
    indexes_reused: bool = True
    """Whether the lowest free index goes to the next object."""
    digit_strings: Literal["index", "name"] = "index"
    """What a string of digits refers to in a body."""
    v1_post_by_index_ok: bool = True
    """Whether v1 takes integers for references in bodies."""
    xms_below_4: bool = True
    """Whether an XMS below 4.0 has the type ``xms``; the clusters tell the version otherwise."""
    snapshot_names: Literal["suffix", "opaque"] = "suffix"
    """v2 calls a snapshot ``<volume>.<snap-suffix>``; or ``<volume>.<milliseconds>`` whatever the suffix is."""
    snapshot_link: Literal["snapshots", "volumes", "snapshot-sets"] = "snapshots"
    """What the links of a v2 POST to snapshots are of."""
    empty_sets: Literal["gone", "kept"] = "gone"
    """What becomes of a snapshot set without snapshots."""
    restore_identity: Literal["kept", "moved"] = "kept"
    """A restored volume is the same object; or a new one (index, guid) with the old one's name, naa and mappings."""
    restore_other_size: Literal["refuse", "take"] = "refuse"
    """A restore from a snapshot of another size: refused, or the volume gets the snapshot's size."""
    rename_key: Literal["both", "vol-name", "name"] = "both"
    """The key that v2 takes to rename a volume; v1 takes ``vol-name`` only."""
    extra_filters: Literal["refuse", "ignore"] = "refuse"
    """Several ``filter`` parameters before 4.2: refused, or the first one counts."""
    unknown_properties: Literal["refuse", "ignore"] = "refuse"
    """Keys of a body that the operation does not know."""
    missing_volume: str = "vol_obj_not_found"
    """The message where a body refers to a volume that is missing."""
    already_mapped: str = "vol_already_mapped"
    """The message for a mapping that exists; clients test that it contains ``already_mapped``."""
    chap_mode: Literal["disabled", "initiator"] = "disabled"
    chap_discovery_mode: Literal["disabled", "initiator"] = "disabled"
    chap_passwords: Literal["masked", "clear"] = "masked"
    """How an initiator's CHAP passwords are returned."""
    first_lun: int = 1
    """The LUN that the array begins to search for a free one at."""
    volumes_limit: int = 8192
    """Volumes and snapshots of a cluster; beyond it too_many_objs."""
    snapshots_per_volume: int = 512
    """Beyond it too_many_snapshots_per_vol."""
    name_limit: int = 0
    """The longest name; 0 is no limit."""

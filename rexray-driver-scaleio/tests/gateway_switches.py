"""What differs between versions of the gateway, or is not known for sure; and a clock that tests set."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True, slots=True)
class Switches:
    """What a test may choose. None is what the gateway's version says. Every field may be set while it runs."""

    token_idle_seconds: float = 600
    """A token dies when it is not used for so long; recalled from the vendor's words, not seen."""
    token_life_seconds: float = 28800
    """A token dies this long after the login, used or not; recalled as well."""
    expired_status: int = 401
    """The status for a token that is dead or unknown; old clients of others expect 403 too."""
    bearer: bool = False
    """From 4.0: only ``POST /rest/auth/login`` and Bearer are accepted, and every Basic is refused."""
    version_needs_login: bool = True
    """Whether ``GET /api/version`` wants a token; unverified."""
    mapped_twice_code: int | None = None
    """81; 4037 from 4.0."""
    not_mapped_code: int | None = None
    """84; 4039 from 4.0."""
    not_found_code: int = 79
    """Of a volume; 78 in old releases."""
    removal_in_progress: int = 0
    """How many times the removal of each volume is answered with 212 before it succeeds."""
    errors_in_details: bool = False
    """Whether the code is in ``details`` below the head "Error with details" and errorCode 0."""
    empty_object: bool = False
    """Whether a successful action answers ``{}`` in place of nothing."""
    statistics_misspelt: bool = False
    """Whether the property is called ``thinCapacityAllocatedInKm``, and the right spelling is unknown."""
    rounds_up: bool = True
    """Whether a creation rounds up to 8 GiB; if not, it is refused with 225."""
    overwrite_supported: bool | None = None
    """overwriteVolumeContent: from 3.0."""
    overwrite_of_mapped: bool = True
    """Whether a mapped volume may be overwritten; unverified. If not, it is refused with 104."""
    unmap_of_none_refused: bool = True
    """Whether removeMappedSdc with allSdcs answers 84 if there is no mapping; unverified."""
    orphans: Literal["adopted", "dangling"] = "adopted"
    """Whose children the snapshots of a removed volume are: its own ancestor's, or still its own; unverified."""
    snapshots_per_vtree: int | None = None
    """126; 254 from 3.0."""
    volumes_per_sdc: int = 8192
    over_allocation: float = 10
    """How many times its capacity a pool promises to thin volumes; not in the facts. Thick ones get it once."""
    get_by_name: bool = True
    """Whether the old ``getByName::`` and ``getByIp::`` are answered."""
    query_id_by_key: bool = True
    """Whether ``queryIdByKey`` is answered."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a release has."""

    text: str

    @property
    def number(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.text.split(".")[:2])

    def since(self, major: int) -> bool:
        return self.number >= (major, 0)

    def code(self, code: int, switches: Switches) -> int:
        """What this version calls a 3.x error."""
        match code:
            case 79:
                return switches.not_found_code
            case 81:
                return switches.mapped_twice_code or (4037 if self.since(4) else 81)
            case 84:
                return switches.not_mapped_code or (4039 if self.since(4) else 84)
        return code

    def snapshots_per_vtree(self, switches: Switches) -> int:
        known = 254 if self.since(3) else 126
        return known if switches.snapshots_per_vtree is None else switches.snapshots_per_vtree

    def overwrites(self, switches: Switches) -> bool:
        return self.since(3) if switches.overwrite_supported is None else switches.overwrite_supported


class Clock:
    """The time by which tokens die: the machine's, and what a test adds to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        with self._lock:
            return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._ahead += seconds

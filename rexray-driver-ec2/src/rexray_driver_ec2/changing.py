"""Changing volumes that are there: their size, type and speed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rexray import faults
from rexray.errors import InvalidRequest, RexrayError, Unavailable
from rexray.mixins import Expand, Modify
from rexray.types import Volume, VolumeId
from rexray_driver_ec2.base import Ec2Calls
from rexray_driver_ec2.refusals import code_of
from rexray_driver_ec2.wishes import number, whole_gib

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import ModifyVolumeRequestTypeDef, VolumeTypeDef

MODIFIABLE = ("volumetype", "iops", "throughput")
"""What ``modify`` changes; ``type`` is another word for the first."""


class ChangeCalls(Ec2Calls, Expand, Modify):
    """``expand`` and ``modify`` of the contract.

    EC2 allows four changes of a volume in 24 hours, one at a time; a change that alters nothing would count as one.
    """

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        """Grow to at least that size, in whole GiB; as large already is success. It may be in use meanwhile."""
        item = self._volume(volume_id)
        size = whole_gib(size_bytes, limit_bytes, f"volume {volume_id!r}")
        if item["Size"] >= size:
            return self._described(item)
        return self._described(self._change({"VolumeId": volume_id, "Size": size}))

    def modify(self, volume_id: VolumeId, options: Mapping[str, str]) -> Volume:
        """Change type, IOPS and throughput; what is so already is left out, and an unknown option changes nothing."""
        item = self._volume(volume_id)
        wanted: ModifyVolumeRequestTypeDef = {"VolumeId": volume_id}
        for option, value in options.items():
            key = {"type": "volumetype"}.get(option.lower(), option.lower())
            if key == "volumetype":
                wanted["VolumeType"] = value  # type: ignore[typeddict-item]  # EC2 knows which there are
            elif key == "iops":
                wanted["Iops"] = number(option, value)
            elif key == "throughput":
                wanted["Throughput"] = number(option, value)
            else:
                raise InvalidRequest(f"option {option!r} cannot be changed: there are {', '.join(MODIFIABLE)}")
        if _is_so(item, wanted):
            return self._described(item)
        return self._described(self._change(wanted))

    def _change(self, wanted: ModifyVolumeRequestTypeDef) -> VolumeTypeDef:
        """Have EC2 make the volume so, and wait until it is as good as that."""
        volume_id = VolumeId(wanted["VolumeId"])
        faults.point("ec2-modify-asking")
        try:
            with self._api.calling("ModifyVolume", f"volume {volume_id!r}") as ec2:
                ec2.modify_volume(**wanted)
        except RexrayError as error:
            if code_of(error) != "IncorrectModificationState" or not self._is_under_way(wanted):
                raise
        faults.point("ec2-modify-asked")
        self._describer.until(
            f"changing volume {volume_id!r}", lambda: self._state_of_change(volume_id), lambda state: state == "usable"
        )
        return self._describer.until(
            f"changing volume {volume_id!r}", lambda: self._volume(volume_id), lambda found: _is_so(found, wanted)
        )

    def _is_under_way(self, wanted: ModifyVolumeRequestTypeDef) -> bool:
        """Whether the change that EC2 is busy with leads to what is wanted: a call was repeated, or its answer lost."""
        change = self._describer.change(wanted["VolumeId"])
        if change is None or change["ModificationState"] not in ("modifying", "optimizing"):
            return False
        targets = {
            "Size": change.get("TargetSize"),
            "VolumeType": change.get("TargetVolumeType"),
            "Iops": change.get("TargetIops"),
            "Throughput": change.get("TargetThroughput"),
        }
        return all(targets[key] == value for key, value in wanted.items() if key in targets)

    def _state_of_change(self, volume_id: VolumeId) -> str:
        """``usable`` once the volume is used as it shall be: EC2 calls it ``optimizing`` then, for hours maybe."""
        change = self._describer.change(volume_id)
        if change is None:
            return ""
        if change["ModificationState"] == "failed":
            raise Unavailable(f"volume {volume_id!r}: EC2 failed to change it: {change.get('StatusMessage') or 'why?'}")
        return "usable" if change["ModificationState"] in ("optimizing", "completed") else ""


def _is_so(item: VolumeTypeDef, wanted: ModifyVolumeRequestTypeDef) -> bool:
    there = {
        "Size": item["Size"],
        "VolumeType": item.get("VolumeType"),
        "Iops": item.get("Iops"),
        "Throughput": item.get("Throughput"),
    }
    return all(there[key] == value for key, value in wanted.items() if key in there)

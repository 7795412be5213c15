"""Changing volumes that are there: their size, type and speed."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rexray import faults
from rexray.errors import InvalidRequest, RexrayError, Unavailable
from rexray.mixins import Expand, Modify
from rexray.types import Volume, VolumeId
from rexray_driver_ec2.base import Ec2Calls
from rexray_driver_ec2.refusals import code_of, is_unsure
from rexray_driver_ec2.snapping import LOOKS
from rexray_driver_ec2.wishes import number, refuse_larger, whole_gib

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import ModifyVolumeRequestTypeDef, VolumeModificationTypeDef, VolumeTypeDef

MODIFIABLE = ("volumetype", "iops", "throughput")
"""What ``modify`` changes; ``type`` is another word for the first."""

LOOKS_PER_CHECK = 3
"""How often the volume itself is looked at, which shows a change as soon as it can be used, before EC2 is asked what
has become of the change."""
_TAKEN = ("IncorrectModificationState", "VolumeModificationRateExceeded")
"""What EC2 answers where this very change may be under way already."""


class ChangeCalls(Ec2Calls, Expand, Modify):
    """``expand`` and ``modify`` of the contract.

    EC2 allows four changes of a volume in 24 hours, one at a time; a change that alters nothing would count as one.
    """

    def expand(self, volume_id: VolumeId, size_bytes: int, *, limit_bytes: int = 0) -> Volume:
        """Grow to at least that size, in whole GiB; as large already is success. It may be in use meanwhile."""
        item = self._volume(volume_id)
        size = whole_gib(size_bytes, limit_bytes, f"volume {volume_id!r}")
        refuse_larger(size, item["VolumeType"], f"volume {volume_id!r}")
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
        was_unsure = False
        for tries_left in range(self._settings.max_retries, -1, -1):
            faults.point("ec2-modify-asking")
            try:
                with self._api.calling("ModifyVolume", f"volume {volume_id!r}", once=True) as ec2:
                    ec2.modify_volume(**wanted)
                break
            except RexrayError as error:
                unsure = is_unsure(error)
                if not unsure and code_of(error) not in _TAKEN:
                    raise
                was_unsure = was_unsure or unsure
                if self._is_under_way(wanted, patient=was_unsure):
                    break
                if not unsure or not tries_left:
                    raise
        faults.point("ec2-modify-asked")
        looks = itertools.count(1)

        def is_done(item: VolumeTypeDef) -> bool:
            if not _is_so(item, wanted) and next(looks) % LOOKS_PER_CHECK == 0:
                self._refuse_failed(wanted)
            return _is_so(item, wanted)

        return self._describer.until(f"changing volume {volume_id!r}", lambda: self._volume(volume_id), is_done)

    def _is_under_way(self, wanted: ModifyVolumeRequestTypeDef, *, patient: bool) -> bool:
        """Whether EC2 is busy with just this change, or through with it: a call was repeated, or its answer lost."""
        for look in range(LOOKS if patient else 1):
            if look:
                time.sleep(1.0)
            change = self._describer.change(wanted["VolumeId"])
            if change is not None and change["ModificationState"] != "failed" and _leads_to(change, wanted):
                return True
        return False

    def _refuse_failed(self, wanted: ModifyVolumeRequestTypeDef) -> None:
        """``Unavailable`` if EC2 has given this change up."""
        change = self._describer.change(wanted["VolumeId"])
        if change is not None and change["ModificationState"] == "failed" and _leads_to(change, wanted):
            why = change.get("StatusMessage") or "it does not say why"
            raise Unavailable(f"volume {wanted['VolumeId']!r}: EC2 failed to change it: {why}")


def _leads_to(change: VolumeModificationTypeDef, wanted: ModifyVolumeRequestTypeDef) -> bool:
    targets = {
        "Size": change.get("TargetSize"),
        "VolumeType": change.get("TargetVolumeType"),
        "Iops": change.get("TargetIops"),
        "Throughput": change.get("TargetThroughput"),
    }
    return all(targets[key] == value for key, value in wanted.items() if key in targets)


def _is_so(item: VolumeTypeDef, wanted: ModifyVolumeRequestTypeDef) -> bool:
    there = {
        "Size": item["Size"],
        "VolumeType": item.get("VolumeType"),
        "Iops": item.get("Iops"),
        "Throughput": item.get("Throughput"),
    }
    return all(there[key] == value for key, value in wanted.items() if key in there)

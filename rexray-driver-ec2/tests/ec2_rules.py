"""What EC2 says about EBS: its errors, the limits of volume types, device names, filters and pages."""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.ec2.exceptions import EC2ClientError

Params = Mapping[str, Any]
Answer = dict[str, Any]


def refuse(code: str, message: str) -> Exception:
    """An error as EC2 answers it, to be raised; its HTTP status is 400."""
    error: Exception = EC2ClientError(code, message)
    return error


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The limits of a type of volumes: GiB, operations per second, MiB per second."""

    sizes: tuple[int, int]
    iops: tuple[int, int] | None = None
    iops_per_gib: int = 0
    must_say_iops: bool = False
    throughput: tuple[int, int] | None = None
    multi_attach: bool = False


KINDS = {
    "gp3": Kind(sizes=(1, 65536), iops=(3000, 80000), iops_per_gib=500, throughput=(125, 2000)),
    "gp2": Kind(sizes=(1, 16384)),
    "io1": Kind(sizes=(4, 16384), iops=(100, 64000), iops_per_gib=50, must_say_iops=True, multi_attach=True),
    "io2": Kind(sizes=(4, 65536), iops=(100, 256000), iops_per_gib=1000, must_say_iops=True, multi_attach=True),
    "st1": Kind(sizes=(125, 16384)),
    "sc1": Kind(sizes=(125, 16384)),
    "standard": Kind(sizes=(1, 1024)),
}
MULTI_ATTACH_INSTANCES = 16
MIB_PER_IOPS = 0.25
INTEGERS = 2**31


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a volume is to be: checked by ``shape``."""

    kind: str
    size: int
    iops: int | None
    throughput: int | None
    multi_attach: bool


def _range(what: str, value: int, limits: tuple[int, int], unit: str = "") -> None:
    least, most = limits
    if value < least:
        raise refuse("InvalidParameterValue", f"{what} of {value}{unit} is too low; minimum is {least}{unit}.")
    if value > most:
        raise refuse("InvalidParameterValue", f"{what} of {value}{unit} is too high; maximum is {most}{unit}.")


def shape(kind: str, size: int, iops: int | None, throughput: int | None, multi_attach: bool) -> Shape:
    """A volume that EC2 accepts, its defaults filled in."""
    limits = KINDS.get(kind)
    if limits is None:
        raise refuse("UnknownVolumeType", f"Unknown volume type: '{kind}'")
    least, most = limits.sizes
    if size < least:
        raise refuse("InvalidParameterValue", f"Volume of {size}GiB is too small; minimum is {least}GiB.")
    if size > most:
        raise refuse("InvalidParameterValue", f"Volume of {size}GiB is too large; maximum is {most}GiB.")
    if iops is not None:
        if limits.iops is None:
            raise refuse("InvalidParameterCombination", f"The parameter iops is not supported for {kind} volumes.")
        _range("Volume iops", iops, limits.iops)
        included = limits.iops[0] if kind == "gp3" else 0
        if iops > max(included, size * limits.iops_per_gib):
            ratio = f"{iops / size:f} is too high; maximum is {limits.iops_per_gib:f}"
            raise refuse("InvalidParameterValue", f"Iops to volume size ratio of {ratio}.")
    elif limits.must_say_iops:
        raise refuse("MissingParameter", "The request must contain the parameter iops")
    if throughput is not None:
        if limits.throughput is None:
            message = f"The parameter throughput is not supported for {kind} volumes."
            raise refuse("InvalidParameterCombination", message)
        _range("Throughput", throughput, limits.throughput, "MiBps")
        if throughput > MIB_PER_IOPS * (iops or 3000):
            ratio = f"{throughput / (iops or 3000):f} is too high; maximum is {MIB_PER_IOPS:f} MiBps per iops"
            raise refuse("InvalidParameterValue", f"Throughput (MiBps) to iops ratio of {ratio}.")
    if multi_attach and not limits.multi_attach:
        message = f"The parameter multiAttachEnabled is not supported for {kind} volumes."
        raise refuse("InvalidParameterCombination", message)
    if kind == "gp3":
        iops, throughput = iops or 3000, throughput or 125
    if kind == "gp2":
        iops = min(16000, max(100, 3 * size))
    return Shape(kind=kind, size=size, iops=iops, throughput=throughput, multi_attach=multi_attach)


_DEVICE = re.compile(r"(?:/dev/)?(?:sd[f-p]|xvd[b-z]|xvd[b-d][a-z])")


def device(name: str) -> str:
    """The name that Xen's kernels show a device by: ``sdf`` and ``xvdf`` are one."""
    if not _DEVICE.fullmatch(name):
        message = f"Value ({name}) for parameter device is invalid. {name} is not a valid EBS device name."
        raise refuse("InvalidParameterValue", message)
    return canonical(name)


def canonical(name: str) -> str:
    """The name that Xen's kernels show any device by."""
    word = name.removeprefix("/dev/")
    return "xvd" + word[2:] if word.startswith("sd") else word


_IDS = {
    "vol": ("InvalidVolumeID.Malformed", "InvalidVolume.NotFound", "volume"),
    "snap": ("InvalidSnapshotID.Malformed", "InvalidSnapshot.NotFound", "snapshot"),
    "i": ("InvalidInstanceID.Malformed", "InvalidInstanceID.NotFound", "instance ID"),
}


def check_id(prefix: str, word: Any) -> str:
    """An id that looks like one."""
    malformed, _, noun = _IDS[prefix]
    if not word:
        raise refuse("MissingParameter", f"The request must contain the parameter {noun.split()[0]}Id")
    if not re.fullmatch(rf"{prefix}-([0-9a-f]{{8}}|[0-9a-f]{{17}})", str(word)):
        raise refuse(malformed, f'Invalid id: "{word}" (expecting "{prefix}-...")')
    return str(word)


def not_found(prefix: str, *ids: str) -> Exception:
    """The error for ids that nothing has."""
    _, code, noun = _IDS[prefix]
    if len(ids) == 1:
        return refuse(code, f"The {noun} '{ids[0]}' does not exist.")
    return refuse(code, f"The {noun}s '{', '.join(ids)}' do not exist.")


@functools.lru_cache(4096)
def pattern(value: str) -> Callable[[str], object]:
    """A filter's value: ``*`` and ``?`` are wildcards unless a backslash is before them; case counts."""
    if not re.search(r"[*?\\]", value):
        return value.__eq__
    regex = re.sub(
        r"\\(.)|([*?])|(.)",
        lambda found: {"*": ".*", "?": "."}.get(found[2] or "", re.escape(found[1] or found[3] or "")),
        value,
        flags=re.DOTALL,
    )
    return re.compile(regex, re.DOTALL).fullmatch


Facts = Callable[[str], Iterable[str] | None]
"""The values that a thing has for a filter's name; None for a name that there is no filter of."""


def tag_facts(name: str, tags: Mapping[str, str]) -> Iterable[str] | None:
    """The values of the filters ``tag:KEY`` and ``tag-key``."""
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return (tags[key],) if key in tags else ()
    return tuple(tags) if name == "tag-key" else None


class Filters:
    """The filters of a call: a thing has to match all of them, each by one of its values."""

    def __init__(self, params: Params) -> None:
        self.wanted: list[tuple[str, list[str]]] = []
        for item in params.get("Filters") or ():
            if not item.get("Name") or not item.get("Values"):
                raise refuse("InvalidParameterValue", f"The filter '{item.get('Name') or 'null'}' is invalid.")
            self.wanted.append((item["Name"], [str(value) for value in item["Values"]]))

    def match(self, facts: Facts) -> bool:
        """Whether the thing of these facts passes."""
        for name, values in self.wanted:
            found = facts(name)
            if found is None:
                raise refuse("InvalidParameterValue", f"The filter '{name}' is invalid")
            if not any(pattern(value)(fact) for fact in found for value in values):
                return False
        return True

    def only(self, name: str) -> set[str] | None:
        """The exact values of a filter, to look few things up by; None if it would not narrow."""
        for found, values in self.wanted:
            if found == name and not any(re.search(r"[*?\\]", value) for value in values):
                return set(values)
        return None


def check_page(params: Params, ids: str, *, least: int = 5, most: int = 1000) -> None:
    """Refuse pages of ids, and pages too small or large. ``ids`` is the parameter that has the ids."""
    size = params.get("MaxResults")
    if params.get(ids):
        word = {"VolumeIds": "volumeSet", "SnapshotIds": "snapshotSet", "InstanceIds": "instancesSet"}[ids]
        for name, parameter in (("MaxResults", "maxResults"), ("NextToken", "nextToken")):
            if params.get(name) is not None:
                message = f"The parameter {word} cannot be used with the parameter {parameter}"
                raise refuse("InvalidParameterCombination", message)
    if size is not None and not least <= size <= most:
        expected = f"greater than {least}" if size < least else f"less than {most}"
        message = f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value {expected}."
        raise refuse("InvalidParameterValue", message)


def page(params: Params, found: list[tuple[int, Any]]) -> tuple[list[Any], str | None]:
    """A page of things, which are sorted by their numbers, and the token of the next one."""
    token, size = params.get("NextToken"), params.get("MaxResults")
    after = -1
    if token:
        try:
            after = json.loads(base64.urlsafe_b64decode(token))["after"]
        except (binascii.Error, ValueError, KeyError, TypeError):
            raise refuse("InvalidParameterValue", "Unable to parse pagination token") from None
    rest = [entry for entry in found if entry[0] > after]
    shown = rest[:size] if size else rest
    more = None
    if len(shown) < len(rest):
        more = base64.urlsafe_b64encode(json.dumps({"after": shown[-1][0], "of": "EBS"}).encode()).decode()
    return [thing for _, thing in shown], more


def tags_of(params: Params, kind: str) -> dict[str, str]:
    """The tags that a call gives what it makes."""
    tags: dict[str, str] = {}
    for specification in params.get("TagSpecifications") or ():
        if specification.get("ResourceType") != kind:
            message = f"'{specification.get('ResourceType')}' is not a valid taggable resource type for this operation."
            raise refuse("InvalidParameterValue", message)
        for tag in specification.get("Tags") or ():
            check_tag(tag["Key"], tag.get("Value") or "")
            tags[tag["Key"]] = tag.get("Value") or ""
    if len(tags) > 50:
        raise refuse("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
    return tags


def check_tag(key: str, value: str) -> None:
    """Refuse what EC2 does not take for a tag."""
    if not 0 < len(key) <= 127 or key.startswith("aws:"):
        raise refuse("InvalidParameterValue", f"Tag key '{key}' is invalid: it is too long or reserved.")
    if len(value) > 255:
        raise refuse("InvalidParameterValue", f"Tag value exceeds the maximum length of 255 characters: '{value}'")


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 answers them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]

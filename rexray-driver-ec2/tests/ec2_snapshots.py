"""EC2's calls about snapshots; each is made with the store's lock held."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import ec2_rules as rules
from ec2_rules import Answer, Params, refuse
from ec2_store import ACCOUNT, Region, Snapshot, Store, new_id, numbered
from ec2_volumes import dry_run, key_of

COPIED = "vol-ffffffff"
"""EC2 gives copied snapshots this volume, which there is not."""


def answer_of(region: Region, snapshot: Snapshot) -> Answer:
    answer: Answer = {
        "SnapshotId": snapshot.id,
        "VolumeId": snapshot.volume,
        "VolumeSize": snapshot.size,
        "State": snapshot.state,
        "Progress": "100%" if snapshot.state == "completed" else "0%",
        "StartTime": snapshot.start,
        "Description": snapshot.description,
        "Encrypted": snapshot.encrypted,
        "OwnerId": ACCOUNT,
        "StorageTier": "standard",
        "Tags": rules.as_list(region.tags(snapshot.id)),
    }
    return answer if snapshot.kms_key is None else answer | {"KmsKeyId": snapshot.kms_key}


def foreign(thing: Any) -> Answer:
    """A public snapshot, which an image of moto's is made of."""
    return {
        "SnapshotId": thing.id,
        "VolumeId": COPIED,
        "VolumeSize": thing.volume.size,
        "State": "completed",
        "Progress": "100%",
        "StartTime": thing.start_time,
        "Description": thing.description,
        "Encrypted": False,
        "OwnerId": "801119661308",
        "OwnerAlias": "amazon",
        "Tags": [],
    }


FILTERS = {
    "snapshot-id": "SnapshotId",
    "volume-id": "VolumeId",
    "volume-size": "VolumeSize",
    "status": "State",
    "progress": "Progress",
    "start-time": "StartTime",
    "description": "Description",
    "encrypted": "Encrypted",
    "owner-id": "OwnerId",
    "owner-alias": "OwnerAlias",
    "storage-tier": "StorageTier",
}


def facts(answer: Answer, name: str) -> Iterable[str] | None:
    """The values of DescribeSnapshots' filters."""
    if name in FILTERS:
        value = answer.get(FILTERS[name])
        return () if value is None else (str(value).lower() if isinstance(value, bool) else str(value),)
    return rules.tag_facts(name, {tag["Key"]: tag["Value"] for tag in answer["Tags"]})


def create_snapshot(store: Store, region: Region, params: Params) -> Answer:
    volume = region.volume(params.get("VolumeId"))
    if volume.status not in ("available", "in-use"):
        raise refuse("IncorrectState", f"Volume '{volume.id}' is in the '{volume.status}' state.")
    if time.monotonic() - volume.last_snapshot < store.knobs.snapshot_interval:
        message = "The maximum per volume CreateSnapshot request rate has been exceeded."
        raise refuse("SnapshotCreationPerVolumeRateExceeded", message)
    tags = rules.tags_of(params, "snapshot")
    dry_run(params)
    volume.last_snapshot = time.monotonic()
    snapshot = Snapshot(
        id=new_id("snap"),
        number=next(store.numbers),
        volume=volume.id,
        size=volume.shape.size,
        encrypted=volume.encrypted,
        kms_key=volume.kms_key,
        description=params.get("Description") or "",
    )
    region.add_snapshot(snapshot, tags)
    if store.devices is not None:
        # the copy is of this moment, however long the snapshot is pending: what is written later is not in it
        store.devices.keep(volume.id, snapshot.id)
    store.after("snapshot", partial(_complete, snapshot))
    return answer_of(region, snapshot)


def _complete(snapshot: Snapshot) -> None:
    snapshot.state = "completed"


def describe_snapshots(store: Store, region: Region, params: Params) -> Answer:
    rules.check_page(params, "SnapshotIds")
    filters = rules.Filters(params)
    owners = params.get("OwnerIds") or ["self", "amazon"]
    mine = "self" in owners or ACCOUNT in owners
    others = {snapshot.id: snapshot for snapshot in region.backend.snapshots.values()} if "amazon" in owners else {}
    found: list[Any]
    if params.get("SnapshotIds"):
        ids = [rules.check_id("snap", word) for word in dict.fromkeys(params["SnapshotIds"])]
        missing = [word for word in ids if not (mine and word in region.snapshots) and word not in others]
        if missing:
            raise rules.not_found("snap", *missing)
        found = [region.snapshots.get(word) or others[word] for word in ids]
    else:
        found = [*(region.snapshots.values() if mine else ()), *others.values()]
    answers = []
    for index, thing in enumerate(found):
        if isinstance(thing, Snapshot):
            number, answer = numbered([thing])[0][0], answer_of(region, thing)
        else:
            number, answer = 2**60 + index, foreign(thing)
        if filters.match(partial(facts, answer)):
            answers.append((number, answer))
    shown, more = rules.page(params, answers)
    return {"Snapshots": shown, "NextToken": more}


def delete_snapshot(store: Store, region: Region, params: Params) -> Answer:
    word = rules.check_id("snap", params.get("SnapshotId"))
    if word in region.backend.snapshots:
        image = region.backend.snapshots[word].from_ami
        raise refuse("InvalidSnapshot.InUse", f"The snapshot {word} is currently in use by {image}")
    region.snapshot(word)
    dry_run(params)
    del region.snapshots[word]
    region.backend.tags.pop(word, None)
    if store.devices is not None:
        store.work(partial(store.devices.forget, word))
    return {}


def copy_snapshot(store: Store, region: Region, params: Params) -> Answer:
    there = params.get("SourceRegion")
    word = rules.check_id("snap", params.get("SourceSnapshotId"))
    if not there:
        raise refuse("MissingParameter", "The request must contain the parameter SourceRegion")
    if region.backend.regions and there not in {known.name for known in region.backend.regions}:
        raise refuse("InvalidParameterValue", f"Invalid source region: {there}")
    source = store.regions[there].snapshots.get(word) if there in store.regions else None
    if source is None:
        raise rules.not_found("snap", word)
    if source.state != "completed":
        raise refuse("IncorrectState", f"Snapshot is in invalid state - {source.state}")
    if source.encrypted and params.get("Encrypted") is False:
        raise refuse("InvalidParameterValue", "A copy of an encrypted snapshot can't be unencrypted.")
    encrypted = source.encrypted or bool(params.get("Encrypted"))
    tags = rules.tags_of(params, "snapshot")
    key = key_of(region, params, encrypted)
    dry_run(params)
    snapshot = Snapshot(
        id=new_id("snap"),
        number=next(store.numbers),
        volume=COPIED,
        size=source.size,
        encrypted=encrypted,
        kms_key=key,
        description=params.get("Description") or f"[Copied {source.id} from {there}]",
    )
    region.add_snapshot(snapshot, tags)
    if store.devices is not None:
        store.devices.copy(source.id, snapshot.id)
    store.after("copy", partial(_complete, snapshot))
    return {"SnapshotId": snapshot.id, "Tags": rules.as_list(tags)}

"""EC2's calls about volumes; each is made with the store's lock held."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import ec2_rules as rules
from ec2_rules import Answer, Params, refuse
from ec2_store import ACCOUNT, Attachment, Modification, Region, Store, Volume, new_id, now, numbered


def dry_run(params: Params) -> None:
    """End a call that was only to be checked."""
    if params.get("DryRun"):
        raise refuse("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")


def key_of(region: Region, params: Params, encrypted: bool, inherited: str | None = None) -> str | None:
    """The ARN of the key that something is encrypted with."""
    key = params.get("KmsKeyId")
    if key and not encrypted:
        message = "The parameter KmsKeyId requires the parameter Encrypted to be set."
        raise refuse("InvalidParameterDependency", message)
    if not encrypted:
        return None
    if key is None and inherited:
        return inherited
    word = key or "00000000-0000-0000-0000-0000000000eb"
    return word if word.startswith("arn:") else f"arn:aws:kms:{region.name}:{ACCOUNT}:key/{word}"


def attachment_of(volume: Volume, attachment: Attachment) -> Answer:
    return {
        "VolumeId": volume.id,
        "InstanceId": attachment.instance,
        "Device": attachment.device,
        "State": attachment.state,
        "AttachTime": attachment.time,
        "DeleteOnTermination": attachment.delete_on_termination,
    }


def answer_of(region: Region, volume: Volume) -> Answer:
    answer: Answer = {
        "VolumeId": volume.id,
        "State": volume.status,
        "Size": volume.shape.size,
        "VolumeType": volume.shape.kind,
        "AvailabilityZone": volume.zone,
        "AvailabilityZoneId": volume.zone_id,
        "CreateTime": volume.created,
        "Encrypted": volume.encrypted,
        "SnapshotId": volume.snapshot,
        "MultiAttachEnabled": volume.shape.multi_attach,
        "Tags": rules.as_list(region.tags(volume.id)),
        "Attachments": [attachment_of(volume, entry) for entry in volume.attachments.values()],
    }
    optional = {"Iops": volume.shape.iops, "Throughput": volume.shape.throughput, "KmsKeyId": volume.kms_key}
    return answer | {name: value for name, value in optional.items() if value is not None}


def facts(region: Region, volume: Volume, name: str) -> Iterable[str] | None:
    """The values of DescribeVolumes' filters."""
    entries = volume.attachments.values()
    match name:
        case "volume-id":
            return (volume.id,)
        case "status":
            return (volume.status,)
        case "availability-zone":
            return (volume.zone,)
        case "availability-zone-id":
            return (volume.zone_id,)
        case "attachment.instance-id":
            return tuple(entry.instance for entry in entries)
        case "attachment.device":
            return tuple(entry.device for entry in entries)
        case "attachment.status":
            return tuple(entry.state for entry in entries)
        case "attachment.delete-on-termination":
            return tuple(str(entry.delete_on_termination).lower() for entry in entries)
        case "volume-type":
            return (volume.shape.kind,)
        case "size":
            return (str(volume.shape.size),)
        case "snapshot-id":
            return (volume.snapshot,)
        case "encrypted":
            return (str(volume.encrypted).lower(),)
        case "multi-attach-enabled":
            return (str(volume.shape.multi_attach).lower(),)
        case "create-time":
            return (volume.created.isoformat(),)
    return rules.tag_facts(name, region.tags(volume.id))


def _settle(volume: Volume, fails: bool) -> None:
    if volume.state == "creating":
        volume.state = "error" if fails else "available"


def create_volume(store: Store, region: Region, params: Params) -> Answer:
    knobs = store.knobs
    # EC2 looks at the quota before the token: a replay at the edge of it is refused
    if knobs.volume_quota and len(region.volumes) >= knobs.volume_quota:
        raise refuse("VolumeLimitExceeded", "You have exceeded your maximum gp3 storage limit of volumes.")
    token = params.get("ClientToken")
    said = {name: value for name, value in params.items() if name not in ("ClientToken", "DryRun")}
    if token and len(token) > 64:
        raise refuse("InvalidParameterValue", f"Value ({token}) for parameter clientToken is invalid.")
    if token in region.tokens:
        before, answer = region.tokens[token]
        if before != said:
            message = "The client token you have provided is associated with a resource of other parameters."
            raise refuse("IdempotentParameterMismatch", message)
        return answer
    zone = region.zone(params.get("AvailabilityZone"), params.get("AvailabilityZoneId"))
    source = region.snapshot(params["SnapshotId"]) if params.get("SnapshotId") else None
    if source is not None and source.state != "completed":
        raise refuse("IncorrectState", f"Snapshot is in invalid state - {source.state}")
    size = params.get("Size", source.size if source else None)
    if size is None:
        raise refuse("MissingParameter", "The request must contain the parameter size/snapshot")
    shape = rules.shape(
        params.get("VolumeType") or "gp2",
        size,
        params.get("Iops"),
        params.get("Throughput"),
        bool(params.get("MultiAttachEnabled")),
    )
    if source is not None and size < source.size:
        message = f"The size '{size}' is smaller than snapshot size '{source.size}'."
        raise refuse("InvalidParameterValue", message)
    encrypted = bool(params.get("Encrypted")) or (source is not None and source.encrypted)
    if source is not None and source.encrypted and params.get("Encrypted") is False:
        raise refuse("InvalidParameterValue", "A volume of an encrypted snapshot can't be unencrypted.")
    key = key_of(region, params, encrypted, source.kms_key if source else None)
    tags = rules.tags_of(params, "volume")
    dry_run(params)
    volume = Volume(
        id=new_id("vol"),
        number=next(store.numbers),
        zone=zone.name,
        zone_id=zone.zone_id,
        shape=shape,
        encrypted=encrypted,
        kms_key=key,
        snapshot=source.id if source else "",
    )
    region.volumes[volume.id] = volume
    region.tag(volume.id, tags)
    fails = knobs.fail_creates > 0 or params.get("KmsKeyId") in knobs.bad_kms_keys
    knobs.fail_creates = max(0, knobs.fail_creates - 1)
    if store.devices is not None and source is not None:
        store.devices.restore(source.id, volume.id)
    store.after("create", partial(_settle, volume, fails))
    answer = answer_of(region, volume)
    if token:
        region.tokens[token] = (said, answer)
    return answer


def describe_volumes(store: Store, region: Region, params: Params) -> Answer:
    dry_run(params)
    rules.check_page(params, "VolumeIds")
    filters = rules.Filters(params)
    found: list[Volume]
    if params.get("VolumeIds"):
        ids = [rules.check_id("vol", word) for word in dict.fromkeys(params["VolumeIds"])]
        missing = [word for word in ids if word not in region.volumes]
        if missing:
            raise rules.not_found("vol", *missing)
        found = [region.volumes[word] for word in ids]
    elif (instances := filters.only("attachment.instance-id")) is not None:
        found = list({volume.id: volume for name in instances for volume, _ in region.of_instance(name)}.values())
        found.sort(key=lambda volume: volume.number)
    else:
        found = list(region.volumes.values())
    found = [volume for volume in found if filters.match(partial(facts, region, volume))]
    shown, more = rules.page(params, numbered(found))
    return {"Volumes": [answer_of(region, volume) for volume in shown], "NextToken": more}


def delete_volume(store: Store, region: Region, params: Params) -> Answer:
    volume = region.volume(params.get("VolumeId"))
    if volume.attachments:
        holder = next(iter(volume.attachments))
        raise refuse("VolumeInUse", f"Volume {volume.id} is currently attached to {holder}")
    if volume.state == "deleting":
        raise rules.not_found("vol", volume.id)
    if volume.state == "creating":
        raise refuse("IncorrectState", f"The volume '{volume.id}' is 'creating'.")
    dry_run(params)
    volume.state = "deleting"
    store.after("delete", partial(drop, store, region, volume))
    return {}


def drop(store: Store, region: Region, volume: Volume) -> None:
    """A volume is no more."""
    region.volumes.pop(volume.id, None)
    region.backend.tags.pop(volume.id, None)
    if store.devices is not None:
        store.work(partial(store.devices.forget, volume.id))


def modify_volume(store: Store, region: Region, params: Params) -> Answer:
    volume = region.volume(params.get("VolumeId"))
    wanted = {name: params.get(name) for name in ("Size", "VolumeType", "Iops", "Throughput", "MultiAttachEnabled")}
    if all(value is None for value in wanted.values()):
        message = "Must specify at least one of size, type, iops, throughput, multi_attach_enabled"
        raise refuse("InvalidParameterValue", f"Invalid input: {message}")
    if volume.status not in ("available", "in-use"):
        raise refuse("IncorrectState", f"Volume {volume.id} in state '{volume.status}' can't be modified.")
    if volume.modification is not None and volume.modification.state in ("modifying", "optimizing"):
        message = f"Volume {volume.id} is in '{volume.modification.state}' modification state."
        raise refuse("IncorrectModificationState", message)
    since = time.monotonic() - store.knobs.modification_window
    volume.modified = [moment for moment in volume.modified if moment > since]
    if len(volume.modified) >= store.knobs.modifications:
        message = "You've reached the maximum modification rate per volume limit."
        raise refuse("VolumeModificationRateExceeded", message)
    old = volume.shape
    if wanted["Size"] is not None and wanted["Size"] < old.size:
        message = f"New size cannot be smaller than existing size. Existing: {old.size}GiB, new: {wanted['Size']}GiB"
        raise refuse("InvalidParameterValue", message)
    if "standard" in (old.kind, wanted["VolumeType"]):
        raise refuse("UnsupportedOperation", "Modifying volumes of type 'standard' is not supported.")
    if wanted["MultiAttachEnabled"] is not None and volume.attachments:
        raise refuse("IncorrectState", "Multi-attach can be changed on a volume in the 'available' state only.")
    kind = wanted["VolumeType"] or old.kind
    inherit = rules.KINDS.get(kind) == rules.KINDS[old.kind] and kind != "gp2"
    target = rules.shape(
        kind,
        wanted["Size"] or old.size,
        wanted["Iops"] or (old.iops if inherit else None),
        wanted["Throughput"] or (old.throughput if inherit else None),
        old.multi_attach if wanted["MultiAttachEnabled"] is None else wanted["MultiAttachEnabled"],
    )
    dry_run(params)
    volume.modification = Modification(original=old, target=target)
    volume.modified.append(time.monotonic())
    store.after("modify", partial(_optimize, store, region, volume, volume.modification))
    return {"VolumeModification": modification_of(volume, volume.modification)}


def _optimize(store: Store, region: Region, volume: Volume, modification: Modification) -> None:
    modification.state, modification.progress = "optimizing", 50
    volume.shape = modification.target
    if store.devices is not None and modification.target.size > modification.original.size:
        store.work(partial(store.devices.grow, volume.id, modification.target.size))
    store.after("optimize", partial(_complete, modification))


def _complete(modification: Modification) -> None:
    modification.state, modification.progress, modification.end = "completed", 100, now()


def modification_of(volume: Volume, modification: Modification) -> Answer:
    answer: Answer = {
        "VolumeId": volume.id,
        "ModificationState": modification.state,
        "Progress": modification.progress,
        "StartTime": modification.start,
    }
    if modification.end is not None:
        answer["EndTime"] = modification.end
    for word, shape in (("Original", modification.original), ("Target", modification.target)):
        answer |= {f"{word}Size": shape.size, f"{word}VolumeType": shape.kind}
        answer |= {f"{word}MultiAttachEnabled": shape.multi_attach}
        optional = {f"{word}Iops": shape.iops, f"{word}Throughput": shape.throughput}
        answer |= {name: value for name, value in optional.items() if value is not None}
    return answer


def describe_volumes_modifications(store: Store, region: Region, params: Params) -> Answer:
    rules.check_page(params, "VolumeIds", least=1, most=500)
    filters = rules.Filters(params)
    volumes = list(region.volumes.values())
    if params.get("VolumeIds"):
        volumes = [region.volume(word) for word in dict.fromkeys(params["VolumeIds"])]
        unmodified = [volume.id for volume in volumes if volume.modification is None]
        if unmodified:
            message = f"Modification for volume '{', '.join(unmodified)}' does not exist."
            raise refuse("InvalidVolumeModification.NotFound", message)
    found = []
    for volume in volumes:
        modification = volume.modification
        if modification is not None:
            answer = modification_of(volume, modification)
            if filters.match(partial(_modification_facts, answer)):
                found.append((volume.number, answer))
    shown, more = rules.page(params, found)
    return {"VolumesModifications": shown, "NextToken": more}


def _modification_facts(answer: Answer, name: str) -> Iterable[str] | None:
    parts = "".join(word.capitalize() for word in name.split("-"))
    value: Any = answer.get(parts)
    if name not in ("volume-id", "modification-state", "start-time") and not name.startswith(("original-", "target-")):
        return None
    return () if value is None else (str(value).lower() if isinstance(value, bool) else str(value),)


def describe_volume_status(store: Store, region: Region, params: Params) -> Answer:
    rules.check_page(params, "VolumeIds")
    filters = rules.Filters(params)
    volumes = [region.volume(word) for word in params.get("VolumeIds") or ()] or list(region.volumes.values())
    found = []
    for volume in volumes:
        status = "impaired" if volume.id in store.knobs.impaired else "ok"
        status = "insufficient-data" if volume.state in ("creating", "error") else status
        known = {"volume-status.status": status, "availability-zone": volume.zone}
        if filters.match(lambda name, known=known: (known[name],) if name in known else None):  # type: ignore[misc]
            found.append((volume.number, _status_of(volume, status)))
    shown, more = rules.page(params, found)
    return {"VolumeStatuses": shown, "NextToken": more}


def _status_of(volume: Volume, status: str) -> Answer:
    details = [
        {"Name": "io-enabled", "Status": "failed" if status == "impaired" else "passed"},
        {"Name": "io-performance", "Status": "not-applicable"},
        {"Name": "initialization-state", "Status": "completed"},
    ]
    return {
        "VolumeId": volume.id,
        "AvailabilityZone": volume.zone,
        "VolumeStatus": {"Status": status, "Details": details},
        "Actions": [],
        "Events": [],
    }

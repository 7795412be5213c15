"""EC2's calls that attach volumes, detach them, and see to those of instances that begin and end."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import ec2_rules as rules
from ec2_rules import Answer, Params, refuse
from ec2_store import Attachment, Region, Store, Volume
from ec2_volumes import attachment_of, drop, dry_run

GONE = ("shutting-down", "terminated")


def attach_volume(store: Store, region: Region, params: Params) -> Answer:
    volume = region.volume(params.get("VolumeId"))
    instance = region.instance(params.get("InstanceId"))
    if not params.get("Device"):
        raise refuse("MissingParameter", "The request must contain the parameter device")
    name = rules.device(params["Device"])
    if instance._state.name not in ("running", "stopped"):
        raise refuse("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    if volume.zone != instance._placement.zone:
        message = f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'"
        raise refuse("InvalidVolume.ZoneMismatch", message)
    if volume.state != "available":
        raise refuse("IncorrectState", f"{volume.id} is not 'available'.")
    most = rules.MULTI_ATTACH_INSTANCES if volume.shape.multi_attach else 1
    if instance.id in volume.attachments or len(volume.attachments) >= most:
        raise refuse("VolumeInUse", f"{volume.id} is already attached to an instance")
    here = region.of_instance(instance.id)
    if any(entry.name == name for _, entry in here):
        message = f"Invalid value '{params['Device']}' for unixDevice. Attachment point {params['Device']}"
        raise refuse("InvalidParameterValue", f"{message} is already in use")
    if len(here) >= store.knobs.attach_limit:
        message = f"Instance '{instance.id}' has reached its limit of {store.knobs.attach_limit} attachments."
        raise refuse("AttachmentLimitExceeded", message)
    dry_run(params)
    attachment = Attachment(instance=instance.id, device=params["Device"])
    volume.attachments[instance.id] = attachment
    region.attached.setdefault(instance.id, set()).add(volume.id)
    if name not in {rules.canonical(word) for word in store.knobs.stuck}:
        store.after("attach", partial(_attached, store, region, volume, attachment))
    return attachment_of(volume, attachment)


def _shown(store: Store, attachment: Attachment) -> bool:
    return store.devices is not None and attachment.instance in store.knobs.shown


def _attached(store: Store, region: Region, volume: Volume, attachment: Attachment) -> None:
    if attachment.state != "attaching":
        return
    if _shown(store, attachment):
        store.work(partial(_show, store, volume, attachment))
    else:
        attachment.state = "attached"


def _show(store: Store, volume: Volume, attachment: Attachment) -> None:
    assert store.devices is not None
    store.devices.show(volume.id, volume.shape.size, attachment.name)
    with store.lock:
        if attachment.state == "attaching":
            attachment.state = "attached"
        gone = volume.attachments.get(attachment.instance) is not attachment
    if gone:
        store.devices.hide(volume.id)


def detach_volume(store: Store, region: Region, params: Params) -> Answer:
    volume = region.volume(params.get("VolumeId"))
    if not volume.attachments:
        raise refuse("IncorrectState", f"Volume '{volume.id}' is in the '{volume.state}' state.")
    if params.get("InstanceId"):
        instance = rules.check_id("i", params["InstanceId"])
    elif len(volume.attachments) > 1:
        raise refuse("MissingParameter", "The request must contain the parameter instanceId: the volume has several.")
    else:
        instance = next(iter(volume.attachments))
    attachment = volume.attachments.get(instance)
    if attachment is None or params.get("Device", attachment.device) != attachment.device:
        message = f"Volume '{volume.id}' is not attached to '{instance}' as device '{params.get('Device') or ''}'."
        raise refuse("InvalidAttachment.NotFound", message)
    state = region.instance(instance)._state.name
    if attachment.delete_on_termination and attachment.name in ("xvda1", "xvda") and state == "running":
        message = f"Unable to detach root volume '{volume.id}' from instance '{instance}'"
        raise refuse("OperationNotPermitted", message)
    if attachment.state == "detaching" and not params.get("Force"):
        raise refuse("IncorrectState", f"Volume '{volume.id}' is in the 'detaching' state.")
    dry_run(params)
    attachment.force = attachment.force or bool(params.get("Force"))
    if attachment.state in ("attaching", "attached"):
        attachment.state = "detaching"
        store.after("detach", partial(_detaching, store, region, volume, attachment))
    return attachment_of(volume, attachment)


def _detaching(store: Store, region: Region, volume: Volume, attachment: Attachment) -> None:
    if _shown(store, attachment):
        store.work(partial(_hide, store, region, volume, attachment))
    elif volume.id in store.knobs.busy and not attachment.force:
        attachment.state = "busy"
        store.after("detach", partial(_detaching, store, region, volume, attachment))
    else:
        region.leave(volume, attachment.instance)


def _hide(store: Store, region: Region, volume: Volume, attachment: Attachment) -> None:
    devices, era = store.devices, store.era
    assert devices is not None
    while store.era == era and not attachment.force and (devices.is_open(volume.id) or volume.id in store.knobs.busy):
        with store.lock:
            attachment.state = "busy"
        time.sleep(0.02)
    if store.era == era:
        devices.hide(volume.id)
        with store.lock:
            region.leave(volume, attachment.instance)


def adopt(store: Store, region: Region, instance: Any) -> None:
    """The volumes that an instance was started with, which moto has made."""
    for device, block in instance.get_block_device_mapping:
        made = region.backend.volumes.get(block.volume_id)
        if made is None or made.id in region.volumes:
            continue
        zone = region.zone(instance._placement.zone, None)
        kind = made.volume_type if made.volume_type in rules.KINDS else "gp2"
        volume = Volume(
            id=made.id,
            number=next(store.numbers),
            zone=zone.name,
            zone_id=zone.zone_id,
            shape=rules.shape(kind, int(made.size), made.iops, made.throughput, False),
            encrypted=bool(made.encrypted),
            kms_key=made.kms_key_id,
            snapshot=made.snapshot_id or "",
            state="available",
        )
        volume.attachments[instance.id] = Attachment(
            instance=instance.id, device=device, state="attached", delete_on_termination=block.delete_on_termination
        )
        region.volumes[volume.id] = volume
        region.attached.setdefault(instance.id, set()).add(volume.id)


def release(store: Store, region: Region, instance: Any) -> None:
    """The volumes of an instance that is terminated become available, or go with it."""
    for volume, attachment in region.of_instance(instance.id):
        if _shown(store, attachment) and store.devices is not None:
            store.work(partial(store.devices.hide, volume.id))
        region.leave(volume, instance.id)
        if attachment.delete_on_termination:
            drop(store, region, volume)


def mappings(region: Region, instance: str) -> list[Answer]:
    """An instance's ``BlockDeviceMappings``."""
    return [
        {
            "DeviceName": attachment.device,
            "Ebs": {
                "VolumeId": volume.id,
                "Status": "detaching" if attachment.state == "busy" else attachment.state,
                "AttachTime": attachment.time,
                "DeleteOnTermination": attachment.delete_on_termination,
            },
        }
        for volume, attachment in region.of_instance(instance)
    ]

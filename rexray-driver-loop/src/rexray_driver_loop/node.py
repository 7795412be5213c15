"""The node driver: this host's loop devices."""

from __future__ import annotations

from rexray.drivers import NodeDriver
from rexray.errors import InUse, NotReady, Unavailable, WrongDevice
from rexray.types import Attachment, BlockDevice, Device, DeviceIdentity, Instance, InstanceId, VolumeId
from rexray_driver_loop import here, machine
from rexray_driver_loop.base import PROVIDER, PoolCalls, describe_instance
from rexray_driver_loop.model import InstanceMeta, VolumeMeta
from rexray_driver_loop.properties import check_health
from rexray_driver_loop.settings import LoopSettings
from rexray_driver_loop.store import LOCK_SECONDS
from rexray_driver_loop.viability import viability


class LoopNode(PoolCalls, NodeDriver):
    """Shows volumes of the platform's directory as block devices of this host."""

    name = PROVIDER
    settings = LoopSettings
    viable = staticmethod(viability)

    def instance(self) -> Instance:
        """This host, which is noted on the platform the first time: volumes can be attached to it from then on.

        ``AlreadyExists`` if the instance id is another machine's.
        """
        pool = self._pool
        meta = InstanceMeta(zone=pool.zone, max_volumes=self._settings.max_volumes, machine=machine.fingerprint())
        pool.instances.register(pool.instance, meta)
        return describe_instance(pool.instance, meta)

    def devices(self) -> tuple[BlockDevice, ...]:
        """The volumes of this instance that are connected, with their devices."""
        pool = self._pool
        found = []
        for data, device in sorted(here.table(pool.volumes.folder).items()):
            name = data.removeprefix(f"{pool.volumes.folder}/").removesuffix("/data")
            meta = pool.volumes.look(name) if "/" not in name else None
            if meta is not None and meta.attached_to == pool.instance:
                found.append(
                    BlockDevice(
                        provider=PROVIDER,
                        instance_id=InstanceId(pool.instance),
                        volume_id=VolumeId(name),
                        device=str(device),
                        network_name=data,
                    )
                )
        return tuple(found)

    def next_device(self) -> str:
        """Empty: the kernel chooses."""
        return ""

    def connect(self, attachment: Attachment, *, deadline: float) -> Device:
        """The loop device of an attached volume, or what decrypts it, made unless it is there.

        ``NotReady`` if the volume is not attached to this instance, ``InUse`` if it is to another one,
        ``Unavailable`` if its file is not all there, ``AlreadyExists`` if the instance id is another machine's.
        """
        pool, name = self._pool, attachment.volume_id
        self.instance()
        with pool.volumes.changing(name, "connecting", seconds=deadline):
            meta = pool.volumes.load(name)
            self._refuse_foreign(attachment, meta)
            health = check_health(pool, name)
            if health.abnormal:
                raise Unavailable(f"volume {name!r} cannot be connected: {health.message}")
            data = pool.volumes.data(name)
            path = here.connect(data, pool.key_of(meta), read_only=meta.read_only, seconds=deadline)
        return Device(path=path, identity=DeviceIdentity(backing_file=str(data)))

    def disconnect(self, attachment: Attachment) -> None:
        """Let the device go and wait until it is gone; ``InUse`` while it is mounted, held or open.

        What another instance connected, on this host or after the volume was taken from here, is left to it.
        """
        pool, name = self._pool, attachment.volume_id
        if attachment.instance_id != pool.instance:
            return
        with pool.volumes.changing(name, "disconnecting", seconds=LOCK_SECONDS):
            meta = pool.volumes.look(name)
            if meta is not None and meta.attached_to in ("", pool.instance):
                here.disconnect(pool.volumes.data(name))

    def _refuse_foreign(self, attachment: Attachment, meta: VolumeMeta) -> None:
        pool, name = self._pool, attachment.volume_id
        if attachment.instance_id != pool.instance:
            raise NotReady(
                f"the attachment of {name!r} is to {attachment.instance_id!r}, and this is {pool.instance!r}"
            )
        if not meta.attached_to:
            raise NotReady(f"volume {name!r} is not attached to {pool.instance!r} any more: attach it first")
        if meta.attached_to != pool.instance:
            raise InUse(f"volume {name!r} is attached to {meta.attached_to!r} by now, not to {pool.instance!r}")
        data = str(pool.volumes.data(name))
        if attachment.token not in ("", data):
            raise WrongDevice(f"volume {name!r} is {data} here and {attachment.token} in its attachment")

"""What the cluster says of an image that is to be mapped here: whose it is by now, and who else has it open.

An attachment may be stale: its claim was taken away, by force or in good order, and another host has the image mapped.
Two machines of one name share a claim, and are told apart by their clients.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from rexray.errors import InUse, NotFound, NotReady, Unavailable, WrongDevice
from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.fencing import Fence
from rexray_driver_ceph.images import Image
from rexray_driver_ceph.mapping import Wanted
from rexray_driver_ceph.names import Spec
from rexray_driver_ceph.reading import make_reader
from rexray_driver_ceph.settings import RbdSettings

_AUTOMATIC = "auto "
"""How the name of a lock begins that a client takes while it writes, and gives to others who ask for it."""
_SETTLE_SECONDS = 3.0
"""How long clients come and go that only look at an image, and a client may take to be seen again after a failure."""
_PAUSE = 0.2


class Look:
    """Questions about the image that is wanted, until a deadline."""

    def __init__(self, settings: RbdSettings, cluster: Cluster, until: float) -> None:
        self._settings, self._cluster, self._until = settings, cluster, until

    def image(self, wanted: Wanted) -> Image:
        """``WrongDevice`` if it is another image of that name, ``NotReady`` unless it is attached to this instance."""
        spec, here = wanted.spec, self._settings.instance
        image = self._image(spec)
        if wanted.image_id not in ("", image.id):
            raise WrongDevice(
                f"{spec} is the image {image.id} by now, and attached was {wanted.image_id}; nothing was done to it"
            )
        if image.claim is None:
            raise NotReady(f"volume {str(spec)!r} is not attached to {here!r} any more: attach it first")
        if image.claim.instance != here:
            raise NotReady(f"volume {str(spec)!r} is attached to {image.claim.instance!r} by now, not to {here!r}")
        return image

    def refuse_others(self, image: Image) -> None:
        """``InUse`` if somebody else can write to the image, or keeps others from it by a lock of their own.

        A client that has died, maybe here, is waited for: ``Unavailable`` if the deadline does not leave the time.
        Locks that clients take while they write are passed on, and say nothing.
        """
        cluster, spec = self._cluster.hurried(self._left), image.spec
        for lock in cluster.ask("rbd", "lock", "ls", str(spec), action=f"look at {spec}"):
            if not lock["id"].startswith(_AUTOMATIC):
                who = f"{lock['locker']} at {lock['address']}"
                raise InUse(f"{spec} is locked by {who} (rbd lock add, {lock['id']!r}): remove that lock first")
        seconds = min(self._settings.watcher_timeout, self._left)
        if clients := self._clients(image, seconds):
            kind = InUse if seconds == self._settings.watcher_timeout else Unavailable
            raise kind(f"{spec} is open by {', '.join(clients)}, which is no device of this host: unmap it there")

    def confirm(self, wanted: Wanted) -> None:
        """The same two after mapping: nobody has taken the image, and only one client can write to it."""
        image = self.image(wanted)
        if not wanted.read_only and not self._settles(image, lambda clients: len(clients) < 2):
            clients = ", ".join(self._clients(self._image(wanted.spec)))
            raise InUse(f"{wanted.spec} has been opened by somebody else as well: the clients are {clients}")

    def is_served(self, image: Image) -> bool:
        """Whether some client has the image open for writing; a mapping whose client has not was shut out."""
        return self._settles(image, lambda clients: len(clients) > 0)

    def _settles(self, image: Image, is_so: Callable[[tuple[str, ...]], bool]) -> bool:
        until = min(time.monotonic() + _SETTLE_SECONDS, self._until)
        while not is_so(self._clients(image)):
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE)
            image = self._image(image.spec)
        return True

    def _clients(self, image: Image, seconds: float = 0.0) -> tuple[str, ...]:
        """Who has the image open after the seconds at most, but for the cluster's manager."""
        cluster = self._cluster.hurried(self._left)
        settings = replace(self._settings, watcher_timeout=seconds)
        return Fence(settings, cluster, make_reader(self._hurried, cluster)).wait_closed(image)

    def _image(self, spec: Spec) -> Image:
        image = make_reader(self._hurried, self._cluster.hurried(self._left)).image(spec)
        if image is None:
            raise NotFound(f"image {spec} does not exist in the cluster")
        return image

    @property
    def _left(self) -> float:
        return max(self._until - time.monotonic(), 0.1)

    @property
    def _hurried(self) -> RbdSettings:
        return replace(self._settings, timeout=float(max(int(min(self._settings.timeout, self._left)), 1)))

"""Who has an image: one lock on its header object, taken and broken by whoever manages the volumes.

librbd's own lock is its clients' and passes between them as they write; taking it by ``rbd lock add`` makes ``rbd rm``
hang and changes fail with 30 (Ceph 16). This one is another lock of the same kind, which only REX-Ray looks at: taken
by one client at a time, kept when that client has gone, and removed together with the image.

Facts: rados(8), "lock": taking a lock that any client has, be it with the same cookie, fails with 16.
"""

from __future__ import annotations

import errno

from rexray_driver_ceph.cluster import Cluster
from rexray_driver_ceph.images import Claim, Image
from rexray_driver_ceph.refusals import number, refusal

LOCK = "rexray"


def take(cluster: Cluster, image: Image, instance: str, *, read_only: bool) -> bool:
    """Give the image to the instance; False if somebody has it by now."""
    action = f"claim image {image.spec} for {instance!r}"
    mode = [f"--lock-cookie={instance}", "--lock-tag", "ro" if read_only else "rw"]
    ended = cluster.attempt("rados", *_object(image), "lock", "get", image.header, LOCK, *mode, action=action)
    if ended.status == 0:
        return True
    if number(ended) in (errno.EBUSY, errno.EEXIST):
        return False
    raise refusal(ended, action)


def drop(cluster: Cluster, image: Image, claim: Claim) -> None:
    """Take the image from whoever has it by that claim; a claim that is gone is success."""
    action = f"release image {image.spec} from {claim.instance!r}"
    words = ["lock", "break", image.header, LOCK, claim.client, f"--lock-cookie={claim.instance}"]
    ended = cluster.attempt("rados", *_object(image), *words, action=action)
    if ended.status != 0 and not (number(ended) == errno.ENOENT and "breaking lock" in ended.stderr):
        raise refusal(ended, action)


def _object(image: Image) -> tuple[str, ...]:
    return ("--pool", image.spec.pool.name, "--namespace", image.spec.pool.namespace)

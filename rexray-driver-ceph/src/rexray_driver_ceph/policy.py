"""The least capabilities of this driver's Ceph users.

Facts: Ceph, "User management": the profile ``rbd`` lets a client use images, and shut other clients out; locks and
keys of RADOS objects are within it. Which client is the cluster's own manager, flattening, it does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping

from rexray.settings import Sources
from rexray_driver_ceph.identity import identify
from rexray_driver_ceph.names import Pool
from rexray_driver_ceph.settings import RbdSettings


def document(sources: Sources) -> Mapping[str, object]:
    """The capabilities of the configured user, and the command that gives them to it."""
    settings = sources.load(RbdSettings)
    settings.check()
    user = identify(settings).user or "rexray"
    pools = [Pool.parse(text) for text in dict.fromkeys([settings.default_pool, *settings.pools])]
    osd = ", ".join(f"profile rbd {_place(pool)}" for pool in pools)
    mgr = ", ".join(f"profile rbd {_place(pool)}" for pool in pools)
    caps = {"mon": 'profile rbd, allow command "mgr dump"', "mgr": mgr, "osd": osd}
    words = " ".join(f"{kind} '{value}'" for kind, value in caps.items())
    return {
        "entity": f"client.{user}",
        "caps": caps,
        "command": f"ceph auth get-or-create client.{user} {words} -o /etc/ceph/ceph.client.{user}.keyring",
    }


def _place(pool: Pool) -> str:
    return f"pool={pool.name}" + (f" namespace={pool.namespace}" if pool.namespace else "")

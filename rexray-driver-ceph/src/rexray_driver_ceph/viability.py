"""Whether this host looks like one where Ceph's images are of use: a quick look that asks nobody.

Facts: Ceph's documentation, "Configuring Ceph": ``$CEPH_CONF``, ``/etc/ceph/ceph.conf`` and ``~/.ceph/ceph.conf`` are
where its programs look for the cluster.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rexray.errors import RexrayError
from rexray.types import Viability
from rexray_driver_ceph.settings import RbdSettings

_VARIABLES = ("RBD_CONF", "CEPH_CONF", "RBD_MONITORS", "RBD_CEPHARGS", "CEPH_ARGS")
_FILES = (Path("/etc/ceph/ceph.conf"), Path("~/.ceph/ceph.conf"))


def has_cluster(*, environ: Mapping[str, str] | None = None, files: tuple[Path, ...] = _FILES) -> Viability:
    """Whether the environment or a file says where a cluster is."""
    environ = os.environ if environ is None else environ
    if any(environ.get(name) for name in _VARIABLES) or any(os.path.exists(file.expanduser()) for file in files):
        return Viability(ok=True)
    return Viability(
        ok=False,
        reason="no Ceph cluster is known: neither $RBD_CONF nor $RBD_MONITORS is set, nor is there " + str(files[0]),
    )


def can_map(settings: RbdSettings) -> Viability:
    """Whether there is a way of mapping that works here; no module is loaded for that."""
    from rexray_driver_ceph.clientconf import ClientConf
    from rexray_driver_ceph.cluster import Cluster
    from rexray_driver_ceph.mappers import choose, make_mappers

    cluster = Cluster(settings)
    try:
        choose(settings, make_mappers(settings, cluster, ClientConf(cluster)))
    except RexrayError as error:
        return Viability(ok=False, reason=str(error))
    return Viability(ok=True)

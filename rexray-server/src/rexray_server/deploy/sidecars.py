"""The sidecars that Kubernetes gives a CSI controller, by what the plug-in can do, and what they may do.

Facts: the README.md and the rbac.yaml of each project below github.com/kubernetes-csi, in the versions named here. The
provisioner looks for zones where the plug-in says that it has them: since version 5 no feature gate is to be set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rexray_server.deploy.subject import Subject

Rule = dict[str, list[str]]

_REGISTRY = "registry.k8s.io/sig-storage"
PROVISIONER = f"{_REGISTRY}/csi-provisioner:v6.3.0"
ATTACHER = f"{_REGISTRY}/csi-attacher:v4.12.0"
RESIZER = f"{_REGISTRY}/csi-resizer:v2.2.1"
SNAPSHOTTER = f"{_REGISTRY}/csi-snapshotter:v8.6.0"
LIVENESS = f"{_REGISTRY}/livenessprobe:v2.19.0"
REGISTRAR = f"{_REGISTRY}/csi-node-driver-registrar:v2.17.0"

_READ = ["get", "list", "watch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A sidecar: its flags beside those that all have, its rules in the cluster, and those in its namespace."""

    name: str
    image: str
    flags: tuple[str, ...] = ()
    rules: tuple[Rule, ...]
    own_rules: tuple[Rule, ...] = ()
    knows_its_pod: bool = False
    """Whether it wants its pod's name and namespace in its environment."""


def rule(groups: str, resources: str, verbs: list[str]) -> Rule:
    """A rule for resources of an API group, separated by spaces."""
    return {"apiGroups": [groups], "resources": resources.split(), "verbs": verbs}


_EVENTS = rule("", "events", ["list", "watch", "create", "update", "patch"])
LEASES = rule("coordination.k8s.io", "leases", [*_READ, "create", "delete", "update"])
"""What the election of a leader needs."""


def sidecars_of(subject: Subject) -> Sequence[Sidecar]:
    """The sidecars that a controller needs for what its plug-in can do, and no other."""
    wanted = (
        ("CREATE_DELETE_VOLUME", _provisioner),
        ("PUBLISH_UNPUBLISH_VOLUME", _attacher),
        ("EXPAND_VOLUME", _resizer),
        ("CREATE_DELETE_SNAPSHOT", _snapshotter),
    )
    return [make(subject) for capability, make in wanted if capability in subject.capabilities]


def _provisioner(subject: Subject) -> Sidecar:
    measures = "GET_CAPACITY" in subject.capabilities
    capacity = ("--enable-capacity", "--capacity-ownerref-level=2") if measures else ()
    snapshots = (  # it marks a snapshot while a volume is made of it
        rule("snapshot.storage.k8s.io", "volumesnapshots", [*_READ, "update"]),
        rule("snapshot.storage.k8s.io", "volumesnapshotcontents", ["get", "list"]),
    )
    return Sidecar(
        name="csi-provisioner",
        image=PROVISIONER,
        flags=capacity,
        rules=(
            rule("", "persistentvolumes", [*_READ, "create", "delete", "patch"]),
            rule("", "persistentvolumeclaims", [*_READ, "update"]),
            rule("", "nodes", _READ),
            rule("storage.k8s.io", "storageclasses csinodes volumeattachments volumeattributesclasses", _READ),
            _EVENTS,
            *(snapshots if "CREATE_DELETE_SNAPSHOT" in subject.capabilities else ()),
        ),
        own_rules=(
            rule("storage.k8s.io", "csistoragecapacities", [*_READ, "create", "update", "patch", "delete"]),
            rule("", "pods", ["get"]),
            rule("apps", "replicasets", ["get"]),
        )
        if measures
        else (),
        knows_its_pod=measures,
    )


def _attacher(subject: Subject) -> Sidecar:
    return Sidecar(
        name="csi-attacher",
        image=ATTACHER,
        rules=(
            rule("", "persistentvolumes", [*_READ, "patch"]),
            rule("storage.k8s.io", "csinodes", _READ),
            rule("storage.k8s.io", "volumeattachments", [*_READ, "patch"]),
            rule("storage.k8s.io", "volumeattachments/status", ["patch"]),
        ),
    )


def _resizer(subject: Subject) -> Sidecar:
    return Sidecar(
        name="csi-resizer",
        image=RESIZER,
        rules=(
            rule("", "persistentvolumes", [*_READ, "patch"]),
            rule("", "persistentvolumeclaims pods", _READ),
            rule("", "persistentvolumeclaims/status", ["patch"]),
            rule("storage.k8s.io", "volumeattributesclasses", _READ),
            _EVENTS,
        ),
    )


def _snapshotter(subject: Subject) -> Sidecar:
    return Sidecar(
        name="csi-snapshotter",
        image=SNAPSHOTTER,
        rules=(
            rule("snapshot.storage.k8s.io", "volumesnapshotclasses", _READ),
            rule("snapshot.storage.k8s.io", "volumesnapshotcontents", [*_READ, "update", "patch"]),
            rule("snapshot.storage.k8s.io", "volumesnapshotcontents/status", ["update", "patch"]),
            _EVENTS,
        ),
    )

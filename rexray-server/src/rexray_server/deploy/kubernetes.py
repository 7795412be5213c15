"""The objects that run a CSI plug-in in Kubernetes 1.34 and later: a controller, a node on every host, and classes.

Credentials are on the controller alone, out of a Secret that is only referred to. Facts: the API reference of
Kubernetes, and "Deploying a CSI Driver on Kubernetes" of the Kubernetes CSI developer documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rexray_server.deploy import sidecars
from rexray_server.deploy.sidecars import Sidecar
from rexray_server.deploy.subject import CONFIG, SECRETS, Subject

Object = dict[str, Any]

_KUBELET = "/var/lib/kubelet"
_PROBE_PORT = 9808
_PLUGIN_DIRECTORY = "/csi"
_SOCKET = f"{_PLUGIN_DIRECTORY}/csi.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How the plug-in runs in a cluster.

    ``host_paths`` are directories of each host that nodes see at the same path, and write to after ``:rw``.
    """

    namespace: str
    image: str
    host_paths: tuple[str, ...] = ()
    health_port: int = _PROBE_PORT
    """The port of each host at which its node tells, to that host alone, whether it is well."""


def objects(subject: Subject, cluster: Cluster) -> Sequence[Object]:
    """Every object, in the order in which they are to be made."""
    found = sidecars.sidecars_of(subject)
    return [
        _namespace(cluster),
        _csi_driver(subject),
        *_accounts(subject, cluster),
        *_rights(subject, cluster, found),
        *([_config_map(subject, cluster)] if subject.configs else []),
        _controller(subject, cluster, found),
        _disruption(subject, cluster),
        _node(subject, cluster),
        _storage_class(subject),
        *([_snapshot_class(subject)] if "CREATE_DELETE_SNAPSHOT" in subject.capabilities else []),
    ]


def _object(kind: str, version: str, name: str, namespace: str = "", **fields: Any) -> Object:
    metadata: Object = {"name": name, **({"namespace": namespace} if namespace else {})}
    metadata["labels"] = {"app.kubernetes.io/part-of": "rexray"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def _namespace(cluster: Cluster) -> Object:
    """The namespace; nodes mount, and so are privileged."""
    found = _object("Namespace", "v1", cluster.namespace)
    found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"
    return found


def _csi_driver(subject: Subject) -> Object:
    spec = {
        "attachRequired": "PUBLISH_UNPUBLISH_VOLUME" in subject.capabilities,
        "podInfoOnMount": False,
        "fsGroupPolicy": "File",
        "storageCapacity": "GET_CAPACITY" in subject.capabilities,
        "volumeLifecycleModes": ["Persistent"],
    }
    return _object("CSIDriver", "storage.k8s.io/v1", subject.plugin, spec=spec)


def _accounts(subject: Subject, cluster: Cluster) -> Sequence[Object]:
    return [
        _object("ServiceAccount", "v1", f"{subject.name}-{half}", cluster.namespace) for half in ("controller", "node")
    ]


def _rights(subject: Subject, cluster: Cluster, found: Sequence[Sidecar]) -> Sequence[Object]:
    """What the sidecars may do, in the cluster and in their namespace; nodes may do nothing."""
    rbac, controller = "rbac.authorization.k8s.io", f"{subject.name}-controller"
    account = [{"kind": "ServiceAccount", "name": controller, "namespace": cluster.namespace}]
    everywhere = [rule for sidecar in found for rule in sidecar.rules]
    here = [sidecars.LEASES, *(rule for sidecar in found for rule in sidecar.own_rules)]
    return [
        _object("ClusterRole", f"{rbac}/v1", controller, rules=_once(everywhere)),
        _object(
            "ClusterRoleBinding",
            f"{rbac}/v1",
            controller,
            roleRef={"apiGroup": rbac, "kind": "ClusterRole", "name": controller},
            subjects=account,
        ),
        _object("Role", f"{rbac}/v1", controller, cluster.namespace, rules=_once(here)),
        _object(
            "RoleBinding",
            f"{rbac}/v1",
            controller,
            cluster.namespace,
            roleRef={"apiGroup": rbac, "kind": "Role", "name": controller},
            subjects=account,
        ),
    ]


def _once(rules: Sequence[sidecars.Rule]) -> list[sidecars.Rule]:
    found: list[sidecars.Rule] = []
    for rule in rules:
        if rule not in found:
            found.append(rule)
    return found


def _config_map(subject: Subject, cluster: Cluster) -> Object:
    return _object(
        "ConfigMap",
        "v1",
        subject.name,
        cluster.namespace,
        data={f"{half}.yml": text for half, text in subject.configs.items()},
    )


def _controller(subject: Subject, cluster: Cluster, found: Sequence[Sidecar]) -> Object:
    """Two controllers, of which one works at a time: each sidecar elects a leader."""
    labels = {"app.kubernetes.io/name": f"{subject.name}-controller"}
    plugin = _plugin(subject, cluster, "controller")
    plugin["envFrom"] = [{"secretRef": {"name": f"{subject.name}-credentials", "optional": True}}]
    plugin["ports"] = [{"name": "healthz", "containerPort": _PROBE_PORT}]
    plugin["livenessProbe"] = _probe({"port": "healthz"})
    plugin["securityContext"] = _harmless()
    plugin["volumeMounts"] += [
        {"name": "credentials", "mountPath": SECRETS, "readOnly": True},
        *({"name": name, "mountPath": path} for name, path in _SCRATCH.items()),
    ]
    volumes = [
        {"name": "socket", "emptyDir": {}},
        {
            "name": "credentials",
            "secret": {"secretName": f"{subject.name}-credentials", "optional": True, "defaultMode": 0o400},
        },
        *({"name": name, "emptyDir": {}} for name in _SCRATCH),
        *_config_volume(subject),
    ]
    pod = {
        "serviceAccountName": f"{subject.name}-controller",
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_apart(labels)]}},
        "containers": [
            plugin,
            *(_sidecar(sidecar) for sidecar in found),
            _liveness(f"--http-endpoint=:{_PROBE_PORT}"),
        ],
        "volumes": volumes,
    }
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return _object("Deployment", "apps/v1", f"{subject.name}-controller", cluster.namespace, spec=spec)


_SCRATCH = {"state": "/var/lib/rexray", "run": "/run/rexray", "tmp": "/tmp"}
"""What the controller writes to; it keeps nothing that another one needs."""


def _apart(labels: dict[str, str]) -> Object:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    return {"weight": 100, "podAffinityTerm": term}


def _disruption(subject: Subject, cluster: Cluster) -> Object:
    labels = {"app.kubernetes.io/name": f"{subject.name}-controller"}
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    return _object("PodDisruptionBudget", "policy/v1", f"{subject.name}-controller", cluster.namespace, spec=spec)


def _node(subject: Subject, cluster: Cluster) -> Object:
    """The node on every host: it mounts where the kubelet and every container see it, and has no credentials."""
    labels = {"app.kubernetes.io/name": f"{subject.name}-node"}
    address = {"host": "127.0.0.1", "port": cluster.health_port}
    plugin = _plugin(subject, cluster, "node")
    plugin["livenessProbe"] = _probe(address)
    plugin["securityContext"] = {"privileged": True}
    shared = {"mountPropagation": "Bidirectional"}
    own = f"{_KUBELET}/plugins/{subject.plugin}"
    paths = [shown.partition(":") for shown in cluster.host_paths]
    kept = (("state", f"/var/lib/rexray/csi/{subject.plugin}"), ("run", f"/run/rexray-csi/{subject.plugin}"))
    plugin["volumeMounts"] += [
        {"name": "kubelet", "mountPath": _KUBELET, **shared},
        {"name": "state", "mountPath": "/var/lib/rexray", **shared},
        {"name": "run", "mountPath": "/run/rexray"},
        {"name": "dev", "mountPath": "/dev"},
        {"name": "udev", "mountPath": "/run/udev", "readOnly": True},
        {"name": "modules", "mountPath": "/lib/modules", "readOnly": True},
        *(
            {"name": f"host-{number}", "mountPath": path, "readOnly": mode != "rw"}
            for number, (path, _, mode) in enumerate(paths)
        ),
    ]
    volumes = [
        _host("socket", own, "DirectoryOrCreate"),
        _host("registration", f"{_KUBELET}/plugins_registry", "Directory"),
        _host("kubelet", _KUBELET, "Directory"),
        *(_host(name, path, "DirectoryOrCreate") for name, path in kept),
        _host("dev", "/dev", "Directory"),
        _host("udev", "/run/udev", "DirectoryOrCreate"),
        _host("modules", "/lib/modules", "DirectoryOrCreate"),
        *(_host(f"host-{number}", path, "Directory") for number, (path, _, _) in enumerate(paths)),
        *_config_volume(subject),
    ]
    pod = {
        "serviceAccountName": f"{subject.name}-node",
        "automountServiceAccountToken": False,
        "priorityClassName": "system-node-critical",
        "hostNetwork": True,  # a host's name, its metadata service and its iSCSI are those of its network
        "hostPID": True,  # users of a device are looked for among all processes, before it is taken away
        "hostIPC": True,  # device mapper waits for udev by a semaphore that udev has to see
        "dnsPolicy": "ClusterFirstWithHostNet",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            plugin,
            _registrar(f"{own}/csi.sock"),
            _liveness(f"--http-endpoint=127.0.0.1:{cluster.health_port}"),
        ],
        "volumes": volumes,
    }
    spec = {
        "selector": {"matchLabels": labels},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return _object("DaemonSet", "apps/v1", f"{subject.name}-node", cluster.namespace, spec=spec)


def _plugin(subject: Subject, cluster: Cluster, mode: str) -> Object:
    """The container of REX-Ray itself."""
    mounts: list[Object] = [{"name": "socket", "mountPath": _PLUGIN_DIRECTORY}]
    if subject.configs:
        mounts.append({"name": "config", "mountPath": CONFIG, "subPath": f"{mode}.yml", "readOnly": True})
    return {
        "name": "rexray",
        "image": cluster.image,
        "args": ["start", "-f", "--nopid"],
        "env": [{"name": name, "value": value} for name, value in subject.environment(mode).items()],
        "resources": {"requests": {"cpu": "20m", "memory": "96Mi"}},
        "volumeMounts": mounts,
    }


def _probe(address: Object) -> Object:
    get = {"path": "/healthz", **address}
    return {"httpGet": get, "initialDelaySeconds": 10, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 5}


def _sidecar(sidecar: Sidecar) -> Object:
    common = (f"--csi-address={_SOCKET}", "--leader-election", "--timeout=120s", "--v=2")
    found = _helper(sidecar.name, sidecar.image, (*common, *sidecar.flags))
    if sidecar.knows_its_pod:
        fields = (("NAMESPACE", "metadata.namespace"), ("POD_NAME", "metadata.name"))
        found["env"] = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields]
    return found


def _liveness(endpoint: str) -> Object:
    return _helper("liveness-probe", sidecars.LIVENESS, (f"--csi-address={_SOCKET}", endpoint))


def _registrar(path: str) -> Object:
    flags = (f"--csi-address={_SOCKET}", f"--kubelet-registration-path={path}")
    found = _helper("node-driver-registrar", sidecars.REGISTRAR, flags)
    found["volumeMounts"].append({"name": "registration", "mountPath": "/registration"})
    return found


def _helper(name: str, image: str, flags: Sequence[str]) -> Object:
    return {
        "name": name,
        "image": image,
        "args": list(flags),
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": _harmless(),
        "volumeMounts": [{"name": "socket", "mountPath": _PLUGIN_DIRECTORY}],
    }


def _harmless() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _host(name: str, path: str, kind: str) -> Object:
    return {"name": name, "hostPath": {"path": path, "type": kind}}


def _config_volume(subject: Subject) -> Sequence[Object]:
    return [{"name": "config", "configMap": {"name": subject.name}}] if subject.configs else []


def _storage_class(subject: Subject) -> Object:
    """The class of new volumes: made where the pod will run, if volumes cannot be used everywhere."""
    return _object(
        "StorageClass",
        "storage.k8s.io/v1",
        subject.name,
        provisioner=subject.plugin,
        reclaimPolicy="Delete",
        allowVolumeExpansion="EXPAND_VOLUME" in subject.capabilities,
        volumeBindingMode="WaitForFirstConsumer" if subject.is_zonal else "Immediate",
        parameters={} if subject.native else {"csi.storage.k8s.io/fstype": "ext4"},
    )


def _snapshot_class(subject: Subject) -> Object:
    """The class of snapshots; the cluster has the definitions of its kind from the snapshot controller."""
    return _object(
        "VolumeSnapshotClass",
        "snapshot.storage.k8s.io/v1",
        subject.name,
        driver=subject.plugin,
        deletionPolicy="Delete",
    )

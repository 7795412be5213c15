"""What is generated for clusters and containers, held against the schemas and parsers of those who read it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hcl2
import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest
import yaml
from click.testing import CliRunner, Result

from rexray.cli.root import root as program
from rexray.csi.bridge import abilities
from rexray.errors import InvalidRequest
from rexray_server.deploy.container import containerfile
from rexray_server.deploy.kubernetes import Cluster, objects
from rexray_server.deploy.nomad import Nomad, controller_job, node_job
from rexray_server.deploy.output import yaml_of
from rexray_server.deploy.sidecars import sidecars_of
from rexray_server.deploy.subject import Subject

ALL = frozenset((*abilities.ALWAYS, *(name for _, names in abilities.BY_MIXIN for name in names)))
CONFIG = 'rexray:\n  # {{ not ours }} ${nor.this} %{ if it } "quoted" back\\slash\n  logLevel: debug\n'
PATHS = ("/etc/ceph", "/etc/iscsi:rw")
CLUSTER = Cluster(namespace="storage", image="registry.example/rexray:1", host_paths=PATHS, health_port=9900)
NOMAD = Nomad(namespace="storage", image="registry.example/rexray:1", host_paths=PATHS)

Object = dict[str, Any]


def subject(**fields: Any) -> Subject:
    """A plug-in that can do all, in zones, with a configuration."""
    made: dict[str, Any] = {
        "driver": "acme",
        "service": "",
        "native": False,
        "plugin": "acme.rexray.io",
        "distribution": "rexray-driver-acme==0.1.0",
        "capabilities": ALL,
        "constraints": frozenset({"CONTROLLER_SERVICE", "VOLUME_ACCESSIBILITY_CONSTRAINTS"}),
        "configs": {"controller": CONFIG, "node": CONFIG},
    }
    return Subject(**{**made, **fields})


def made(given: Subject | None = None) -> list[Object]:
    """The objects, by way of the YAML that is written."""
    return list(yaml.safe_load_all(yaml_of(objects(given or subject(), CLUSTER))))


def one(kind: str, found: list[Object]) -> Object:
    (item,) = (item for item in found if item["kind"] == kind)
    return item


def containers(workload: Object) -> dict[str, Object]:
    return {item["name"]: item for item in workload["spec"]["template"]["spec"]["containers"]}


LEAST = subject(capabilities=frozenset(abilities.ALWAYS), constraints=frozenset({"CONTROLLER_SERVICE"}), configs={})


@pytest.mark.parametrize(
    ("given", "version"),
    [(subject(), "1.34"), (LEAST, kubernetes_validate.latest_version())],
    ids=["all in the oldest", "least in the newest"],
)
def test_every_object_is_what_the_api_takes_and_has_no_field_that_it_does_not_know(
    given: Subject, version: str
) -> None:
    checked = []
    for item in made(given):
        if item["kind"] != "VolumeSnapshotClass":  # of a definition that the snapshot controller brings
            kubernetes_validate.validate(item, version, strict=True)
            checked.append(item["kind"])
    assert {"CSIDriver", "Deployment", "DaemonSet", "StorageClass", "PodDisruptionBudget", "ClusterRole"} <= {*checked}


def test_the_check_would_find_a_field_that_the_api_does_not_know() -> None:
    daemon_set = one("DaemonSet", made())
    containers(daemon_set)["rexray"]["volumeMounts"][0]["mountPropogation"] = "Bidirectional"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(daemon_set, "1.34", strict=True)


def test_the_class_of_snapshots_is_as_its_definition_wants_it() -> None:
    found = one("VolumeSnapshotClass", made())
    assert found["apiVersion"] == "snapshot.storage.k8s.io/v1"
    assert set(found) == {"apiVersion", "kind", "metadata", "driver", "deletionPolicy"}
    assert (found["driver"], found["deletionPolicy"]) == ("acme.rexray.io", "Delete")


@pytest.mark.parametrize(
    ("capability", "sidecar"), [("EXPAND_VOLUME", "csi-resizer"), ("CREATE_DELETE_SNAPSHOT", "csi-snapshotter")]
)
def test_a_sidecar_is_there_for_what_the_driver_can_do_and_for_nothing_else(capability: str, sidecar: str) -> None:
    least = {"csi-provisioner", "csi-attacher"}
    assert {item.name for item in sidecars_of(LEAST)} == least
    more = subject(capabilities=LEAST.capabilities | {capability})
    assert {item.name for item in sidecars_of(more)} == least | {sidecar}
    assert set(containers(one("Deployment", made(more)))) == least | {sidecar, "rexray", "liveness-probe"}


def test_classes_and_flags_follow_what_the_driver_can_do() -> None:
    all_of_it, least = made(), made(LEAST)
    assert one("StorageClass", all_of_it)["volumeBindingMode"] == "WaitForFirstConsumer"
    assert one("StorageClass", least)["volumeBindingMode"] == "Immediate"
    assert [one("StorageClass", found)["allowVolumeExpansion"] for found in (all_of_it, least)] == [True, False]
    assert [one("CSIDriver", found)["spec"]["storageCapacity"] for found in (all_of_it, least)] == [True, False]
    flags = [containers(one("Deployment", found))["csi-provisioner"]["args"] for found in (all_of_it, least)]
    assert ["--enable-capacity" in found for found in flags] == [True, False]
    assert not [flag for found in flags for flag in found if "feature-gates" in flag], "the plug-in tells of its zones"
    assert not [item for item in least if item["kind"] in ("VolumeSnapshotClass", "ConfigMap")]


def references(item: Any, word: str) -> Iterator[Any]:
    """What is said by a key, wherever in an object."""
    if isinstance(item, dict):
        for key, value in item.items():
            if key == word:
                yield value
            yield from references(value, word)
    elif isinstance(item, list):
        for value in item:
            yield from references(value, word)


def test_credentials_are_on_the_controller_alone_and_come_from_a_secret() -> None:
    found = made()
    controller, node = one("Deployment", found), one("DaemonSet", found)
    assert list(references(controller, "secretName")) == ["rexray-acme-credentials"]
    assert list(references(controller, "secretRef")) == [{"name": "rexray-acme-credentials", "optional": True}]
    for word in ("secret", "secretRef", "secretKeyRef", "envFrom"):
        assert not list(references(node, word))
    assert node["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    for item in found:
        assert item["kind"] != "Secret"
    for name, container in containers(controller).items():
        assert ("envFrom" in container) == (name == "rexray")
    modes = [
        {entry["name"]: entry["value"] for entry in containers(item)["rexray"]["env"]}["X_CSI_MODE"]
        for item in (controller, node)
    ]
    assert modes == ["controller", "node"]


def test_the_node_mounts_where_its_host_sees_it_and_the_controller_is_harmless() -> None:
    found = made()
    node = containers(one("DaemonSet", found))["rexray"]
    assert node["securityContext"] == {"privileged": True}
    mounts = {mount["mountPath"]: mount for mount in node["volumeMounts"]}
    assert mounts["/var/lib/kubelet"]["mountPropagation"] == "Bidirectional"
    assert {"/dev", "/csi", "/etc/ceph", "/var/lib/rexray"} <= set(mounts)
    assert [mounts[path]["readOnly"] for path in ("/etc/ceph", "/etc/iscsi")] == [True, False]
    pod = one("DaemonSet", found)["spec"]["template"]["spec"]
    # who uses a device shows in the processes of the host; device mapper and udev wait for each other by semaphores
    assert [pod[name] for name in ("hostNetwork", "hostPID", "hostIPC")] == [True, True, True]
    assert "/etc/iscsi" in [volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume]
    for name, container in containers(one("Deployment", found)).items():
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert not container["securityContext"].get("privileged")


def test_what_refers_to_something_refers_to_what_is_there() -> None:
    found = made()
    accounts = {item["metadata"]["name"] for item in found if item["kind"] == "ServiceAccount"}
    for kind in ("Deployment", "DaemonSet"):
        workload = one(kind, found)
        pod = workload["spec"]["template"]["spec"]
        volumes = [volume["name"] for volume in pod["volumes"]]
        used = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert sorted(volumes) == sorted(used)
        assert pod["serviceAccountName"] in accounts
        assert workload["spec"]["selector"]["matchLabels"] == workload["spec"]["template"]["metadata"]["labels"]
        config = one("ConfigMap", found)
        mounted = [mount["subPath"] for mount in containers(workload)["rexray"]["volumeMounts"] if "subPath" in mount]
        assert set(mounted) <= set(config["data"])
        (mount_name,) = (volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume)
        assert mount_name == config["metadata"]["name"]
    budget = one("PodDisruptionBudget", found)["spec"]["selector"]
    assert budget == one("Deployment", found)["spec"]["selector"]
    (registrar,) = (args for args in references(one("DaemonSet", found), "args") if "kubelet-regist" in str(args))
    assert "--kubelet-registration-path=/var/lib/kubelet/plugins/acme.rexray.io/csi.sock" in registrar
    assert "/var/lib/kubelet/plugins/acme.rexray.io" in references(one("DaemonSet", found), "path")


def test_health_is_probed_where_the_probe_listens() -> None:
    found = made()
    for kind, port in (("Deployment", 9808), ("DaemonSet", 9900)):
        workload = containers(one(kind, found))
        get = workload["rexray"]["livenessProbe"]["httpGet"]
        named = {item["name"]: item["containerPort"] for item in workload["rexray"].get("ports", ())}
        assert (get["path"], named.get(get["port"], get["port"])) == ("/healthz", port)
        (endpoint,) = (flag for flag in workload["liveness-probe"]["args"] if flag.startswith("--http-endpoint="))
        assert endpoint.endswith(f":{port}")
        if kind == "DaemonSet":
            assert (get["host"], endpoint) == ("127.0.0.1", f"--http-endpoint=127.0.0.1:{port}")


def test_rights_name_what_they_are_for_and_no_secrets() -> None:
    for item in made():
        for rule in item.get("rules", ()):
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
            assert "secrets" not in rule["resources"]
    rules = [rule for rule in one("ClusterRole", made())["rules"] if "volumesnapshots" in rule["resources"]]
    assert [set(rule["verbs"]) for rule in rules] == [{"get", "list", "watch", "update"}], "to mark one in use"
    assert not [rule for rule in one("ClusterRole", made(LEAST))["rules"] if "snapshot" in str(rule)]


def test_every_image_has_a_version() -> None:
    for image in references(made(), "image"):
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.]*", image), image


def test_names_are_short_and_of_the_letters_that_clusters_take() -> None:
    for service in ("fast", "a_b", "x" * 40, "a" * 38 + "_b"):
        given = subject(service=service, plugin=f"{service.replace('_', '.')}.acme.rexray.io")
        assert re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", given.name), given.name
        for item in made(given):
            assert len(item["metadata"]["name"]) <= 63


@pytest.mark.parametrize("native", [True, False])
def test_a_container_serves_what_it_is_deployed_for(native: bool) -> None:
    environ = subject(native=native).environment("node")
    assert environ["CSI_ENDPOINT"] == "unix:///csi/csi.sock"
    assert (environ.get("X_CSI_DRIVER"), environ.get("REXRAY_STORAGEDRIVERS")) == (
        ("acme", None) if native else (None, "acme")
    )
    assert subject(service="fast").environment("node")["REXRAY_SERVICE"] == "fast"


def plain(item: Any) -> Any:
    """What hcl2 gives, with texts as Nomad reads them."""
    if isinstance(item, dict):
        return {plain(key): plain(value) for key, value in item.items() if not key.startswith("__")}
    if isinstance(item, list):
        return [plain(value) for value in item]
    if isinstance(item, str) and item.startswith('"'):
        return json.loads(item).replace("$${", "${").replace("%%{", "%{")
    return item


def task_of(text: str, half: str) -> tuple[Object, Object]:
    """A job and its task."""
    (job,) = plain(hcl2.loads(text))["job"]
    ((name, body),) = job.items()
    assert name == f"rexray-acme-{half}"
    (group,) = body["group"]
    (task,) = group[half]["task"]
    return body, task["rexray"]


def test_nomads_jobs_are_a_controller_with_credentials_and_a_node_without() -> None:
    controller, task = task_of(controller_job(subject(), NOMAD), "controller")
    assert (controller["type"], controller["namespace"]) == ("service", "storage")
    (plugin,) = task["csi_plugin"]
    assert {"id": "rexray-acme", "type": "controller", "mount_dir": "/csi"}.items() <= plugin.items()
    (credentials,) = (item for item in task["template"] if item.get("env"))
    assert credentials["destination"] == "${NOMAD_SECRETS_DIR}/credentials.env"
    path = '"nomad/jobs/rexray-acme-controller"'
    asked = "{{ if nomadVarExists " + path + " }}{{ with nomadVar " + path + " }}"
    assert credentials["data"].startswith(asked), "a driver without credentials would never start"
    assert credentials["data"].count("{{ end }}") == 3

    node, task = task_of(node_job(subject(), NOMAD), "node")
    assert node["type"] == "system"
    (plugin,) = task["csi_plugin"]
    assert (plugin["id"], plugin["type"]) == ("rexray-acme", "node")
    (config,) = task["config"]
    assert (config["privileged"], config["image"]) == (True, "registry.example/rexray:1")
    assert [config[f"{what}_mode"] for what in ("ipc", "network", "pid")] == ["host"] * 3
    assert {"/etc/ceph:/etc/ceph:ro", "/etc/iscsi:/etc/iscsi:rw"} <= {*config["volumes"]}
    (state,) = (volume.rpartition(":") for volume in config["volumes"] if ":/var/lib/rexray:" in volume)
    assert state[2] == "rshared", "what is mounted there would end with the container"
    # Nomad mounts these into each plug-in, and Docker refuses a container with two mounts at one place
    assert not {"/dev", "/csi"} & {volume.split(":")[1] for volume in config["volumes"]}
    assert not [item for item in task["template"] if "nomadVar" in item["data"]]


def test_a_configuration_reaches_nomad_as_it_is() -> None:
    for half, job in (("controller", controller_job), ("node", node_job)):
        _, task = task_of(job(subject(), NOMAD), half)
        (config,) = (item for item in task["template"] if "env" not in item)
        assert config["data"] == CONFIG
        assert config["left_delimiter"] not in CONFIG
        assert "local/config.yml:/etc/rexray/config.yml:ro" in task["config"][0]["volumes"]


def instructions(text: str) -> list[tuple[str, str]]:
    """A recipe's instructions, with lines that go on put together."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    pairs = [line.split(None, 1) for line in lines if line and not line.startswith("#")]
    return [(word, rest) for word, rest in pairs]


def test_a_recipe_starts_from_a_version_and_installs_versions_without_asking() -> None:
    found = instructions(containerfile(subject(), packages=("nfs-common",)))
    words = [word for word, _ in found]
    assert words == ["FROM", "RUN", "RUN", "ENV", "STOPSIGNAL", "ENTRYPOINT", "CMD"]
    told = dict(found)
    assert re.fullmatch(r"docker\.io/library/debian:\d+\.\d+-slim", told["FROM"])
    apt, pip = (rest for word, rest in found if word == "RUN")
    assert "DEBIAN_FRONTEND=noninteractive" in apt
    assert {"-y", "e2fsprogs", "xfsprogs", "btrfs-progs", "nfs-common"} <= {*shlex.split(apt)}
    wanted = [word for word in shlex.split(pip) if word.startswith("rexray-")]
    assert wanted[-1] == "rexray-driver-acme==0.1.0"
    assert all(re.fullmatch(r"rexray-[\w-]+==[\d.]+", word) for word in wanted)
    assert json.loads(told["ENTRYPOINT"]) == ["/opt/rexray/bin/rexray"]
    assert json.loads(told["CMD"])[:2] == ["start", "-f"]


def test_a_recipe_can_install_from_wheels_of_the_build_context() -> None:
    pip = instructions(containerfile(subject(), wheels="dist/wheels"))[2][1]
    assert pip.startswith("--mount=type=bind,source=dist/wheels,target=/wheels ")
    assert "--find-links /wheels" in pip


@pytest.mark.parametrize("word", ["a b", "a;reboot", "-y", "$(id)", "../wheels", "/wheels", "a\nRUN id"])
def test_a_word_that_would_do_something_else_in_a_recipe_is_refused(word: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be in a recipe"):
        containerfile(subject(), packages=(word,))
    with pytest.raises(InvalidRequest, match="cannot be in a recipe"):
        containerfile(subject(), wheels=word)


@pytest.fixture
def say(tmp_path: Path) -> Callable[..., Result]:
    def say(*words: str) -> Result:
        environ = {"HOME": str(tmp_path), "REXRAY_HOME": str(tmp_path / "home")}
        return CliRunner().invoke(program, ["deploy", *words], env=environ)

    return say


def test_files_are_written_once_and_what_somebody_changed_stays(say: Callable[..., Result], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    words = ("systemd", "--program", "/usr/bin/rexray", "-o", str(folder))
    first = say(*words)
    assert first.exit_code == 0, first.output
    assert {path.name for path in folder.iterdir()} == {"rexray.service", "rexray.socket"}
    assert {line.split()[0] for line in say(*words).output.splitlines()} == {"unchanged"}
    (folder / "rexray.socket").write_text("mine\n")
    assert f"kept {folder / 'rexray.socket'}" in say(*words).output
    assert (folder / "rexray.socket").read_text() == "mine\n"
    assert f"wrote {folder / 'rexray.socket'}" in say(*words, "--force").output
    printed = say("systemd").output
    assert "ExecStart=/usr/bin/rexray start -f" in printed
    assert "ListenStream=/run/docker/plugins/rexray.sock" in printed

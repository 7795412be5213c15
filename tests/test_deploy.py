"""What is generated for the real drivers follows what each of them says of itself, and has no secret in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from rexray import catalog, mixins
from rexray.cli.root import root as program
from rexray.registry import registry

STORAGE = sorted({registry().storage_driver(entry.name).name for entry in catalog.entries("storage")})
SIDECARS = {mixins.Snapshots: "csi-snapshotter", mixins.Expand: "csi-resizer"}
SECRET = "hunter2"


def deploy(home: Path, *words: str) -> Result:
    clean = {name: None for name in os.environ if name.startswith(("REXRAY_", "X_CSI_", "CSI_", "AWS_"))}
    environ = {**clean, "HOME": str(home), "REXRAY_HOME": str(home)}
    return CliRunner().invoke(program, ["deploy", *words], env=environ)


def kubernetes(home: Path, *words: str) -> dict[str, dict[str, Any]]:
    """The objects of a deployment by their kind, the last of each."""
    result = deploy(home, "kubernetes", *words)
    assert result.exit_code == 0, (result.output, result.exception)
    return {item["kind"]: item for item in yaml.safe_load_all(result.stdout)}


@pytest.mark.parametrize("driver", STORAGE)
def test_a_driver_gets_the_sidecars_of_its_mixins_and_the_name_that_it_answers_by(tmp_path: Path, driver: str) -> None:
    found = kubernetes(tmp_path, "--driver", driver)
    storage = registry().storage_driver(driver)
    running = {item["name"] for item in found["Deployment"]["spec"]["template"]["spec"]["containers"]}
    for mixin, sidecar in SIDECARS.items():
        assert (sidecar in running) == issubclass(storage, mixin), sidecar
    assert ("VolumeSnapshotClass" in found) == issubclass(storage, mixins.Snapshots)
    assert found["StorageClass"]["volumeBindingMode"] == (
        "WaitForFirstConsumer" if issubclass(storage, mixins.Topology) else "Immediate"
    )
    assert found["CSIDriver"]["metadata"]["name"] == f"{storage.name}.rexray.io"
    recipe = deploy(tmp_path, "container", "--driver", driver).stdout
    distribution = catalog.find("storage", driver).distribution()
    assert distribution is not None
    assert f" {distribution.name}=={distribution.version}\n" in recipe


def test_a_native_plug_in_is_deployed_by_its_own_name(tmp_path: Path) -> None:
    (native,) = (entry.name for entry in catalog.entries("csi") if entry.name.startswith("csi-"))
    found = kubernetes(tmp_path, "--driver", native)
    (rexray,) = (
        item for item in found["DaemonSet"]["spec"]["template"]["spec"]["containers"] if item["name"] == "rexray"
    )
    environ = {item["name"]: item["value"] for item in rexray["env"]}
    assert (environ["X_CSI_NATIVE"], environ["X_CSI_DRIVER"]) == ("true", native)
    assert list(tmp_path.iterdir()) == [], "nothing is made for a question"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yml"
    path.write_text(
        f"# the password was {SECRET}\n"
        "rexray:\n  services:\n    fast:\n      driver: ec2\n"
        "      ec2: {region: eu-west-1, accessKey: 'env:KEY', secretKey: 'file:/etc/rexray/secrets/key'}\n"
    )
    return path


def test_a_configured_service_goes_along_without_comments_and_to_nodes_without_credentials(
    tmp_path: Path, config: Path
) -> None:
    found = kubernetes(tmp_path, "-c", str(config), "--namespace", "here")
    assert found["CSIDriver"]["metadata"]["name"] == "fast.ec2.rexray.io"
    said = {half: yaml.safe_load(text) for half, text in found["ConfigMap"]["data"].items()}
    service = said["controller.yml"]["rexray"]["services"]["fast"]
    assert service["ec2"]["secretKey"] == "file:/etc/rexray/secrets/key"
    assert said["node.yml"]["rexray"]["services"]["fast"] == {"driver": "ec2", "ec2": {"region": "eu-west-1"}}
    for target in ("kubernetes", "nomad", "container"):
        result = deploy(tmp_path, target, "-c", str(config))
        assert result.exit_code == 0
        assert SECRET not in result.output


@pytest.mark.parametrize("key", ["secretKey: hunter2", "rexray.services.fast.ec2.secretKey: hunter2"])
@pytest.mark.parametrize("target", ["kubernetes", "nomad", "container"])
def test_a_secret_itself_is_refused_and_not_shown(tmp_path: Path, config: Path, target: str, key: str) -> None:
    if key.startswith("rexray"):
        config.write_text(f"rexray.services.fast.driver: ec2\n{key}\n")
    else:
        config.write_text(config.read_text().replace("secretKey: 'file:/etc/rexray/secrets/key'", key))
    out = tmp_path / "out"
    refused = deploy(tmp_path, target, "-c", str(config), "-o", str(out))
    assert refused.exit_code != 0
    told = str(refused.exception)
    assert "rexray.services.fast.ec2.secretkey has the secret itself: write env:NAME or file:" in told
    assert SECRET not in told + refused.output
    assert not out.exists()


def test_services_of_this_host_do_not_go_along_by_accident(tmp_path: Path, config: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/config.yml").write_text(config.read_text())
    refused = deploy(tmp_path, "kubernetes")
    assert "name the file that goes with them by --config" in str(refused.exception)


def test_a_driver_that_is_not_the_services_is_refused(tmp_path: Path, config: Path) -> None:
    refused = deploy(tmp_path, "nomad", "-c", str(config), "--driver", "loop")
    assert str(refused.exception) == "service 'fast' is of the driver 'ec2', not 'loop'"


@pytest.mark.needs("root")
def test_a_node_serves_with_what_it_is_given_and_no_credentials(tmp_path: Path, home: Path) -> None:
    """What the DaemonSet's container runs is a service that answers, of which a client sees the name."""
    found = kubernetes(tmp_path, "--driver", "loop")
    (container,) = (
        item for item in found["DaemonSet"]["spec"]["template"]["spec"]["containers"] if item["name"] == "rexray"
    )
    said = {item["name"]: item["value"] for item in container["env"]}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REXRAY_", "X_CSI_", "CSI_"))}
    environ = {**clean, **said, "REXRAY_HOME": str(home), "CSI_ENDPOINT": f"unix://{home}/csi.sock"}
    rexray = str(Path(sys.executable).with_name("rexray"))
    with subprocess.Popen(
        [rexray, *container["args"]], env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as node:
        try:
            assert node.stdout is not None
            assert node.stdout.readline().startswith("REX-Ray serves ")
            asked = subprocess.run(
                [rexray, "csi", "info", "--format", "json"], env=environ, capture_output=True, text=True, check=True
            )
        finally:
            node.terminate()
    (answer,) = [json.loads(asked.stdout)] if asked.stdout.startswith("{") else json.loads(asked.stdout)
    assert answer["name"] == found["CSIDriver"]["metadata"]["name"]

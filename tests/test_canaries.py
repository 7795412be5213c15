"""No secret of a setting or a request is seen outside: in a log at debug, an answer, an argument or a state file."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.message import Message

from canary_parts import Recorder, canary, files_below, hits, plain_canary
from ec2_parts import NOWHERE, REGION, ZONE, Cloud
from gateway_parts import Gateway
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.client import CSIClient
from rexray.errors import RexrayError
from service_parts import BRIDGE, Daemon, eventually
from xms_parts import Xms

FROM_CSI = [("csi.requestid", "from-csi")]
MOUNT = pb.VolumeCapability(mount={"fs_type": "ext4"}, access_mode={"mode": "SINGLE_NODE_WRITER"})


@dataclass(kw_only=True)
class Platform:
    """A driver, its settings as a file says them, and what makes its platform refuse everything."""

    driver: str
    settings: Mapping[str, object]
    canaries: list[str]
    refuse: Callable[[], object]
    environ: Mapping[str, str] = field(default_factory=dict)
    own_files: list[Path] = field(default_factory=list)
    """Those that have secrets because somebody put them there."""
    expects_children: bool = False


@contextmanager
def ec2(folder: Path) -> Iterator[Platform]:
    access, secret, token = plain_canary(), canary("secret"), plain_canary()
    kept = folder / "secret-key"
    kept.write_text(secret)
    kept.chmod(0o600)
    with Cloud(folder) as cloud:
        instance = cloud.run_instance(ZONE)
        yield Platform(
            driver="ec2",
            settings={
                "ec2": {
                    "accessKey": access,
                    "secretKey": f"file:{kept}",
                    "sessionToken": token,
                    "endpoint": cloud.url,
                    "region": REGION,
                    "instanceID": instance,
                },
                "rexray": {"remoteManagement": True},
            },
            canaries=[access, secret, token],
            refuse=lambda: cloud.control(keys={"nobody": {}}),
            environ={**NOWHERE, "REXRAY_DOCKER_AVAILABILITYZONE": ZONE},
            own_files=[kept],
        )


@contextmanager
def scaleio(folder: Path) -> Iterator[Platform]:
    guid = "F1E7B4A2-0000-4000-8000-0000000000AA"
    with Gateway() as gateway:
        gateway.add_sdc(guid)
        yield Platform(
            driver="scaleio",
            settings={
                "scaleio": {
                    "endpoint": gateway.url,
                    "userName": gateway.username,
                    "password": gateway.password,
                    "caFile": str(gateway.ca_file),
                    "timeout": "1s",
                    "guid": guid,
                },
                "rexray": {"remoteManagement": True},
            },
            canaries=[gateway.password],
            refuse=gateway.stop,
        )


@contextmanager
def xtremio(folder: Path) -> Iterator[Platform]:
    password, chap = canary("password"), canary("chap")
    with Xms(password=password) as xms:
        yield Platform(
            driver="xtremio",
            settings={
                "xtremio": {
                    "endpoint": xms.url,
                    "insecure": True,
                    "userName": xms.username,
                    "password": password,
                    "chapUser": "rexray",
                    "chapPassword": chap,
                    "initiator": "iqn.1993-08.org.debian:01:canaries",
                }
            },
            canaries=[password, chap],
            refuse=lambda: setattr(xms, "password", "another one"),
        )


@contextmanager
def rbd(folder: Path) -> Iterator[Platform]:
    """A cluster that does not answer; what it has of secrets is in files."""
    key, passphrase = plain_canary(), canary("passphrase")
    keyring, passphrases = folder / "keyring", folder / "keys"
    keyring.write_text(f"[client.admin]\n\tkey = {key}\n")
    keyring.chmod(0o600)
    passphrases.mkdir(mode=0o700)
    (passphrases / "default").write_text(passphrase)
    (passphrases / "default").chmod(0o600)
    yield Platform(
        driver="rbd",
        settings={
            "rbd": {
                "monitors": "127.0.0.1:1",
                "keyring": str(keyring),
                "keyDirectory": str(passphrases),
                "timeout": "0.5s",
            }
        },
        canaries=[key, passphrase],
        refuse=lambda: None,
        own_files=[keyring, passphrases / "default"],
        expects_children=True,
    )


PLATFORMS = {
    "ec2": ec2,
    "scaleio": scaleio,
    "xtremio": xtremio,
    "rbd": pytest.param(rbd, marks=pytest.mark.needs("ceph")),
}


@pytest.fixture(params=list(PLATFORMS.values()), ids=list(PLATFORMS))
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Platform]:
    with request.param(tmp_path) as platform:
        yield platform


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


def write_settings(daemon: Daemon, settings: Mapping[str, object]) -> Path:
    """The settings where a daemon looks for them, for its user alone."""
    path = daemon.home / "etc/config.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(settings), allow_unicode=True))
    path.chmod(0o600)
    return path


def told_by_docker(daemon: Daemon, name: str) -> Iterator[str]:
    """What a volume's life over Docker's protocol answers, which may fail at any point."""
    for call, body in (
        ("VolumeDriver.Create", {"Name": name, "Opts": {"size": "8"}}),
        ("VolumeDriver.Get", {"Name": name}),
        ("VolumeDriver.Mount", {"Name": name, "ID": "c1"}),
        ("VolumeDriver.Remove", {"Name": name}),
    ):
        yield json.dumps(daemon.docker_raw(call, json.dumps(body).encode()))


def told_by_csi(daemon: Daemon, name: str, canaries: list[str]) -> Iterator[str]:
    """What it answers over CSI, with secrets and a context in each request that takes them."""
    secrets, context = {"key": canary("csi-secret")}, {"token": canary("csi-context"), "x": plain_canary()}
    canaries += [*secrets.values(), *context.values()]
    folder = str(daemon.home / "target")
    where: dict[str, Any] = {"volume_capability": MOUNT, "secrets": secrets, "volume_context": context}
    staged: dict[str, Any] = {**where, "staging_target_path": folder, "publish_context": {"x": "y"}}
    volume = name
    with CSIClient(str(daemon.endpoint)) as client:
        request = pb.CreateVolumeRequest(name=name, volume_capabilities=[MOUNT], secrets=secrets)
        try:
            volume = client.call(rpc.CREATE_VOLUME, request, timeout=30, metadata=FROM_CSI).volume.volume_id
        except RexrayError as error:
            yield str(error)
        calls: list[tuple[rpc.Call[Any, Any], Message]] = [
            (rpc.CREATE_VOLUME, pb.CreateVolumeRequest(name=name, secrets=secrets)),
            (rpc.CONTROLLER_PUBLISH_VOLUME, pb.ControllerPublishVolumeRequest(volume_id=volume, node_id="n", **where)),
            (rpc.NODE_STAGE_VOLUME, pb.NodeStageVolumeRequest(volume_id=volume, **staged)),
            (rpc.NODE_PUBLISH_VOLUME, pb.NodePublishVolumeRequest(volume_id=volume, target_path=folder, **staged)),
            (rpc.DELETE_VOLUME, pb.DeleteVolumeRequest(volume_id=volume, secrets=secrets)),
        ]
        for call, other in calls:
            try:
                yield str(client.call(call, other, timeout=30, metadata=FROM_CSI))
            except RexrayError as error:
                yield str(error)


def told_by_programs(daemon: Daemon, driver: str) -> Iterator[str]:
    """What the commands print that show settings."""
    words = [("config", "show"), ("env",), ("driver", "info", driver), ("volume", "ls")]
    with ThreadPoolExecutor(2) as threads:
        for done in threads.map(lambda each: daemon.rexray(*each), words):
            yield done.stdout + done.stderr


def test_no_secret_of_a_platform_or_a_request_is_seen_outside(
    platform: Platform, make_daemon: Callable[..., Daemon], recorder: Recorder
) -> None:
    environ = {**BRIDGE, "REXRAY_STORAGEDRIVERS": platform.driver, "REXRAY_DEBUG": "true", **platform.environ}
    daemon = make_daemon(**environ, PATH=f"{recorder.path}:{os.environ['PATH']}")
    config = write_settings(daemon, platform.settings)
    canaries = platform.canaries
    told: list[str] = []
    daemon.start()
    assert daemon.process is not None
    with recorder.watching(daemon.process.pid):
        told += told_by_docker(daemon, "data")
        told += told_by_csi(daemon, "csi", canaries)
        platform.refuse()
        told.append(json.dumps(daemon.docker_raw("VolumeDriver.List", b"{}")))
    told += told_by_programs(daemon, platform.driver)
    daemon.stop()

    log = daemon.log.read_bytes()
    assert hits(canaries, log) == []
    assert hits(canaries, "\n".join(told).encode()) == []
    assert hits(canaries, recorder.data) == []
    own = [config, *platform.own_files]
    assert {
        str(path): found for path, data in files_below(daemon.home, but=own) if (found := hits(canaries, data))
    } == {}
    records = [json.loads(line) for line in log.splitlines()]
    assert any(record["msg"] == "call failed" and record["request_id"] for record in records)
    assert any(record.get("kind") == "platform" and record["driver"] == platform.driver for record in records)
    assert "from-csi" in {record.get("request_id") for record in records if record.get("kind") == "platform"}
    assert bool(recorder.data.count(b"rbd")) >= platform.expects_children


CARELESS = '''
"""A plug-in that shows its password to everybody who could see it."""
import base64, logging, threading, urllib.parse, warnings
from dataclasses import dataclass
from rexray import hookimpl
from rexray.errors import Unavailable
from rexray.settings import Secret, setting

@dataclass(frozen=True, slots=True, kw_only=True)
class CarelessSettings:
    password: Secret = setting(Secret(""), key="careless.password", help="A password")
    token: Secret = setting(Secret(""), key="careless.token", help="A token")

@hookimpl
def rexray_settings():
    return [CarelessSettings]

@hookimpl
def rexray_csi_plugins():
    from rexray.csi._pb import csi_pb2 as pb
    from rexray.csi.plugin import CSIPlugin, SERVICES

    class Both:
        def __init__(self, settings):
            self.password, self.token = settings.password.reveal(), settings.token.reveal()
        def Probe(self, request, context):
            return pb.ProbeResponse()
        def CreateVolume(self, request, context):
            basic = base64.b64encode(f"me:{self.password}".encode()).decode()
            secret = request.secrets["key"]
            for name in ("careless", "botocore.endpoint", "urllib3.connectionpool", "grpc._server"):
                log = logging.getLogger(name)
                log.warning("Authorization: Basic %s", basic)
                log.warning("%r", {"password": self.password, "token": self.token, "secret": secret})
                log.warning("GET /?password=%s", urllib.parse.quote_plus(self.password))
                log.warning("x", extra={"fields": {"token": self.token, "secret": secret}})
            warnings.warn(f"{name} {self.password} {self.token}")
            threading.Thread(target=self.fail, args=(secret,)).start()
            if request.name == "abort":
                context.abort(__import__("grpc").StatusCode.INTERNAL, "on its own account")
            if request.name == "error":
                raise Unavailable(f"login of me with {self.password} and {self.token!r} and {secret} failed")
            self.fail(secret)
        def fail(self, secret):
            raise RuntimeError(f"{self.password} {self.token!r} {secret}") from ValueError(self.password)

    class Careless(CSIPlugin):
        name = "careless"
        settings = CarelessSettings
        def __init__(self, settings):
            self.both = Both(settings)
        def services(self, wanted=SERVICES):
            return {"Identity": self.both, "Controller": self.both}

    return [Careless]
'''


def test_a_plug_in_that_shows_its_secrets_does_not_get_them_out(make_daemon: Callable[..., Daemon], home: Path) -> None:
    folder = home / "plugins"
    folder.mkdir(mode=0o700)
    (folder / "careless.py").write_text(CARELESS)
    (folder / "careless.py").chmod(0o600)
    password, token, secret = canary("password"), plain_canary(), canary("request")
    daemon = make_daemon(REXRAY_PLUGINS_DIR=str(folder), X_CSI_DRIVER="careless", REXRAY_DEBUG="true")
    config = write_settings(daemon, {"careless": {"password": password, "token": token}})
    daemon.start()
    told = []
    with CSIClient(str(daemon.endpoint)) as client:
        for name in ("error", "internal", "abort"):
            request = pb.CreateVolumeRequest(name=name, volume_capabilities=[MOUNT], secrets={"key": secret})
            with pytest.raises(RexrayError) as refused:
                client.call(rpc.CREATE_VOLUME, request, timeout=10, metadata=[("csi.requestid", name)])
            told.append(str(refused.value))
    assert eventually(lambda: daemon.log.read_text().count('"where"') >= 1)
    daemon.stop()
    assert "login of me with *** and '***' and *** failed" in told[0]
    assert "internal error" in told[1]
    assert "on its own account" in told[2]
    canaries = [password, token, secret]
    assert hits(canaries, "".join(told).encode()) == []
    assert {str(path): found for path, data in files_below(home, but=[config]) if (found := hits(canaries, data))} == {}
    records = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    assert {"careless", "botocore.endpoint", "grpc._server", "py.warnings"} <= {record["logger"] for record in records}
    failed = {record["request_id"]: record for record in records if record["msg"] == "call failed"}
    assert set(failed) == {"error", "internal"}
    assert failed["internal"]["traceback"].count("***") >= 4


def test_the_same_search_finds_a_secret_where_nothing_hides_it(tmp_path: Path, recorder: Recorder) -> None:
    word, stream = canary("seen"), io.StringIO()
    logger = logging.Logger("plain")
    logger.addHandler(logging.StreamHandler(stream))
    logger.info("login with %r", word)
    assert hits([word, canary("other")], stream.getvalue().encode()) == [word]
    for user in ("", "a", "ab", "abc", "abcd"):
        assert hits([word], base64.b64encode(f"{user}:{word}".encode())) == [word], user
    (tmp_path / "state").write_text(f"x{word}")
    assert [path.name for path, data in files_below(tmp_path, but=[]) if hits([word], data)] == ["state"]
    child = subprocess.Popen(["sleep", "60"], env={"WORD": word})
    try:
        with recorder.watching(os.getpid()):
            assert eventually(lambda: hits([word], recorder.data) == [word])
    finally:
        child.kill()
        child.wait()

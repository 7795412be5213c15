"""Every name of the original's settings works, or is refused with what it is now or why it is gone; none is ignored."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rexray import services
from rexray.core_settings import CoreSettings
from rexray.errors import SettingsError
from rexray.registry import registry
from rexray.settings import Effective, Sources, read_files
from rexray.settings_renamed import ABSENT, GONE, RENAMED, wrong_variables

OPERATIONS = "libstorage.integration.volume.operations."

WORKS = {
    "logLevel": "rexray.logLevel",
    "libstorage.logging.level": "rexray.logLevel",
    "host": "rexray.host",
    "storageDrivers": "rexray.storageDrivers",
    "rexray.storageDrivers": "rexray.storageDrivers",
    "volumeDrivers": "rexray.volumeDrivers",
    "osDrivers": "rexray.osDrivers",
    "libstorage.os.driver": "rexray.osDrivers",
    "libstorage.service": "rexray.service",
    "minVolSize": "rexray.minVolSize",
    "remoteManagement": "rexray.remoteManagement",
    **{f"docker{name}": f"rexray.docker.{name[0].lower()}{name[1:]}" for name in ("VolumeType", "Iops", "Size")},
    "dockerAvailabilityZone": "rexray.docker.availabilityZone",
    **{f"aws{name}": f"ec2.{name[0].lower()}{name[1:]}" for name in ("AccessKey", "SecretKey", "Region")},
    **{
        f"scaleIo{name}": f"scaleio.{name[0].lower()}{name[1:]}".replace("Id", "ID")
        for name in (
            *("Endpoint", "Insecure", "UseCerts", "UserName", "Password", "SystemId", "SystemName"),
            *("ProtectionDomainId", "ProtectionDomainName", "StoragePoolId", "StoragePoolName"),
        )
    },
    **{
        f"xtremIo{name}": f"xtremio.{name[0].lower()}{name[1:]}"
        for name in ("Endpoint", "UserName", "Password", "Insecure", "DeviceMapper", "Multipath")
    },
    **{
        f"{root}.{name}": f"ec2.{name}"
        for root in ("ebs", "ec2", "aws")
        for name in ("accessKey", "secretKey", "region", "endpoint", "maxRetries", "tag", "kmsKeyID")
    },
    **{
        f"ebs.{name}": f"ec2.{name}"
        for name in ("useLargeDeviceRange", "statusMaxAttempts", "statusInitialDelay", "statusTimeout")
    },
    **{f"rbd.{name}": f"rbd.{name}" for name in ("defaultPool", "testModule", "cephArgs")},
    **{
        f"scaleio.{name}": f"scaleio.{name}"
        for name in (
            *("guid", "drvCfg", "endpoint", "insecure", "useCerts", "userName", "password", "systemID", "systemName"),
            *("protectionDomainID", "protectionDomainName", "storagePoolID", "storagePoolName", "version"),
        )
    },
    **{
        f"{OPERATIONS}{name}": f"rexray.volume.{name}"
        for name in (
            *("mount.preempt", "mount.path", "mount.rootPath", "mount.retryCount", "mount.retryWait"),
            *("create.disable", "create.implicit", "remove.disable", "remove.force"),
        )
    },
    f"{OPERATIONS}unmount.ignoreusedcount": "rexray.volume.unmount.ignoreUsedCount",
    **{
        f"{OPERATIONS}create.default.{name}": f"rexray.docker.{new}"
        for name, new in (("size", "size"), ("fsType", "fsType"), ("type", "volumeType"), ("IOPS", "iops"))
    },
    f"{OPERATIONS}create.default.availabilityZone": "rexray.docker.availabilityZone",
    "linux.volume.filemode": "rexray.volume.mount.fileMode",
    "linux.volume.rootpath": "rexray.volume.mount.rootPath",
    "libstorage.device.attachTimeout": "rexray.volume.mount.attachTimeout",
    **{
        f"rexray.{name}": f"rexray.{name}"
        for name in ("volume.mount.preempt", "volume.create.disable", "volume.remove.disable", "docker.fsType")
    },
    "rexray.volume.unmount.ignoreusedcount": "rexray.volume.unmount.ignoreUsedCount",
    **{f"rexray.docker.{name}": f"rexray.docker.{name}" for name in ("volumeType", "iops", "size", "availabilityZone")},
    "rexray.docker.mountDirPath": "rexray.volume.mount.path",
    "rexray.module.startTimeout": "rexray.module.startTimeout",
    **{f"csi.{name}": f"csi.{name}" for name in ("endpoint", "driver", "nodocker")},
    **{f"csi.vfs.{name}": f"csi.vfs.{name}" for name in ("data", "dev", "mnt", "vol", "volGlob", "bindfs")},
}
"""Each name that means what a setting means here, and that setting."""

NO_ENV = ("rexray.module.startTimeout",)


def values_of(sources: Sources) -> dict[str, Effective]:
    return {each.option.key: each for found in classes() for each in sources.effective(found)}


def classes() -> Iterator[type]:
    yield CoreSettings
    yield from registry().settings()


def texts_for(key: str) -> str:
    """A value that every type of setting takes but its default is not."""
    option = values_of(Sources(environ={}))[key].option
    if option.choices:
        return next(word for word in reversed(option.choices) if word)
    return {bool: "false" if option.default is True else "true"}.get(option.type, "7")  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("old", WORKS)
def test_a_name_that_works_gives_its_value_as_a_key_a_variable_and_a_flag(tmp_path: Path, old: str) -> None:
    new = WORKS[old]
    text = texts_for(new)
    path = tmp_path / "config.yml"
    path.write_text(f"{old}: {text}\n")
    sources = Sources(files=read_files([path], None, {}), environ={})
    services.check_files(sources)
    found = values_of(sources)[new]
    assert found.origin == str(path)
    assert found.value != found.option.default
    first, *rest = old.split(".")
    flag = "--" + first + "".join(part[:1].upper() + part[1:] for part in rest)
    folded = {name.lower() for name in found.option.flags}
    assert flag.lower() in folded or old in ("rexray.logLevel", "rexray.storageDrivers")
    if rest and not old.startswith(("csi.", *NO_ENV)):
        name = old.upper().replace(".", "_")
        assert values_of(Sources(environ={name: text}))[new].origin == f"${name}"


@pytest.mark.parametrize("old", [*RENAMED, *GONE, *(f"{root}.some.key" for root in ABSENT)])
@pytest.mark.parametrize("scope", ["", "rexray.modules.a.", "rexray.services.loop."])
def test_a_name_that_does_not_is_refused_with_its_place_and_the_reason(tmp_path: Path, old: str, scope: str) -> None:
    key = f"{scope}{old}NAME.x" if old.endswith(".") else scope + old
    path = tmp_path / "config.yml"
    path.write_text(f"# a comment\n{key}: x\n")
    with pytest.raises(SettingsError) as refused:
        services.check_files(Sources(files=read_files([path]), environ={}))
    told = str(refused.value)
    assert told.startswith(f"{path}:2:1: ")
    assert key.lower() in told
    if old in RENAMED:
        assert told.endswith(f"it is now {RENAMED[old]}")
    if old in GONE:
        assert told.endswith(GONE[old])


def test_no_name_is_refused_that_works() -> None:
    known = {key.lower() for found in values_of(Sources(environ={})).values() for key in found.option.keys}
    assert known.isdisjoint(old.lower() for old in (*RENAMED, *GONE))
    assert {new for new in RENAMED.values() if new.lower() not in known} == set()
    names = {name for found in values_of(Sources(environ={})).values() for name in found.option.env}
    assert set(wrong_variables(dict.fromkeys(names, "x"))) == set()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("LIBSTORAGE_HOST", "tcp://x", "without a libStorage server"),
        ("LIBSTORAGE_HOME", "/x", "it is now REXRAY_HOME"),
        ("REXRAY_HOME_ETC", "/x", "there is only REXRAY_HOME"),
        ("LIBSTORAGE", "false", "it is now X_CSI_NATIVE"),
        ("LIBSTORAGE_DISABLED", "true", "it is now X_CSI_NATIVE"),
        ("DOCKER_LEGACY", "false", "how Docker is served follows from csi.driver"),
        ("REXRAY_DAEMONDRIVERS", "dockervolumedriver", "the service serves Docker and CSI"),
        ("X_CSI_GO_PLUGINS", "/x.so", "plug-ins are installed by pip"),
        ("LIBSTORAGE_TLS_CERTFILE", "/x", "TLS"),
        ("GOXTREMIO_REMOTEMANAGEMENT", "true", "it is now REXRAY_REMOTEMANAGEMENT"),
    ],
)
def test_a_variable_is_refused_by_the_service_and_the_check_and_others_warn(
    tmp_path: Path, variable: str, value: str, told: str
) -> None:
    assert told in wrong_variables({variable: value})[variable]
    assert wrong_variables({variable: ""}) == {}
    if variable not in ("LIBSTORAGE_HOST", "DOCKER_LEGACY"):
        return
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("REXRAY_", "X_CSI_", "CSI_"))}
    environ = {**clean, "REXRAY_HOME": str(tmp_path), "HOME": str(tmp_path), variable: value}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rexray", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)

    started, checked, other = run("start", "-f"), run("config", "check"), run("env")
    assert (started.returncode, checked.returncode, other.returncode) == (1, 1, 0)
    for text in (started.stderr, checked.stdout, other.stderr):
        assert f"${variable} is of the original and not honoured: " in text
        assert told in text


@pytest.mark.parametrize("variable", ["DOCKER_LEGACY", "LIBSTORAGE"])
def test_a_variable_that_asks_for_what_is_so_anyway_is_none(variable: str) -> None:
    assert wrong_variables({variable: "true"}) == {}

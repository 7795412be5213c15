"""A host whose sysfs, /dev and /etc are made in a directory, with a small program in the place of iscsiadm."""

from __future__ import annotations

import sys
from pathlib import Path

from rexray.types import InstanceId
from rexray_driver_xtremio.node import XtremIoNode
from rexray_driver_xtremio.settings import XtremIoSettings

IQN = InstanceId("iqn.1993-08.org.debian:01:abc")
TARGET = "iqn.2008-05.com.xtremio:001e67939c34"
NAA = "514f0c5e38800001"
MIB = 1 << 20

ISCSIADM = """#!/bin/sh
'''exec' "{python}" "$0" "$@"  # an interpreter's path may have a blank, which the first line of a script cannot
' '''
import os, sys
from pathlib import Path
root, words = Path({root!r}), sys.argv[1:]
with (root / "said").open("a") as said:
    said.write(" ".join(words) + "\\n")
named = dict(zip(words, words[1:]))
if "-T" in named:
    address, port = named["-p"].rsplit(":", 1)
    record = root / "etc/iscsi/nodes" / named["-T"] / f"{{address.strip('[]')}},{{port}}"
    if named.get("-o") != "new" and not record.exists():
        sys.exit(21)
if named.get("-o") == "new":
    record.parent.mkdir(parents=True, exist_ok=True)
    lines = ["# BEGIN RECORD", "node.startup = automatic", "node.session.auth.authmethod = None", "# END RECORD", ""]
    record.write_text("\\n".join(lines))
    record.chmod(0o644)
if "--logout" in words:
    sys.exit(int((root / "logout").read_text()))
if "--login" in words:
    (root / "record").write_text(record.read_text())
    status = int((root / "status").read_text())
    sys.stderr.write("iscsiadm: it says no\\n" if status else "")
    sys.exit(status)
"""


class Host:
    """A sysfs, a /dev and an /etc in a directory, and the programs in another."""

    def __init__(self, root: Path) -> None:
        self.root, self.sys, self.dev, self.etc = root, root / "sys", root / "dev", root / "etc"
        for folder in (self.sys / "block", self.dev, self.etc / "iscsi", root / "bin"):
            folder.mkdir(parents=True)
        (self.etc / "iscsi/initiatorname.iscsi").write_text(f"## made by hand\nInitiatorName={IQN}\n")

    def node(self, **settings: object) -> XtremIoNode:
        chosen = XtremIoSettings(**settings)  # type: ignore[arg-type] # a test's word
        return XtremIoNode(chosen, sys=self.sys, dev=self.dev, etc=self.etc, var=self.root / "var")

    def write(self, path: str, text: str) -> None:
        file = self.sys / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def link(self, path: str, to: str) -> None:
        (self.sys / path).parent.mkdir(parents=True, exist_ok=True)
        (self.sys / path).symlink_to(self.sys / to)

    def disk(
        self, name: str, naa: str = NAA, *, where: str = "host2/session1", lun: int = 1, vendor: str = "XtremIO "
    ) -> None:
        number = where.partition("/")[0].removeprefix("host")
        home = f"devices/{where}/target{number}:0:0/{number}:0:0:{lun}"
        for file, text in {
            "type": "0",
            "vendor": vendor,
            "wwid": f"naa.{naa}",
            "state": "running",
            "rescan": "",
            "delete": "",
        }.items():
            self.write(f"{home}/{file}", text)
        self.write(f"{home}/block/{name}/size", str(64 * MIB // 512))
        (self.sys / home / "block" / name / "holders").mkdir()
        self.link(f"{home}/block/{name}/device", home)
        self.link(f"block/{name}", f"{home}/block/{name}")
        self.link(f"class/scsi_device/{number}:0:0:{lun}/device", home)

    def map(self, *paths: str, naa: str = NAA, uuid: str = "mpath-3") -> None:
        self.write("block/dm-0/dm/uuid", uuid + naa)
        self.write("block/dm-0/dm/name", f"3{naa}")
        self.write("block/dm-0/size", str(64 * MIB // 512))
        for path in paths:
            self.link(f"block/dm-0/slaves/{path}", f"block/{path}")
            self.link(f"block/{path}/holders/dm-0", "block/dm-0")

    def session(self, number: int = 1, host: int = 2, address: str = "10.0.0.1", target: str = TARGET) -> None:
        home = f"devices/host{host}/session{number}"
        for file, text in {"targetname": target, "state": "LOGGED_IN", "target_id": "0"}.items():
            self.write(f"{home}/iscsi_session/session{number}/{file}", text)
        self.link(f"class/iscsi_session/session{number}", f"{home}/iscsi_session/session{number}")
        self.write(f"class/iscsi_connection/connection{number}:0/persistent_address", address)
        self.write(f"class/iscsi_connection/connection{number}:0/persistent_port", "3260")
        self.write(f"class/scsi_host/host{host}/scan", "")

    def read(self, path: str) -> str:
        return (self.sys / path).read_text().strip()

    def program(self, name: str, text: str) -> None:
        file = self.root / "bin" / name
        file.write_text(text)
        file.chmod(0o755)

    def iscsiadm(self, status: int) -> None:
        """One that makes records and ends each login so."""
        self.program("iscsiadm", ISCSIADM.format(python=sys.executable, root=str(self.root)))
        (self.root / "status").write_text(str(status))
        (self.root / "logout").write_text("0")

    def said(self) -> list[str]:
        """What iscsiadm was told."""
        file = self.root / "said"
        return file.read_text().splitlines() if file.exists() else []

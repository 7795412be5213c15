"""The simulator's iSCSI side shows each initiator group its volumes as an XtremIO would; asked by libiscsi's tools."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from xms_client import Plain
from xms_parts import Xms
from xms_target import Target

pytestmark = pytest.mark.needs("tgt")

V2 = "/v2/types"
ONE, TWO = "iqn.2024-01.org.test:one", "iqn.2024-01.org.test:two"


@pytest.fixture
def xms() -> Iterator[Xms]:
    with Xms() as xms:
        for name in (ONE, TWO):
            xms.add_initiator_group(name)
            xms.add_initiator(name, name, name)
        yield xms


@pytest.fixture
def client(xms: Xms) -> Iterator[Plain]:
    with Plain(xms) as client:
        client.post(f"{V2}/volumes", vol_name="a", vol_size="64m")
        yield client


@pytest.fixture
def target(xms: Xms, tmp_path: Path) -> Iterator[Target]:
    with Target(xms, tmp_path, portals=("127.0.0.1:0", "127.0.0.2:0")) as target:
        yield target


def portals(xms: Xms) -> list[str]:
    """The portals that the array announces."""
    with Plain(xms) as client:
        found = client.call("GET", f"{V2}/iscsi-portals?full=1")["iscsi-portals"]
    return [f"{entry['ip-addr'].split('/')[0]}:{entry['ip-port']}" for entry in found]


def ask(program: str, initiator: str, *words: str) -> str:
    command = [program, "-i", initiator, *words]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    return (done.stdout + done.stderr).decode("latin-1")


def luns(xms: Xms, initiator: str, user: str = "") -> dict[str, list[tuple[str, str]]]:
    """The LUNs that an initiator sees, with their sizes, by the port of the portal."""
    answer = ask("iscsi-ls", initiator, "-s", f"iscsi://{user}{portals(xms)[0]}")
    found: dict[str, list[tuple[str, str]]] = {}
    for block in answer.split("Target:")[1:]:
        port = re.findall(r"Portal:(\S+),", block)[0]
        found[port] = re.findall(r"Lun:(\d+) +Type:DIRECT_ACCESS \(Size:(\w+)\)", block)
    return found


def test_a_mapped_volume_is_seen_by_its_group_alone_on_every_portal(xms: Xms, client: Plain, target: Target) -> None:
    mapping = client.post(f"{V2}/lun-maps", vol_id="a", ig_id=ONE, lun=5)
    assert luns(xms, ONE) == {portal: [("5", "63M")] for portal in portals(xms)}
    assert luns(xms, TWO) == {portal: [] for portal in portals(xms)}
    client.call("DELETE", f"{V2}/lun-maps/{mapping}")
    assert luns(xms, ONE) == {portal: [] for portal in portals(xms)}


def test_what_was_mapped_before_is_exported_too(xms: Xms, client: Plain, tmp_path: Path) -> None:
    client.post(f"{V2}/lun-maps", vol_id="a", ig_id=ONE)
    with Target(xms, tmp_path, portals=("127.0.0.1:0",)):
        assert luns(xms, ONE) == {portals(xms)[0]: [("1", "63M")]}
    assert portals(xms) == []


def test_a_volume_has_the_arrays_vendor_and_its_naa_name(xms: Xms, client: Plain, target: Target) -> None:
    client.post(f"{V2}/lun-maps", vol_id="a", ig_id=ONE)
    url = f"iscsi://{portals(xms)[1]}/{target.iqn}/1"
    volume = xms.volume("a")
    assert volume is not None
    assert {"Vendor:XtremIO ", "Product:XtremApp        "} <= set(ask("iscsi-inq", ONE, url).splitlines())
    page = ask("iscsi-inq", ONE, "-e", "1", "-c", "131", url)
    # libiscsi ends a designator at its first zero
    shown = bytes.fromhex(volume["naa-name"]).split(b"\0")[0].decode("latin-1")
    assert f"Designator Type:(3) NAA\nDesignator:[{shown}]" in page
    assert f"Designator:[XtremIO {volume['naa-name']}]" in page
    assert page.count("NAA") == 1


@pytest.mark.parametrize("name", ["", ":ig1", ":none"])
def test_an_initiator_without_a_group_cannot_log_in(xms: Xms, client: Plain, target: Target, name: str) -> None:
    client.post(f"{V2}/lun-maps", vol_id="a", ig_id=ONE)
    stranger = "iqn.2024-01.org.test:stranger" if not name else ONE
    answer = ask("iscsi-inq", stranger, f"iscsi://{portals(xms)[0]}/{target.iqn}{name}/1")
    assert "Target not found" in answer


def test_a_volume_that_grows_has_its_new_size(xms: Xms, client: Plain, target: Target) -> None:
    client.post(f"{V2}/lun-maps", vol_id="a", ig_id=ONE)
    client.call("PUT", f"{V2}/volumes?name=a", {"vol-size": "128m"})
    assert luns(xms, ONE) == {portal: [("1", "127M")] for portal in portals(xms)}


@pytest.mark.parametrize("silently", [False, True])
def test_a_portal_that_is_cut_does_not_answer_until_it_is_mended(
    xms: Xms, client: Plain, target: Target, silently: bool
) -> None:
    client.post(f"{V2}/lun-maps", vol_id="a", ig_id=ONE)
    first, second = portals(xms)
    command = ["iscsi-inq", "-i", ONE, f"iscsi://{first}/{target.iqn}/1"]
    target.cut(first, silently=silently)
    if silently:
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(command, timeout=1, capture_output=True, check=False)
    else:
        assert subprocess.run(command, timeout=30, capture_output=True, check=False).returncode != 0
    assert "XtremIO" in ask("iscsi-inq", ONE, f"iscsi://{second}/{target.iqn}/1")
    target.mend(first)
    assert "XtremIO" in ask("iscsi-inq", ONE, f"iscsi://{first}/{target.iqn}/1")


def test_chap_is_that_of_the_target_or_that_of_the_initiator(xms: Xms, client: Plain, tmp_path: Path) -> None:
    client.post(f"{V2}/lun-maps", vol_id="a", ig_id=ONE)
    with Target(xms, tmp_path / "one", portals=("127.0.0.1:0",), chap=("user", "secretsecret1")):
        assert list(luns(xms, ONE, "user%secretsecret1@").values()) == [[("1", "63M")]]
        assert list(luns(xms, ONE, "user%secretsecret2@").values()) != [[("1", "63M")]]
        assert list(luns(xms, ONE).values()) != [[("1", "63M")]]
    xms.switches.chap_mode = "initiator"
    chap = {"initiator-authentication-user-name": "own", "initiator-authentication-password": "secretsecret3"}
    client.call("PUT", f"{V2}/initiators?name={ONE}", chap)
    with Target(xms, tmp_path / "two", portals=("127.0.0.1:0",)):
        assert list(luns(xms, ONE, "own%secretsecret3@").values()) == [[("1", "63M")]]
        assert list(luns(xms, ONE).values()) != [[("1", "63M")]]

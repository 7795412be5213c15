"""The simulated XMS enforces what an XMS does: each test proves one of its rules by plain HTTP."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

import pytest

from xms_client import Plain
from xms_parts import Switches, Xms

V1, V2 = "/types", "/v2/types"
GIB = 1 << 20


@pytest.fixture
def xms() -> Iterator[Xms]:
    with Xms() as xms:
        yield xms


@pytest.fixture
def client(xms: Xms) -> Iterator[Plain]:
    with Plain(xms) as client:
        yield client


def make(client: Plain, name: str, size: Any = "1g") -> int:
    return client.post(f"{V2}/volumes", vol_name=name, vol_size=size)


def host(xms: Xms, name: str = "iqn.1993-08.org.debian:01:abc") -> int:
    index = xms.add_initiator_group(name)
    xms.add_initiator(name, name, name)
    return index


def names(client: Plain, path: str) -> list[str]:
    kind = urlsplit(path).path.rsplit("/", 1)[1]
    return [entry["name"] for entry in client.call("GET", path)[kind]]


def test_each_request_needs_the_password_and_there_is_no_session(xms: Xms, client: Plain) -> None:
    assert client.raw("GET", f"{V1}/volumes")[0] == 200
    with Plain(xms, password="wrong") as other:
        for path in (f"{V1}/volumes", f"{V2}/xms/1", "/nothing"):
            assert other.raw("GET", path)[0] == 401
    client.headers = {}
    assert client.raw("GET", f"{V1}/volumes")[0] == 401


@pytest.mark.parametrize(
    ("version", "found"), [("3.0.2-8", [200, 404, 404]), ("4.2.0-30", [200, 200, 404]), ("6.1.0-99", [200, 200, 200])]
)
def test_the_version_decides_which_bases_there_are(version: str, found: list[int]) -> None:
    with Xms(version=version) as xms, Plain(xms) as client:
        assert client.get(f"{V1}/xms/1")["sw-version"] == version
        assert [client.raw("GET", f"{base}/types/volumes")[0] for base in ("", "/v2", "/v3")] == found
        assert client.raw("GET", f"{V1}/snapshot-sets")[0] == 404
        assert client.raw("GET", "/types/nothing")[0] == 404


def test_an_old_xms_may_have_no_object_of_its_own() -> None:
    with Xms(version="3.0.2-8", switches=Switches(xms_below_4=False)) as xms, Plain(xms) as client:
        assert client.raw("GET", f"{V1}/xms/1")[0] == 404
        assert client.get(f"{V1}/clusters/1")["sys-sw-version"] == "3.0.2-8"


def test_envelopes_are_those_of_the_array_and_hrefs_have_the_host_of_the_request(client: Plain) -> None:
    status, content, _ = client.raw("POST", f"{V1}/volumes", {"vol-name": "a", "vol-size": "1g"}, Host="xms.example")
    base = "https://xms.example/api/json/types/volumes"
    assert (status, content) == (201, f'{{"links": [{{"href": "{base}/1", "rel": "self"}}]}}'.encode())
    client.headers["Host"] = "xms.example"
    links = [{"href": base, "rel": "self"}]
    listed = {"volumes": [{"href": f"{base}/1", "name": "a"}], "links": links}
    assert client.call("GET", f"{V1}/volumes") == listed
    # v1 takes no notice of the options of v2
    assert client.call("GET", f"{V1}/volumes?full=1&prop=name&filter=name:eq:b") == listed
    one = client.call("GET", f"{V1}/volumes/1")
    assert one["links"] == [{"href": f"{base}/1", "rel": "self"}]
    assert one["content"]["index"] == 1
    assert client.raw("PUT", f"{V1}/volumes/1", {"vol-size": "2g"})[:2] == (200, b"")
    assert client.raw("DELETE", f"{V1}/volumes/1")[:2] == (200, b"")


def test_a_volume_has_triples_strings_for_counters_and_the_fields_of_its_version(xms: Xms, client: Plain) -> None:
    group, index = host(xms), make(client, "vol-a", "10g")
    client.post(f"{V2}/lun-maps", vol_id=index, ig_id=group)
    old, new = (client.get(f"{base}/volumes/{index}") for base in (V1, V2))
    assert old["vol-size"] == "10485760"
    assert re.fullmatch("[0-9a-f]{32}", old["vol-id"][0])
    assert old["vol-id"][1:] == ["vol-a", 1]
    assert [entry[1:] if isinstance(entry, list) else entry for entry in old["lun-mapping-list"][0]] == [
        ["iqn.1993-08.org.debian:01:abc", group],
        ["Default", 1],
        1,
    ]
    assert old["sys-id"][1:] == ["xbrick1", 1]
    assert old["logical-space-in-use"] == "0"
    assert isinstance(old["num-of-lun-mappings"], int)
    only_new = {"guid", "certainty", "vol-type", "snapshot-type", "snapset-list", "related-consistency-groups"}
    assert new.keys() - old.keys() == only_new | {"tag-list"}
    assert new["guid"] == old["vol-id"][0]


def test_an_object_is_addressed_by_name_or_index(client: Plain) -> None:
    index = make(client, "a b")
    assert client.get(f"{V2}/volumes?name=a%20b")["index"] == index
    client.call("PUT", f"{V2}/volumes?name=a%20b", {"vol-name": "c"})
    assert client.refused("GET", f"{V2}/volumes?name=a%20b") == "obj_not_found"
    client.call("DELETE", f"{V2}/volumes?name=c")
    assert client.refused("GET", f"{V2}/volumes/{index}") == "obj_not_found"


def test_a_list_of_v2_has_whole_objects_chosen_properties_and_filters(client: Plain) -> None:
    for number, size in enumerate(("1g", "2g", "10g")):
        make(client, f"vol-{number}", size)
    assert len(client.call("GET", f"{V2}/volumes?full=1")["volumes"][0]) > 20
    some = client.call("GET", f"{V2}/volumes?full=1&prop=name&prop=vol-size")["volumes"]
    assert some[0] == {"name": "vol-0", "vol-size": str(GIB)}
    expected = {"eq": [1], "ne": [0, 2], "gt": [2], "ge": [1, 2], "lt": [0], "le": [0, 1]}
    for operator, numbers in expected.items():
        found = names(client, f"{V2}/volumes?filter=vol-size:{operator}:{2 * GIB}")
        assert found == [f"vol-{number}" for number in numbers], operator
    assert names(client, f"{V2}/volumes?filter=name:like:vol-%25") == ["vol-0", "vol-1", "vol-2"]
    assert names(client, f"{V2}/volumes?filter=name:ne:vol-1&filter=vol-size:gt:{GIB}") == ["vol-2"]
    assert "filter" in client.refused("GET", f"{V2}/volumes?filter=nothing:eq:1")
    # a value may have colons
    assert names(client, f"{V2}/volumes?filter=name:eq:iqn.2024:a") == []


def test_several_filters_need_4_2() -> None:
    with Xms(version="4.0.2-80") as xms, Plain(xms) as client:
        make(client, "a")
        make(client, "b")
        path = f"{V2}/volumes?filter=vol-size:ge:1&filter=name:eq:a"
        assert "one filter" in client.refused("GET", path)
        xms.switches.extra_filters = "ignore"
        assert names(client, path) == ["a", "b"]


def test_sizes_are_taken_with_units_and_returned_in_kb_and_never_shrink(xms: Xms, client: Plain) -> None:
    for number, size in enumerate(("10g", "10240m", "10485760k", 10 * GIB)):
        assert client.get(f"{V2}/volumes/{make(client, f'v{number}', size)}")["vol-size"] == "10485760"
    client.call("PUT", f"{V2}/volumes/1", {"vol-size": "11g"})
    assert client.refused("PUT", f"{V2}/volumes/1", {"vol-size": "10g"}) == "vol_size_cannot_be_decreased"
    assert xms.contents("v0").stat().st_size == 11 << 30
    client.call("PUT", f"{V2}/volumes/1", {"vol-size": "12g"})
    assert xms.contents("v0").stat().st_size == 12 << 30
    for size in ("x", "1.5g", 0, "-1"):
        client.refused("POST", f"{V2}/volumes", {"vol-name": "bad", "vol-size": size})


def test_the_naa_name_comes_with_the_first_mapping_and_stays(xms: Xms, client: Plain) -> None:
    group, index = host(xms), make(client, "a")
    assert client.get(f"{V2}/volumes/{index}")["naa-name"] == ""
    mapping = client.post(f"{V2}/lun-maps", vol_id=index, ig_id=group)
    naa = client.get(f"{V2}/volumes/{index}")["naa-name"]
    assert re.fullmatch("514f0c5[0-9a-f]{9}", naa)
    client.call("DELETE", f"{V2}/lun-maps/{mapping}")
    client.post(f"{V2}/lun-maps", vol_id=index, ig_id=group)
    assert client.get(f"{V2}/volumes/{index}")["naa-name"] == naa
    xms.switches.naa_at = "create"
    assert client.get(f"{V2}/volumes/{make(client, 'b')}")["naa-name"] not in ("", naa)


def test_errors_have_the_messages_of_the_array(xms: Xms, client: Plain) -> None:
    group, index = host(xms), make(client, "a")
    client.post(f"{V2}/snapshots", volume_list=["a"], snap_suffix="s")
    for name in ("a", "a.s"):
        body = {"vol-name": name, "vol-size": "1g"}
        assert client.refused("POST", f"{V2}/volumes", body) == "vol_obj_name_not_unique"
    missing = "Command Syntax Error: Missing some of mandatory properties list: ['vol-size']"
    assert client.refused("POST", f"{V2}/volumes", {"vol-name": "b"}) == missing
    assert "mandatory" in client.refused("DELETE", f"{V2}/volumes")
    assert client.refused("DELETE", f"{V2}/volumes/99") == "obj_not_found"
    assert client.refused("POST", f"{V2}/lun-maps", {"vol-id": 99, "ig-id": group}) == "vol_obj_not_found"
    assert client.refused("POST", f"{V2}/lun-maps", {"vol-id": index, "ig-id": "x"}) == "obj_not_found"
    assert "Unknown" in client.refused("POST", f"{V2}/volumes", {"vol-name": "b", "vol-size": "1g", "x": 1})
    xms.switches.volumes_limit, xms.switches.snapshots_per_volume = 3, 1
    snapshot = {"volume-list": ["a"], "snap-suffix": "t"}
    assert client.refused("POST", f"{V2}/snapshots", snapshot) == "too_many_snapshots_per_vol"
    make(client, "c")
    assert client.refused("POST", f"{V2}/volumes", {"vol-name": "d", "vol-size": "1g"}) == "too_many_objs"
    xms.busy(2)
    assert [client.refused("GET", f"{V2}/volumes") for _ in range(2)] == ["system_is_busy"] * 2
    assert client.raw("GET", f"{V2}/volumes")[0] == 200


def test_a_string_of_digits_in_a_body_is_an_index_unless_the_switch_says_name(xms: Xms, client: Plain) -> None:
    group = host(xms)
    first, second = make(client, "2"), make(client, "other")
    by_string = client.post(f"{V2}/lun-maps", vol_id="2", ig_id=group)
    assert client.get(f"{V2}/lun-maps/{by_string}")["vol-index"] == second
    xms.switches.digit_strings = "name"
    by_string = client.post(f"{V2}/lun-maps", vol_id="2", ig_id=group)
    assert client.get(f"{V2}/lun-maps/{by_string}")["vol-index"] == first


def test_mappings_are_consistent_everywhere(xms: Xms, client: Plain) -> None:
    one, two = host(xms, "iqn.a:1"), host(xms, "iqn.a:2")
    a, b = make(client, "a"), make(client, "b")
    first = client.post(f"{V2}/lun-maps", vol_id=a, ig_id=one)
    client.post(f"{V2}/lun-maps", vol_id="b", ig_id="iqn.a:1")
    client.post(f"{V2}/lun-maps", vol_id=a, ig_id=two, lun=7)
    found = client.get(f"{V2}/lun-maps/{first}")
    facts = {"vol-index": a, "vol-name": "a", "ig-index": one, "ig-name": "iqn.a:1", "tg-index": 1, "lun": 1}
    assert found.items() >= {**facts, "tg-name": "Default", "mapping-index": first, "name": f"{a}_{one}_1"}.items()
    assert "already_mapped" in client.refused("POST", f"{V2}/lun-maps", {"vol-id": b, "ig-id": one})
    c = make(client, "c")
    assert client.refused("POST", f"{V2}/lun-maps", {"vol-id": c, "ig-id": two, "lun": 7}) == "lun_is_in_use"
    luns = names(client, f"{V2}/lun-maps?filter=ig-name:eq:iqn.a:1")
    assert luns == [f"{a}_{one}_1", f"{b}_{one}_1"]
    assert [client.get(f"{V2}/initiator-groups/{group}")["num-of-vols"] for group in (one, two)] == [2, 1]
    client.call("DELETE", f"{V2}/lun-maps/{first}")
    assert client.refused("DELETE", f"{V2}/lun-maps/{first}") == "obj_not_found"
    assert client.get(f"{V2}/volumes/{a}")["num-of-lun-mappings"] == 1
    assert client.get(f"{V2}/initiator-groups/{one}")["num-of-vols"] == 1
    # the number that is free now is given out again
    client.post(f"{V2}/lun-maps", vol_id=c, ig_id=one)
    assert client.get(f"{V2}/volumes/{c}")["lun-mapping-list"][0][2] == 1


def test_a_mapped_volume_is_not_deleted_unless_the_switch_says_so(xms: Xms, client: Plain) -> None:
    group, index = host(xms), make(client, "a")
    gone: list[tuple[str, str, int]] = []
    xms.on_unmap.append(lambda volume, ig, lun: gone.append((volume["name"], ig["name"], lun)))
    client.post(f"{V2}/lun-maps", vol_id=index, ig_id=group)
    assert client.refused("DELETE", f"{V2}/volumes/{index}") == "vol_is_mapped"
    xms.switches.delete_mapped = "cascade"
    client.call("DELETE", f"{V2}/volumes/{index}")
    assert gone == [("a", "iqn.1993-08.org.debian:01:abc", 1)]
    assert client.call("GET", f"{V2}/lun-maps")["lun-maps"] == []


def test_indexes_are_used_again_but_guids_are_not(xms: Xms, client: Plain) -> None:
    index = make(client, "a")
    guid = client.get(f"{V2}/volumes/{index}")["guid"]
    client.call("DELETE", f"{V2}/volumes/{index}")
    assert make(client, "b") == index
    assert client.get(f"{V2}/volumes/{index}")["guid"] != guid
    client.call("DELETE", f"{V2}/volumes/{index}")
    xms.switches.indexes_reused = False
    assert make(client, "c") > index


def test_initiators_and_their_groups(xms: Xms, client: Plain) -> None:
    group = client.post(f"{V2}/initiator-groups", ig_name="host1")
    secret = "s3cret-word-1"
    chap = {"initiator-authentication-user-name": "u", "initiator-authentication-password": secret}
    body = {"initiator-name": "i", "port-address": "iqn.x:1", "ig-id": "host1", **chap}
    client.call("POST", f"{V2}/initiators", body)
    for other in ({**body, "initiator-name": "j"}, {**body, "port-address": "iqn.x:2"}):
        assert "not_unique" in client.refused("POST", f"{V2}/initiators", other)
    found = client.call("GET", f"{V2}/initiators?filter=port-address:eq:iqn.x:1&full=1")["initiators"]
    assert [(entry["name"], entry["ig-id"][2], entry["port-type"]) for entry in found] == [("i", group, "iscsi")]
    assert found[0]["chap-authentication-initiator-password"] not in ("", secret)
    assert client.get(f"{V2}/initiator-groups?name=host1")["num-of-initiators"] == 1
    assert client.refused("DELETE", f"{V2}/initiator-groups/{group}") == "ig_is_not_empty"
    client.call("DELETE", f"{V2}/initiators?name=i")
    client.call("DELETE", f"{V2}/initiator-groups/{group}")
    assert client.refused("GET", f"{V2}/initiator-groups/{group}") == "obj_not_found"


def test_two_clusters_have_to_be_told_apart(xms: Xms, client: Plain) -> None:
    xms.add_cluster("other")
    body = {"vol-name": "a", "vol-size": "1g"}
    assert "cluster-id" in client.refused("POST", f"{V2}/volumes", body)
    for cluster in ("xbrick1", "other"):
        client.call("POST", f"{V2}/volumes?cluster-name=xbrick1", {**body, "cluster-id": cluster})
    assert "cluster-name" in client.refused("GET", f"{V2}/volumes")
    assert client.refused("GET", f"{V2}/volumes?cluster-name=none") == "cluster_obj_not_found"
    client.call("DELETE", f"{V2}/volumes/1?cluster-name=other")
    assert (xms.volume("a"), xms.volume("a", "other")) != (None, None)
    assert xms.volume("a", "other") is None
    assert names(client, f"{V2}/clusters") == ["xbrick1", "other"]


def test_a_cluster_tells_its_space(xms: Xms, client: Plain) -> None:
    make(client, "a", "3g")
    xms.contents("a").write_bytes(b"x" * 65536)
    cluster = client.get(f"{V2}/clusters?name=xbrick1")
    assert (cluster["ud-ssd-space"], cluster["vol-size"]) == (str(4096 * GIB), str(3 * GIB))
    assert cluster["ud-ssd-space-in-use"] == "64"
    assert cluster["chap-authentication-mode"] == "disabled"


def test_a_restart_keeps_the_state_and_the_port(xms: Xms, client: Plain) -> None:
    index, url = make(client, "a"), xms.url
    xms.stop()
    with pytest.raises((ConnectionError, RemoteDisconnected)):
        client.raw("GET", f"{V2}/volumes")
    xms.start()
    assert xms.url == url
    with Plain(xms) as other:
        assert other.get(f"{V2}/volumes?name=a")["index"] == index


def test_faults_are_as_told_and_only_lose_answer_carries_out(xms: Xms, client: Plain) -> None:
    xms.lose_answer("POST", "volumes$")
    with pytest.raises((ConnectionError, RemoteDisconnected)):
        make(client, "a")
    client.connection.close()
    xms.drop_before("POST", "volumes$")
    with pytest.raises((ConnectionError, RemoteDisconnected)):
        make(client, "b")
    client.connection.close()
    assert [volume["name"] for volume in xms.volumes()] == ["a"]
    xms.throttle(retry_after="3")
    status, _, headers = client.raw("GET", f"{V2}/volumes")
    assert (status, headers["Retry-After"]) == (429, "3")
    xms.html()
    assert client.raw("GET", f"{V2}/volumes")[1].startswith(b"<html>")
    xms.refuse("PUT|DELETE", r"/volumes/1$", message="x_obj_not_found", times=2)
    assert client.raw("GET", f"{V2}/volumes/1")[0] == 200
    assert client.refused("DELETE", f"{V2}/volumes/1") == "x_obj_not_found"
    xms.slow("GET", "xms", 0.2)
    begun = time.monotonic()
    client.get(f"{V2}/xms/1")
    assert time.monotonic() - begun >= 0.2
    assert [call.status for call in xms.calls] == [0, 0, 429, 200, 200, 400, 200]
    assert xms.calls[0].body == {"vol-name": "a", "vol-size": "1g"}


def test_a_client_that_stalls_in_its_handshake_holds_up_no_other(xms: Xms) -> None:
    address = ("127.0.0.1", int(urlsplit(xms.url).port or 0))
    with socket.create_connection(address) as stalled, Plain(xms) as other:
        stalled.sendall(b"\x16\x03\x01")
        assert other.raw("GET", f"{V2}/volumes")[0] == 200


def test_a_connection_is_kept(xms: Xms, client: Plain) -> None:
    for _ in range(3):
        client.get(f"{V2}/xms/1")
    assert len({call.thread for call in xms.calls}) == 1


def test_the_state_stays_consistent_under_many_clients(xms: Xms) -> None:
    group = host(xms)
    barrier = threading.Barrier(64)

    def work(number: int) -> list[int]:
        with Plain(xms) as client:
            barrier.wait(30)
            body = {"vol-name": "same", "vol-size": "1g"}
            raced = client.raw("POST", f"{V2}/volumes", body)[0]
            index = make(client, f"v{number}")
            client.post(f"{V2}/lun-maps", vol_id=index, ig_id=group)
            lun = client.get(f"{V2}/volumes/{index}")["lun-mapping-list"][0][2]
            return [raced, index, lun]

    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(work, range(64)))
    assert [status for status, _, _ in found].count(201) == 1
    assert sorted(lun for _, _, lun in found) == list(range(1, 65))
    assert len({index for _, index, _ in found}) == 64


def test_thousands_of_volumes_are_listed_in_one_request(xms: Xms, client: Plain) -> None:
    filled = xms.fill(5000)
    begun = time.monotonic()
    assert names(client, f"{V2}/volumes?full=1") == filled
    assert time.monotonic() - begun < 10

"""The simulated gateway enforces what is known of the real one: each test proves a rule of the checklist by HTTP."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from gateway_client import Client, basic
from gateway_parts import Gateway, Switches

GUID = "F1E7B4A2-0000-4000-8000-0123456789AB"
VOLUMES = "/api/types/Volume/instances"
NO_SUCH = "00000000000000ff"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with Client(gateway) as client:
        yield client


@pytest.fixture
def sdc(gateway: Gateway) -> str:
    return gateway.add_sdc(GUID)


def test_a_login_answers_a_token_as_a_json_string_that_counts_with_any_user(gateway: Gateway, client: Client) -> None:
    token = client.login()
    user, milliseconds, digest = base64.b64decode(token).decode().split(":")
    assert user == "admin"
    assert re.fullmatch(r"\d{13}", milliseconds)
    assert re.fullmatch(r"[0-9a-f]{32}", digest)
    for name in ("", "admin", "nobody"):
        assert client.ask("GET", VOLUMES, authorization=basic(name, token)) == (200, [])


def test_a_wrong_password_and_an_unknown_token_are_answered_with_401(gateway: Gateway, client: Client) -> None:
    body = {"message": "Unauthorized", "httpStatusCode": 401, "errorCode": 0}
    for path, word in (("/api/login", "wrong"), (VOLUMES, "unknown"), (VOLUMES, gateway.password)):
        assert client.ask("GET", path, authorization=basic("admin", word)) == (401, body)
        assert client.headers is not None
        assert client.headers["WWW-Authenticate"] == "Basic"


def test_a_token_dies_on_logout_when_idle_and_when_old(gateway: Gateway, client: Client) -> None:
    assert client.raw("GET", "/api/logout") == (200, b"")
    assert client.ask("GET", VOLUMES)[0] == 401
    client.login()
    gateway.clock.advance(599)
    client.get(VOLUMES)
    gateway.clock.advance(599)
    client.get(VOLUMES)
    gateway.clock.advance(601)
    assert client.ask("GET", VOLUMES)[0] == 401
    client.login()
    for _ in range(47):
        gateway.clock.advance(599)
        client.get(VOLUMES)
    client.get(VOLUMES)
    gateway.clock.advance(28800 - 47 * 599)
    gateway.switches.expired_status = 403
    assert client.refused(VOLUMES, method="GET") == (403, 0)


def test_types_of_content_count_with_a_version_or_without(client: Client) -> None:
    for kind in ("application/json", "application/json;version=2.0", "application/json;version=9"):
        assert client.ask("GET", "/api/version", Accept=kind) == (200, "3.5")
        assert client.ask("POST", VOLUMES, client.create_body(kind[-9:]), Content_Type=kind)[0] == 200
    assert client.ask("POST", VOLUMES, client.create_body("x"), Content_Type="text/plain")[0] == 415
    assert client.ask("GET", VOLUMES, Accept="text/html")[0] == 406


def test_the_version_is_a_json_string_for_which_a_login_may_be_needed(gateway: Gateway) -> None:
    with Client(gateway, login=False) as client:
        assert client.raw("GET", "/api/version")[0] == 401
        gateway.switches.version_needs_login = False
        assert client.raw("GET", "/api/version") == (200, b'"3.5"')


def test_bearer_mode_refuses_basic_and_a_logout_takes_a_refresh_token() -> None:
    with Gateway(version="4.5", switches=Switches(bearer=True)) as gateway, Client(gateway, login=False) as client:
        assert client.ask("GET", "/api/login", authorization=basic("admin", gateway.password))[0] == 401
        assert client.ask("POST", "/rest/auth/login", {"username": "admin", "password": "no"})[0] == 401
        words = client.post("/rest/auth/login", {"username": "admin", "password": gateway.password})
        assert client.ask("GET", VOLUMES, authorization=basic("", words["access_token"]))[0] == 401
        client.authorization = f"Bearer {words['access_token']}"
        assert client.get(VOLUMES) == []
        assert client.raw("POST", "/rest/auth/logout", {"refresh_token": words["refresh_token"]}) == (204, b"")
        assert client.ask("GET", VOLUMES)[0] == 401
        assert client.refused("/rest/auth/logout", {"refresh_token": words["refresh_token"]}) == (401, 0)
        assert not any(gateway.password in call.body for call in gateway.calls)


def test_4_x_without_bearer_mode_has_both_logins_and_3_x_has_one(client: Client) -> None:
    assert client.refused("/rest/auth/login", {"username": "admin", "password": "x"}) == (404, 0)
    with Gateway(version="4.0") as gateway, Client(gateway) as modern:
        assert modern.get("/api/version") == "4.0"
        assert modern.post("/rest/auth/login", {"username": "admin", "password": gateway.password})["access_token"]


def test_lookups_answer_bare_ids_and_names_are_encoded_twice(gateway: Gateway, client: Client, sdc: str) -> None:
    name = "a/b%+&,c"
    volume = client.create(name)
    twice, once = quote(quote(name, safe=""), safe=""), quote(name, safe="")
    assert client.get(f"{VOLUMES}/getByName::{twice}") == volume
    assert client.refused(f"{VOLUMES}/getByName::{once}", method="GET")[0] in (400, 404)
    assert client.post(f"{VOLUMES}/action/queryIdByKey", {"name": name}) == volume
    assert client.get(f"/api/types/Domain/instances/getByName::{gateway.domain_name}") == gateway.domain_id
    pool = f"{gateway.domain_id},{gateway.pool_name}"
    assert client.get(f"/api/types/Pool/instances/getByName::{pool}") == gateway.pool_id
    assert client.get("/api/types/Client/instances/getByIp::10.0.0.11/") == sdc
    assert client.post("/api/types/Sdc/instances/action/queryIdByKey", {"ip": "10.0.0.11"}) == sdc
    for status, answer in (
        client.ask("POST", f"{VOLUMES}/action/queryIdByKey", {"name": "none"}),
        client.ask("GET", f"{VOLUMES}/getByName::none"),
    ):
        assert (status, answer) == (500, {"message": "Not found", "httpStatusCode": 500, "errorCode": 3})


def test_every_link_of_every_object_leads_somewhere(gateway: Gateway, client: Client, sdc: str) -> None:
    volume = client.create()
    client.snapshot((volume, "snap"))
    client.map(volume, sdc)
    seen: set[str] = set()
    todo = [f"/api/types/{kind}/instances" for kind in ("System", "ProtectionDomain", "StoragePool", "Sdc", "Volume")]
    while todo:
        answer = client.get(todo.pop())
        for found in answer if isinstance(answer, list) else [answer]:
            if "Statistics" not in str(found.get("links", "")) and "id" not in found:
                continue
            rels = [link["rel"] for link in found["links"]]
            assert rels[0] == "self"
            assert all(re.fullmatch(r"self|/api/\w+/relationship/\w+", rel) for rel in rels)
            fresh = {link["href"] for link in found["links"]} - seen
            seen |= fresh
            todo += fresh
    kinds = {re.sub(r"::\w+", "", href) for href in seen}
    assert {"/api/instances/VTree", "/api/instances/Sdc/relationships/Volume"} <= kinds
    assert "/api/instances/System/relationships/Sdc" in kinds


def test_a_volume_looks_as_the_real_ones_do(gateway: Gateway, client: Client, sdc: str) -> None:
    volume = client.create("vol001")
    shown = client.volume(volume)
    assert re.fullmatch(r"[0-9a-f]{16}", volume)
    assert (shown["mappedSdcInfo"], shown["ancestorVolumeId"], shown["name"]) == (None, None, "vol001")
    assert (shown["sizeInKb"], shown["volumeType"]) == (8388608, "ThinProvisioned")
    assert shown["storagePoolId"] == gateway.pool_id
    client.map(volume, sdc)
    (mapped,) = client.volume(volume)["mappedSdcInfo"]
    assert {"sdcId": sdc, "sdcIp": "10.0.0.11", "sdcName": None, "accessMode": "ReadWrite"}.items() <= mapped.items()
    client.unmap(volume, sdc)
    assert client.volume(volume)["mappedSdcInfo"] is None
    assert client.get(f"/api/instances/Sdc::{sdc}")["sdcGuid"] == GUID


def test_2_x_has_no_access_modes_and_no_overwriting() -> None:
    with Gateway(version="2.6") as gateway, Client(gateway) as client:
        sdc, volume = gateway.add_sdc(GUID), client.create()
        assert client.action_refused(volume, "addMappedSdc", sdcId=sdc, accessMode="ReadWrite") == (400, 0)
        client.map(volume, sdc)
        shown = client.volume(volume)
        assert "accessMode" not in shown["mappedSdcInfo"][0]
        assert "dataLayout" not in shown
        assert "sdcIps" not in client.get(f"/api/instances/Sdc::{sdc}")
        snapshot = client.snapshot((volume, "snap"))["volumeIdList"][0]
        assert client.action_refused(volume, "overwriteVolumeContent", srcVolumeId=snapshot) == (404, 0)


def test_5_0_tells_the_generation_of_a_protection_domain(gateway: Gateway, client: Client) -> None:
    path = "/api/types/ProtectionDomain/instances/action/queryBySelectedIds"
    assert "genType" not in client.post(path, {"ids": [gateway.domain_id]})[0]
    with Gateway(version="5.0") as modern, Client(modern) as other:
        erasure = modern.add_domain("ec", generation="EC")
        found = other.post(path, {"ids": [modern.domain_id, erasure]})
        assert [it["genType"] for it in found] == ["Mirroring", "EC"]


def test_numbers_are_strings_or_numbers_and_what_is_missing_or_unknown_is_400(client: Client, sdc: str) -> None:
    for size in ("8388608", 8388608):
        client.create(f"of-{type(size).__name__}", volumeSizeInKb=size)
    for field in client.create_body():
        body = client.create_body()
        del body[field]
        assert client.refused(VOLUMES, body) == (400, 0), field
    for wrong in ({"volumeSizeInKb": "big"}, {"storagePoolId": "pool-1"}, {"volumeType": "Fat"}, {"nmae": "x"}):
        assert client.refused(VOLUMES, {**client.create_body(), **wrong}) == (400, 0), wrong
    assert client.refused(VOLUMES, b"{") == (400, 0)
    assert client.refused(VOLUMES, []) == (400, 0)
    volume = client.create()
    for verb in ("addMappedSdc", "removeMappedSdc", "removeVolume", "setVolumeSize", "setVolumeName"):
        assert client.action_refused(volume, verb) == (400, 0), verb
    assert client.action_refused(volume, "addMappedSdc", sdcId=sdc, guid=GUID) == (400, 0)
    status, answer = client.ask("GET", "/api/instances/Volume::vol001")
    assert (status, answer["message"]) == (400, "id must be a hexadecimal number")


def test_a_malformed_request_is_400_wherever_it_is(gateway: Gateway, client: Client, sdc: str) -> None:
    volume = client.create()
    client.map(volume, sdc)
    names = "/api/types/StoragePool/instances/action/querySelectedStatistics"
    snapshots = "/api/instances/System/action/snapshotVolumes"
    here = {"sdcId": sdc}
    for path, body in (
        (VOLUMES, client.create_body("zero", 0)),
        (VOLUMES, client.create_body("minus", volumeSizeInKb="-8388608")),
        (VOLUMES, {**client.create_body(), "name": 7}),
        (VOLUMES, {**client.create_body(), "useRmcache": "maybe"}),
        (client.path(volume, "setMappedSdcLimits"), here),
        (client.path(volume, "setMappedSdcLimits"), {**here, "iopsLimit": None}),
        (client.path(volume, "addMappedSdc"), {"sdcId": None}),
        (client.path(volume, "addMappedSdc"), {**here, "allowMultipleMappings": "yes"}),
        (client.path(volume, "addMappedSdc"), {**here, "accessMode": "WriteOnly"}),
        (client.path(volume, "removeVolume"), {"removeMode": "EVERYTHING"}),
        (snapshots, {}),
        (snapshots, {"snapshotDefs": [{"volumeId": volume}]}),
        (names, {"ids": [gateway.pool_id]}),
        (names, {"ids": gateway.pool_id, "properties": []}),
    ):
        assert client.refused(path, body) == (400, 0), body
    assert client.refused(f"{VOLUMES}/getByName::100%25", method="GET") == (400, 0)


def test_what_a_release_lacks_is_404(gateway: Gateway, client: Client) -> None:
    volume = client.create()
    assert client.refused("/api/types/VTree/instances/getByName::x", method="GET") == (404, 0)
    assert client.refused("/api/types/VTree/instances/action/queryIdByKey", {"name": "x"}) == (404, 0)
    assert client.refused("/api/instances/System/action/reboot", {}) == (404, 0)
    gateway.switches.get_by_name = False
    assert client.refused(f"{VOLUMES}/getByName::one", method="GET") == (404, 0)
    assert client.refused("/api/types/Client/instances/getByIp::10.0.0.11", method="GET") == (404, 0)
    assert client.post(f"{VOLUMES}/action/queryIdByKey", {"name": "one"}) == volume
    gateway.switches.query_id_by_key = False
    assert client.refused(f"{VOLUMES}/action/queryIdByKey", {"name": "one"}) == (404, 0)


def test_unknown_addresses_are_404_and_other_methods_405(client: Client) -> None:
    assert client.refused("/api/types/Banana/instances", method="GET") == (404, 0)
    assert client.action_refused(client.create(), "eatVolume") == (404, 0)
    assert client.refused(VOLUMES, method="DELETE") == (405, 0)


def test_a_size_is_rounded_up_to_8_gib_or_refused(gateway: Gateway, client: Client) -> None:
    sizes = [client.volume(client.create(f"v{gib}", gib))["sizeInKb"] >> 20 for gib in (1, 8, 9, 16)]
    assert sizes == [8, 8, 16, 16]
    body = client.create_body("gb", volumeSizeInGb="3")
    del body["volumeSizeInKb"]
    assert client.volume(client.post(VOLUMES, body)["id"])["sizeInKb"] == 8 << 20
    assert client.refused(VOLUMES, client.create_body("large", 1048577)) == (500, 190)
    gateway.switches.rounds_up = False
    assert client.refused(VOLUMES, client.create_body("odd", 9)) == (500, 225)
    client.create("even", 16)


def test_names_are_up_to_31_characters_with_no_blanks_and_are_had_once(client: Client) -> None:
    volume = client.create("v" * 31)
    assert client.refused(VOLUMES, client.create_body("v" * 32)) == (500, 226)
    for bad in ("", "a b", "a\tb", "ä"):
        assert client.refused(VOLUMES, client.create_body(bad)) == (500, 227), bad
    status, answer = client.ask("POST", VOLUMES, client.create_body("v" * 31))
    message = "Volume name already in use. Please use a different name."
    assert (status, answer) == (500, {"message": message, "httpStatusCode": 500, "errorCode": 99})
    client.snapshot((volume, "snap"))
    assert client.refused(VOLUMES, client.create_body("snap")) == (500, 99)
    other = client.create("other")
    assert client.action_refused(other, "setVolumeName", newName="snap") == (500, 99)
    client.action(other, "setVolumeName", newName="another")
    client.create("other")
    assert client.volume(other)["name"] == "another"


def test_a_volume_is_in_a_known_pool_of_a_known_domain(gateway: Gateway, client: Client) -> None:
    assert client.refused(VOLUMES, client.create_body(storagePoolId=NO_SUCH)) == (500, 171)
    assert client.refused(VOLUMES, client.create_body(protectionDomainId=NO_SUCH)) == (500, 142)
    elsewhere = gateway.add_domain("elsewhere")
    assert client.refused(VOLUMES, client.create_body(protectionDomainId=elsewhere)) == (500, 171)
    pool = gateway.add_pool("pool-2", elsewhere)
    client.create(protectionDomainId=elsewhere, storagePoolId=pool)
    assert len(client.get(f"/api/instances/StoragePool::{pool}/relationships/Volume")) == 1
    assert client.get(f"/api/instances/StoragePool::{gateway.pool_id}/relationships/Volume") == []


def test_a_pool_promises_no_more_than_its_limits() -> None:
    with Gateway(pool_gib=32, switches=Switches(over_allocation=2)) as gateway, Client(gateway) as client:
        thick = client.create("thick", 24, volumeType="ThickProvisioned")
        assert client.refused(VOLUMES, client.create_body("more", 16, volumeType="ThickProvisioned")) == (500, 300)
        thin = client.create("thin", 32)
        assert client.refused(VOLUMES, client.create_body("more", 16)) == (500, 300)
        assert client.action_refused(thin, "setVolumeSize", sizeInGB="48") == (500, 300)
        assert client.action_refused(thick, "setVolumeSize", sizeInGB="40") == (500, 300)
        client.create("last", 8)
        client.remove(thin)
        client.create("more", 32)


def test_the_statistics_of_a_pool_are_raw_but_for_what_is_available(gateway: Gateway, client: Client) -> None:
    client.create("thin", 16)
    client.create("thick", 24, volumeType="ThickProvisioned")
    path = "/api/types/StoragePool/instances/action/querySelectedStatistics"
    names = ["capacityLimitInKb", "spareCapacityInKb", "capacityAvailableForVolumeAllocationInKb"]
    names += ["thickCapacityInUseInKb", "thinCapacityAllocatedInKb", "snapCapacityInUseInKb"]
    found = client.post(path, {"ids": [gateway.pool_id], "properties": names})[gateway.pool_id]
    assert list(found) == names
    assert (found["capacityLimitInKb"] - found["spareCapacityInKb"]) // 2 >> 20 == 1024
    assert found["thickCapacityInUseInKb"] >> 20 == 48
    assert found["thinCapacityAllocatedInKb"] >> 20 == 32
    assert found["capacityAvailableForVolumeAllocationInKb"] >> 20 == 1000
    assert list(client.post(path, {"allIds": "", "properties": []})) == [gateway.pool_id]
    gateway.switches.statistics_misspelt = True
    assert client.refused(path, {"ids": [gateway.pool_id], "properties": names}) == (400, 0)
    assert client.post(path, {"allIds": "", "properties": ["thinCapacityAllocatedInKm"]})


def test_limits_are_listed_as_strings(client: Client) -> None:
    entries = client.post("/api/instances/System/action/querySystemLimits", {})["systemLimitEntryList"]
    limits = {entry["type"]: entry["maxVal"] for entry in entries}
    assert limits["volumeSizeGb"] == "1048576"
    assert limits["snapshotsPerVtree"] == "254"


def test_mapping_is_to_one_known_and_approved_sdc(gateway: Gateway, client: Client, sdc: str) -> None:
    volume, other = client.create(), gateway.add_sdc("OTHER")
    strange = gateway.add_sdc("STRANGE", approved=False)
    assert client.action_refused(volume, "addMappedSdc", sdcId=NO_SUCH) == (500, 80)
    assert client.action_refused(volume, "addMappedSdc", guid=GUID.lower()) == (500, 80)
    assert client.action_refused(NO_SUCH, "addMappedSdc", sdcId=sdc) == (500, 79)
    assert client.action_refused(volume, "addMappedSdc", sdcId=strange) == (500, 322)
    client.action(volume, "addMappedSdc", guid=GUID, allowMultipleMappings="FALSE", accessMode="ReadWrite")
    for multiple in ("FALSE", "TRUE"):
        again = client.action_refused(volume, "addMappedSdc", sdcId=sdc, allowMultipleMappings=multiple)
        assert again == (500, 81)
    assert client.action_refused(volume, "addMappedSdc", sdcId=other) == (500, 297)
    client.map(volume, other, allowMultipleMappings="TRUE")
    assert [it["sdcId"] for it in client.volume(volume)["mappedSdcInfo"]] == [sdc, other]
    assert client.post(f"/api/instances/System::{gateway.system_id}/action/approveSdc", {"sdcGuid": "STRANGE"}) is None
    client.map(volume, strange, allowMultipleMappings=True)


def test_unmapping_takes_one_or_all_mappings_and_refuses_none(gateway: Gateway, client: Client, sdc: str) -> None:
    volume, other = client.create(), gateway.add_sdc("OTHER")
    assert client.action_refused(volume, "removeMappedSdc", sdcId=sdc) == (500, 84)
    assert client.action_refused(volume, "removeMappedSdc", allSdcs="") == (500, 84)
    client.map(volume, sdc)
    assert client.action_refused(volume, "removeMappedSdc", sdcId=other) == (500, 84)
    client.map(volume, other, allowMultipleMappings="TRUE")
    client.action(volume, "removeMappedSdc", sdcId=sdc, ignoreScsiInitiators="true")
    client.map(volume, sdc, allowMultipleMappings="TRUE")
    client.action(volume, "removeMappedSdc", allSdcs="", ignoreScsiInitiators="true")
    assert client.volume(volume)["mappedSdcInfo"] is None
    gateway.switches.unmap_of_none_refused = False
    client.action(volume, "removeMappedSdc", allSdcs="")


def test_a_volume_may_be_mapped_to_all_sdcs(gateway: Gateway, client: Client, sdc: str) -> None:
    volume = client.create()
    client.map(volume, sdc)
    assert client.action_refused(volume, "addMappedSdc", allSdcs="TRUE") == (500, 315)
    client.unmap(volume, sdc)
    client.action(volume, "addMappedSdc", allSdcs="TRUE")
    assert client.volume(volume)["mappingToAllSdcsEnabled"] is True
    assert client.action_refused(volume, "addMappedSdc", sdcId=sdc) == (500, 82)
    assert client.action_refused(volume, "removeVolume", removeMode="ONLY_ME") == (500, 104)
    assert gateway.visible(gateway.add_sdc("LATER")) == [volume]
    client.action(volume, "removeMappedSdc", allSdcs="")
    assert client.volume(volume)["mappingToAllSdcsEnabled"] is False


def test_an_sdc_has_so_many_volumes(gateway: Gateway, client: Client, sdc: str) -> None:
    gateway.switches.volumes_per_sdc = 2
    volumes = [client.create(f"v{number}") for number in range(3)]
    for volume in volumes[:2]:
        client.map(volume, sdc)
    assert client.action_refused(volumes[2], "addMappedSdc", sdcId=sdc) == (500, 294)
    client.unmap(volumes[0], sdc)
    client.map(volumes[2], sdc)
    assert {it["id"] for it in client.get(f"/api/instances/Sdc::{sdc}/relationships/Volume")} == set(volumes[1:])


def test_the_limits_of_a_mapping_are_multiples_of_1024_and_go_with_it(client: Client, sdc: str) -> None:
    volume = client.create()
    assert client.action_refused(volume, "setMappedSdcLimits", sdcId=sdc, iopsLimit="100") == (500, 84)
    client.map(volume, sdc)
    assert client.action_refused(volume, "setMappedSdcLimits", sdcId=sdc, bandwidthLimitInKbps="1000") == (400, 0)
    client.action(volume, "setMappedSdcLimits", sdcId=sdc, bandwidthLimitInKbps="10240", iopsLimit="100")
    (mapped,) = client.volume(volume)["mappedSdcInfo"]
    assert (mapped["limitIops"], mapped["limitBwInMbps"]) == (100, 10)
    client.unmap(volume, sdc)
    client.map(volume, sdc)
    assert client.volume(volume)["mappedSdcInfo"][0]["limitIops"] == 0


def test_a_mapped_volume_is_not_removed_and_a_removed_one_is_not_found(client: Client, sdc: str) -> None:
    volume = client.create()
    client.map(volume, sdc)
    assert client.action_refused(volume, "removeVolume", removeMode="ONLY_ME") == (500, 104)
    client.unmap(volume, sdc)
    client.remove(volume)
    assert client.action_refused(volume, "removeVolume", removeMode="ONLY_ME") == (500, 79)
    assert client.refused(f"/api/instances/Volume::{volume}", method="GET") == (500, 79)
    assert client.create() != volume


def test_a_removal_may_be_in_progress_for_a_while(gateway: Gateway, client: Client) -> None:
    gateway.switches.removal_in_progress = 2
    volume = client.create()
    for _ in range(2):
        assert client.action_refused(volume, "removeVolume", removeMode="ONLY_ME") == (500, 212)
    client.remove(volume)
    assert client.get(VOLUMES) == []


def test_a_removal_takes_the_part_of_the_tree_that_it_says(client: Client) -> None:
    def left() -> set[str]:
        return {it["name"] for it in client.get(VOLUMES)}

    volume = client.create("root")
    first = client.snapshot((volume, "first"))["volumeIdList"][0]
    second = client.snapshot((first, "second"))["volumeIdList"][0]
    client.snapshot((second, "third"))
    client.remove(second, "DESCENDANTS_ONLY")
    assert left() == {"root", "first", "second"}
    assert client.action_refused(second, "removeVolume", removeMode="DESCENDANTS_ONLY") == (500, 183)
    client.remove(first)
    assert left() == {"root", "second"}
    assert client.volume(second)["ancestorVolumeId"] == volume
    client.snapshot((second, "fourth"))
    client.remove(second, "INCLUDING_DESCENDANTS")
    assert left() == {"root"}
    other = client.snapshot((volume, "fifth"))["volumeIdList"][0]
    client.remove(other, "WHOLE_VTREE")
    assert left() == set()


def test_the_snapshots_of_a_removed_volume_stay_what_they_are(gateway: Gateway, client: Client) -> None:
    for number, (rule, wanted) in enumerate((("adopted", None), ("dangling", "itself"))):
        gateway.switches.orphans = "adopted" if rule == "adopted" else "dangling"
        volume = client.create(f"v{number}")
        snapshot = client.snapshot((volume, f"s{number}"))["volumeIdList"][0]
        tree = client.volume(volume)["vtreeId"]
        client.remove(volume)
        shown = client.volume(snapshot)
        assert (shown["vtreeId"], shown["volumeType"]) == (tree, "Snapshot")
        assert shown["ancestorVolumeId"] == (volume if wanted else None)


def test_a_volume_grows_by_8_gib_and_never_shrinks(client: Client) -> None:
    volume = client.create("one", 16)
    for size, code in (("20", 225), ("16", 133), ("8", 133), ("1048584", 190)):
        assert client.action_refused(volume, "setVolumeSize", sizeInGB=size) == (500, code)
    client.action(volume, "setVolumeSize", sizeInGB="24")
    assert client.volume(volume)["sizeInKb"] == 24 << 20


def test_snapshots_of_one_call_are_a_group_and_made_together_or_not_at_all(gateway: Gateway, client: Client) -> None:
    one, two = client.create("one"), client.create("two", 16)
    made = client.snapshot((one, "s1"), (two, "s2"), system=f"::{gateway.system_id}")
    assert re.fullmatch(r"[0-9a-f]{16}", made["snapshotGroupId"])
    for source, name, snapshot in zip((one, two), ("s1", "s2"), made["volumeIdList"], strict=True):
        shown, of = client.volume(snapshot), client.volume(source)
        assert (shown["name"], shown["ancestorVolumeId"], shown["volumeType"]) == (name, source, "Snapshot")
        assert (shown["vtreeId"], shown["sizeInKb"]) == (of["vtreeId"], of["sizeInKb"])
        assert shown["consistencyGroupId"] == made["snapshotGroupId"]
    path = "/api/instances/System/action/snapshotVolumes"
    for wrong, code in (((NO_SUCH, "s4"), 79), ((two, "s3"), 99), ((two, "s1"), 99), ((two, "s" * 32), 226)):
        assert client.refused(path, client.snapshot_body((one, "s3"), wrong)) == (500, code)
    assert client.refused(path, {"snapshotDefs": []}) == (400, 0)
    elsewhere = gateway.add_system("elsewhere")
    other = f"/api/instances/System::{elsewhere}/action/snapshotVolumes"
    assert client.refused(other, client.snapshot_body((one, "s3"))) == (500, 79)
    stranger = gateway.add_volume("s", pool=gateway.add_pool("p", gateway.add_domain("d", elsewhere)))
    assert client.refused(path, client.snapshot_body((one, "s3"), (stranger, "s4"))) == (500, 79)
    assert len(client.get(VOLUMES)) == 5


def test_a_tree_has_so_many_snapshots(client: Client) -> None:
    volume = client.create()
    client.snapshot(*[(volume, f"s{number}") for number in range(253)])
    path = "/api/instances/System/action/snapshotVolumes"
    assert client.refused(path, client.snapshot_body((volume, "a"), (volume, "b"))) == (500, 182)
    last = client.snapshot((volume, "a"))["volumeIdList"][0]
    assert client.refused(path, client.snapshot_body((last, "b"))) == (500, 182)
    client.remove(last)
    client.snapshot((volume, "b"))


def test_codes_are_those_of_the_version_and_may_be_in_details(client: Client, gateway: Gateway, sdc: str) -> None:
    with Gateway(version="4.0") as modern, Client(modern) as other:
        volume, host = other.create(), modern.add_sdc(GUID)
        assert other.action_refused(volume, "removeMappedSdc", sdcId=host) == (500, 4039)
        other.map(volume, host)
        assert other.action_refused(volume, "addMappedSdc", sdcId=host) == (500, 4037)
    gateway.switches.not_found_code = 78
    assert client.refused(f"/api/instances/Volume::{NO_SUCH}", method="GET") == (500, 78)
    gateway.switches.errors_in_details = True
    status, answer = client.ask("GET", f"/api/instances/Volume::{NO_SUCH}")
    assert (status, answer["message"], answer["errorCode"]) == (500, "Error with details", 0)
    assert answer["details"][0]["rc"] == 78
    assert answer["details"][0]["errorMessage"] == "Could not find the volume"
    assert client.refused("/api/instances/Volume::x", method="GET") == (400, 0)
    gateway.switches.empty_object = True
    assert client.raw("POST", client.path(client.create(), "setVolumeName"), {"newName": "n"}) == (200, b"{}")


def test_snapshots_copies_and_reverts_have_the_data_of_their_moment(gateway: Gateway, client: Client, sdc: str) -> None:
    def write(volume: str, data: bytes) -> None:
        with gateway.backing(volume).open("r+b") as file:
            file.seek(5 << 20)
            file.write(data)

    def read(volume: str) -> bytes:
        with gateway.backing(volume).open("rb") as file:
            file.seek(5 << 20)
            return file.read(3)

    volume, empty = client.create("one"), client.create("empty")
    write(volume, b"old")
    snapshot, blank = client.snapshot((volume, "s1"), (empty, "s2"))["volumeIdList"]
    write(volume, b"new")
    write(empty, b"new")
    assert (read(snapshot), read(blank)) == (b"old", b"\0\0\0")
    copy = client.snapshot((snapshot, "copy"))["volumeIdList"][0]
    assert read(copy) == b"old"
    client.action(volume, "setVolumeSize", sizeInGB="16")
    client.action(volume, "overwriteVolumeContent", srcVolumeId=snapshot)
    assert read(volume) == b"old"
    assert gateway.backing(volume).stat().st_size == 16 << 30
    client.action(empty, "overwriteVolumeContent", srcVolumeId=blank)
    assert read(empty) == b"\0\0\0"
    assert client.action_refused(empty, "overwriteVolumeContent", srcVolumeId=snapshot) == (400, 0)
    assert client.action_refused(snapshot, "overwriteVolumeContent", srcVolumeId=volume) == (400, 0)
    assert client.action_refused(volume, "overwriteVolumeContent", srcVolumeId=NO_SUCH) == (500, 79)
    gateway.switches.overwrite_of_mapped = False
    client.map(volume, sdc)
    assert client.action_refused(volume, "overwriteVolumeContent", srcVolumeId=snapshot) == (500, 104)
    client.unmap(volume, sdc)
    client.remove(volume)
    assert sorted(path.name for path in gateway.backing(copy).parent.iterdir()) == sorted(
        (empty, snapshot, blank, copy)
    )

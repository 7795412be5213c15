"""The IAM policy that is printed allows just what the driver's operations call, and all of that."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import rexray_driver_ec2
from ec2_driver import GIB, NO_VOLUME, names_in, sources, spec, storage
from ec2_parts import ACCESS_KEY, ZONE, Cloud, Proxy, client
from rexray.errors import Forbidden
from rexray.types import InstanceId
from rexray_driver_ec2.storage import Ec2Storage

ADMIN = "AKIAADMINISTRATOR000"
NOWHERE = "http://127.0.0.1:1"


def policy(**settings: str) -> Mapping[str, Any]:
    return Ec2Storage.policy(sources(NOWHERE, **settings))


def statements(**settings: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy(**settings)["Statement"]
    return found


def actions(**settings: str) -> set[str]:
    """EC2's calls that a policy allows, in one way or another."""
    named = (action for statement in statements(**settings) for action in statement["Action"])
    return {action.removeprefix("ec2:") for action in named if action.startswith("ec2:")}


def called_in_source() -> set[str]:
    """The actions that the source names where it calls EC2; the tags of what is made are an action of their own."""
    folder = Path(rexray_driver_ec2.__file__).parent
    found = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "calling":
                action = node.args[0]
                assert isinstance(action, ast.Constant), f"{path}:{node.lineno}"
                found.add(str(action.value))
    return found


def allows(document: list[dict[str, Any]], action: str, kind: str, tags: Mapping[str, str]) -> bool:
    """Whether IAM would allow a call for a thing with these tags; it knows the conditions that the policies have."""
    return any(
        f"ec2:{action}" in statement["Action"]
        and any(fnmatch.fnmatchcase(f"arn:aws:ec2:us-west-1:1234:{kind}/x", arn) for arn in statement["Resource"])
        and _holds(statement.get("Condition", {}), tags)
        for statement in document
    )


def _holds(conditions: Mapping[str, Mapping[str, Any]], tags: Mapping[str, str]) -> bool:
    for operator, wanted in conditions.items():
        for key, pattern in wanted.items():
            if not key.startswith("aws:ResourceTag/"):
                return False
            assert operator == "StringLike"
            tag = tags.get(key.partition("/")[2])
            if tag is None or not fnmatch.fnmatchcase(tag, str(pattern)):
                return False
    return True


def use_everything(driver: Ec2Storage, here: InstanceId, *, create: bool = True, remove: bool = True) -> None:
    """Each operation once, beginning with volumes ``old`` and ``older`` that are there."""
    driver.zones()
    driver.capacity()
    list(driver.instances())
    list(driver.volumes())
    old = next(driver.volumes_named("old"))
    driver.volume(old.id)
    driver.attach(old.id, here)
    list(driver.attached(here))
    driver.attachments(old.id)
    driver.expand(old.id, 2 * GIB)
    driver.modify(old.id, {"type": "gp2"})
    driver.detach(old.id)
    taken = driver.create_snapshot(old.id, "snap")
    driver.copy_snapshot(taken.id, "snap", "us-east-1")
    list(driver.snapshots())
    if create:
        driver.create(spec("new"))
        driver.create(spec("copy", 0, source_snapshot=taken.id))
        driver.create(spec("clone", 0, source_volume=old.id))
    if create and remove:
        driver.rollback(old.id, taken.id)
    if remove:
        driver.remove(next(driver.volumes_named("older")).id)
    driver.remove_snapshot(taken.id)


def furnish(cloud: Cloud, tag: str = "") -> InstanceId:
    """An instance and the two volumes, made by somebody who may do everything."""
    admin = storage(cloud.url, AWS_ACCESS_KEY=ADMIN, EC2_TAG=tag)
    for name in ("old", "older"):
        admin.create(spec(name))
    plain = client(cloud.url, key=ADMIN)
    placed = plain.run_instances(
        ImageId="ami-03cf127a", MinCount=1, MaxCount=1, InstanceType="t3.medium", Placement={"AvailabilityZone": ZONE}
    )
    return InstanceId(placed["Instances"][0]["InstanceId"])


def only(allowed: set[str]) -> dict[str, Any]:
    """Keys for the cloud: one that may do everything, and the driver's, which may do no more than that."""
    every = client(NOWHERE).meta.service_model.operation_names
    return {ADMIN: {}, ACCESS_KEY: {"denied": sorted(set(every) - allowed)}}


def test_the_policy_allows_what_the_source_calls_and_nothing_else() -> None:
    assert actions() == called_in_source()


def test_a_run_of_all_operations_calls_what_the_policy_allows_and_nothing_else(cloud: Cloud, proxy: Proxy) -> None:
    here = furnish(cloud)
    cloud.delays(modify=0.5)  # so that EC2 is asked what has become of a change
    use_everything(storage(proxy.url), here)
    assert set(proxy.counts) == actions()


@pytest.mark.parametrize("tag", ["", "team"])
def test_all_operations_work_with_no_more_than_the_policy(cloud: Cloud, tag: str) -> None:
    here = furnish(cloud, tag)
    cloud.control(keys=only(actions(EC2_TAG=tag)))
    use_everything(storage(cloud.url, EC2_TAG=tag), here)
    assert names_in(cloud) == [f"{tag}/{name}" if tag else name for name in ("clone", "copy", "new", "old")]


def test_without_creating_the_rest_works_and_creating_is_forbidden(cloud: Cloud) -> None:
    here = furnish(cloud)
    allowed = actions(REXRAY_VOLUME_CREATE_DISABLE="true")
    assert allowed == actions() - {"CreateVolume"}
    cloud.control(keys=only(allowed))
    driver = storage(cloud.url)
    use_everything(driver, here, create=False)
    with pytest.raises(Forbidden, match="CreateVolume"):
        driver.create(spec("new"))


def test_without_removing_the_rest_works_and_removing_is_forbidden(cloud: Cloud) -> None:
    here = furnish(cloud)
    allowed = actions(REXRAY_VOLUME_REMOVE_DISABLE="true")
    assert allowed == actions() - {"DeleteVolume"}
    cloud.control(keys=only(allowed))
    driver = storage(cloud.url)
    use_everything(driver, here, remove=False)
    with pytest.raises(Forbidden, match="DeleteVolume"):
        driver.remove(next(driver.volumes_named("old")).id)
    assert "old" in names_in(cloud)


def test_a_rollback_that_could_not_be_ended_begins_nothing(cloud: Cloud) -> None:
    furnish(cloud)
    cloud.control(keys=only(actions(REXRAY_VOLUME_REMOVE_DISABLE="true")))
    driver = storage(cloud.url)
    old = next(driver.volumes_named("old"))
    taken = driver.create_snapshot(old.id, "snap")
    with pytest.raises(Forbidden, match="DeleteVolume"):
        driver.rollback(old.id, taken.id)
    assert len(cloud.state()["volumes"]) == 3  # the instance's own among them


def test_volumes_and_snapshots_of_another_tag_are_not_to_be_touched() -> None:
    document = statements(EC2_TAG="team")
    mine, theirs = {"Name": "team/data"}, {"Name": "teams/data"}
    for action in ("AttachVolume", "DetachVolume", "ModifyVolume", "DeleteVolume", "CreateSnapshot"):
        assert allows(document, action, "volume", mine), action
        assert not allows(document, action, "volume", theirs), action
        assert not allows(document, action, "volume", {}), action
    assert allows(document, "DeleteSnapshot", "snapshot", mine)
    assert not allows(document, "DeleteSnapshot", "snapshot", theirs)
    assert allows(document, "AttachVolume", "instance", {})


def test_the_snapshot_that_a_clone_is_made_through_can_be_removed_again() -> None:
    document = statements(EC2_TAG="team")
    assert allows(document, "DeleteSnapshot", "snapshot", {"rexray:clone": "team/clone"})
    assert not allows(document, "DeleteSnapshot", "snapshot", {"rexray:clone": "teams/clone"})


def test_only_a_replacement_is_given_another_name() -> None:
    document = statements()
    assert allows(document, "CreateTags", "volume", {"rexray:replaces": f"{NO_VOLUME} snap-1"})
    assert not allows(document, "CreateTags", "volume", {"Name": "data"})
    made = [statement for statement in document if statement["Action"] == ["ec2:CreateTags"]]
    calls = [statement["Condition"].get("StringEquals", {}).get("ec2:CreateAction") for statement in made]
    assert ["CopySnapshot", "CreateSnapshot", "CreateVolume"] in calls


def test_wild_characters_of_a_tag_are_not_wild_in_the_policy() -> None:
    conditions = [str(statement.get("Condition", "")) for statement in statements(EC2_TAG="te*m")]
    assert any("te${*}m/*" in condition for condition in conditions)
    assert not any("te*m" in condition for condition in conditions)


@pytest.mark.parametrize(
    ("key", "resource"),
    [
        ("1234abcd-12ab-34cd-56ef-1234567890ab", "arn:*:kms:*:*:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
        ("arn:aws:kms:us-west-1:1234:key/5678", "arn:aws:kms:us-west-1:1234:key/5678"),
    ],
)
def test_a_key_is_only_used_for_ec2(key: str, resource: str) -> None:
    found = [statement for statement in statements(EC2_KMSKEYID=key) if statement["Action"][0].startswith("kms:")]
    assert {statement["Resource"][0] for statement in found} == {resource}
    grants = [statement for statement in found if "kms:CreateGrant" in statement["Action"]]
    assert [statement["Condition"] for statement in grants] == [{"Bool": {"kms:GrantIsForAWSResource": "true"}}]


def test_an_alias_is_a_condition_and_no_key_needs_nothing() -> None:
    found = [item for item in statements(EC2_KMSKEYID="alias/mine") if item["Action"][0].startswith("kms:")]
    assert all(item["Resource"] == ["*"] for item in found)
    assert all(item["Condition"]["ForAnyValue:StringEquals"] == {"kms:ResourceAliases": "alias/mine"} for item in found)
    assert not any(action.startswith("kms:") for item in statements() for action in item["Action"])


def test_each_statement_has_a_name_of_its_own() -> None:
    for settings in ({}, {"EC2_TAG": "team", "EC2_KMSKEYID": "alias/mine"}):
        names = [statement["Sid"] for statement in statements(**settings)]
        assert len(set(names)) == len(names)
        assert all(name.isalnum() for name in names)
    assert policy()["Version"] == "2012-10-17"

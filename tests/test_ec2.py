"""EC2 from the shell as a user types it: the seed's example, volumes and snapshots from their first to their last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ec2_host_parts import REGION, ROOT_DEVICE, Guest, Shell, environ
from ec2_parts import ACCESS_KEY, SECRET_KEY, ZONE, Cloud, Proxy
from imds_parts import Imds, amazons_mock

KEYS = ["providername", "instanceid", "volumeid", "devicename", "region", "status"]
ELSEWHERE = "eu-west-1"


@pytest.fixture(scope="module")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: Cloud) -> Cloud:
    running_cloud.reset()
    return running_cloud


@pytest.fixture
def imds() -> Iterator[Imds]:
    with Imds() as service:
        yield service


@pytest.fixture
def guest(cloud: Cloud, imds: Imds) -> Guest:
    return Guest(cloud, imds)


@pytest.fixture
def shell(guest: Guest, tmp_path: Path) -> Shell:
    return Shell(tmp_path, guest.environ)


def check_the_seeds_example(shell: Shell, guest: Guest, volume: str) -> None:
    """``rexray volume get`` prints the root and the volume as the seed shows them, and nothing else."""
    printed = shell.say("volume", "get")
    entries = yaml.safe_load(printed)
    root = guest.volumes()[ROOT_DEVICE]
    assert entries == [
        dict(zip(KEYS, ("ec2", guest.id, root, ROOT_DEVICE, "us-west-1", "attached"), strict=True)),
        dict(zip(KEYS, ("ec2", guest.id, volume, "/dev/xvdb", "us-west-1", "attached"), strict=True)),
    ]
    lines = [f"{'- ' if key == KEYS[0] else '  '}{key}: {entry[key]}" for entry in entries for key in KEYS]
    assert printed.splitlines() == lines


def test_the_seeds_example_prints_the_same_keys_in_the_same_order(shell: Shell, guest: Guest) -> None:
    volume = guest.make()
    guest.attach(volume, "/dev/xvdb")
    check_the_seeds_example(shell, guest, volume)
    for name in ("ebs", "aws"):
        shell.environ["REXRAY_STORAGEDRIVERS"] = name
        check_the_seeds_example(shell, guest, volume)


@pytest.mark.needs("ec2-metadata-mock")
def test_the_seeds_example_works_with_the_metadata_service_that_amazon_ships_in_version_2_only(
    shell: Shell, guest: Guest, tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    volume = guest.make()
    guest.attach(volume, "/dev/xvdb")
    for key, value in {"INSTANCEID": guest.id, "REGION": REGION, "AVAILABILITYZONE": ZONE}.items():
        monkeypatch.setenv(f"AEMM_DYNAMIC_VALUES_INSTANCE_IDENTITY_DOCUMENT_{key}", value)
    names = dict.fromkeys(("ami", "ebs0", "ephemeral0", "root", "swap"), ROOT_DEVICE)
    with amazons_mock(tool("ec2-metadata-mock"), tmp_path, only_v2=True, mapping=names) as url:
        shell.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = url
        check_the_seeds_example(shell, guest, volume)
    assert guest.imds.requests == []


def asked(proxy: Proxy) -> list[str]:
    """The calls since this was last asked, each with the id or the filter that it is limited to."""
    found = []
    for action, form in proxy.calls:
        by_filter = f"{form['Filter.1.Name']}={form['Filter.1.Value.1']}" if "Filter.1.Name" in form else "everything"
        found.append(f"{action} id={form['VolumeId.1']}" if "VolumeId.1" in form else f"{action} {by_filter}")
    proxy.forget()
    return found


def test_who_asks_for_one_volume_makes_ec2_describe_no_others(shell: Shell, guest: Guest) -> None:
    volume = guest.make("data")
    guest.attach(volume, "/dev/xvdb")
    guest.make("other")
    with Proxy(guest.cloud.url) as proxy:
        shell.environ["EC2_ENDPOINT"] = proxy.url
        (device,) = yaml.safe_load(shell.say("volume", "get", volume))
        assert (device["volumeid"], device["devicename"]) == (volume, "/dev/xvdb")
        assert set(asked(proxy)) == {
            f"DescribeVolumes attachment.instance-id={guest.id}",
            f"DescribeVolumes tag:Name={volume}",
            f"DescribeVolumes id={volume}",
        }
        assert shell.rows("volume", "ls", volume) == [[volume, "data", "attached", "1GiB"]]
        assert asked(proxy) == [f"DescribeVolumes tag:Name={volume}", f"DescribeVolumes id={volume}"]
        assert shell.rows("volume", "ls", "--volumename", "data") == [[volume, "data", "attached", "1GiB"]]
        assert asked(proxy) == ["DescribeVolumes tag:Name=data"]
        shell.say("volume", "get")
        assert asked(proxy) == [f"DescribeVolumes attachment.instance-id={guest.id}"]
        assert len(shell.rows("volume", "ls")) == 3
        assert asked(proxy) == ["DescribeVolumes everything"]


def test_volumes_are_listed_as_attached_here_available_or_attached_elsewhere(shell: Shell, guest: Guest) -> None:
    here, there, free = guest.make("here"), guest.make("there", gib=2), guest.make("free", gib=3)
    guest.attach(here, "/dev/xvdf")
    guest.attach(there, "/dev/xvdf", guest.cloud.run_instance())
    lines = shell.say("volume", "ls").splitlines()
    assert lines[0].title().split() == ["Id", "Name", "Status", "Size"]
    listed = {cells[-3]: cells for cells in map(str.split, lines) if len(cells) == 4}
    assert listed["here"] == [here, "here", "attached", "1GiB"]
    assert listed["there"] == [there, "there", "unavailable", "2GiB"]
    assert listed["free"] == [free, "free", "available", "3GiB"]
    assert len(lines) == 1 + 5  # and two root volumes, which have no name
    assert shell.rows("volume", "ls", "--available") == [[free, "free", "available", "3GiB"]]


def test_a_volume_is_made_as_asked_attached_grown_detached_and_removed(shell: Shell, guest: Guest) -> None:
    asked = ("--size", "10", "--volumetype", "gp3", "--iops", "4000", "-o", "throughput=250")
    shell.say("volume", "create", "data", *asked, "--dryRun")
    assert shell.rows("volume", "ls", "--available") == []
    ((volume, *_),) = shell.rows("volume", "create", "data", *asked)
    assert shell.rows("volume", "create", "data", *asked) == [[volume, "data", "available", "10GiB"]]
    (made,) = guest.cloud.client().describe_volumes(VolumeIds=[volume])["Volumes"]
    assert (made["Size"], made["VolumeType"], made["Iops"], made["Throughput"]) == (10, "gp3", 4000, 250)
    assert made["AvailabilityZone"] == ZONE

    other = guest.cloud.run_instance()
    there = ("--instanceid", other)
    shell.say("volume", "attach", "data", *there, "-n")
    assert volume not in guest.volumes(other).values()
    ((found, instance, device, status),) = shell.rows("volume", "attach", "data", *there)
    assert (found, instance, status) == (volume, other, "attached")
    assert guest.volumes(other)[device] == volume
    assert "attached" in shell.refused("volume", "rm", "data")
    assert shell.rows("volume", "expand", "data", "--size", "12", "-n")[0][3] == "10GiB"
    assert shell.rows("volume", "expand", "data", "--size", "12") == [[volume, "data", "unavailable", "12GiB"]]
    shell.say("volume", "detach", "data", *there, "-n")
    assert guest.volumes(other)[device] == volume
    shell.say("volume", "detach", "data", *there)
    assert volume not in guest.volumes(other).values()
    assert shell.rows("volume", "ls", "data")[0][2] == "available"
    shell.say("volume", "rm", "data", "-n")
    assert shell.say("volume", "rm", "data") == "data\n"
    assert shell.refused("volume", "rm", "data").startswith("volume 'data' does not exist")


def test_snapshots_are_taken_listed_copied_to_another_region_rolled_back_and_removed(
    shell: Shell, guest: Guest
) -> None:
    volume = guest.make("data", gib=2)
    shell.say("snapshot", "create", "--volumename", "data", "--snapshotname", "s", "-n")
    assert guest.cloud.state()["snapshots"] == {}
    ((snapshot, name, *_),) = shell.rows("snapshot", "create", "--volumename", "data", "--snapshotname", "s")
    assert name == "s"
    assert shell.rows("snapshot", "ls") == [[snapshot, "s", "completed", volume]]
    ((copy, *_),) = shell.rows("snapshot", "copy", "s", "--destinationregion", ELSEWHERE)
    assert list(guest.cloud.state(ELSEWHERE)["snapshots"]) == [copy]
    ((again, *_),) = shell.rows("snapshot", "copy", "s", "--destinationregion", ELSEWHERE)
    assert again == copy
    assert shell.rows("snapshot", "ls", AWS_REGION=ELSEWHERE) == [[copy, "s", "completed", volume]]

    shell.say("snapshot", "rollback", "s", "--volumename", "data")
    ((fresh, *rest),) = shell.rows("volume", "ls", "data")
    assert (fresh != volume, rest) == (True, ["data", "available", "2GiB"])
    assert guest.cloud.state()["volumes"][fresh]["snapshot"] == snapshot
    ((second, *_),) = shell.rows("volume", "create", "second", "--snapshotname", "s")
    assert guest.cloud.state()["volumes"][second]["snapshot"] == snapshot
    assert shell.say("snapshot", "rm", "s") == "s\n"
    assert shell.refused("snapshot", "rm", "s").startswith("snapshot 's' does not exist")
    assert shell.say("snapshot", "rm", copy, AWS_REGION=ELSEWHERE) == f"{copy}\n"
    assert guest.cloud.state(ELSEWHERE)["snapshots"] == {}


def test_volumes_of_one_name_are_an_error_that_lists_their_ids(shell: Shell, guest: Guest) -> None:
    ids = sorted([guest.make("twice"), guest.make("twice")])
    for words in (("attach", "twice"), ("create", "twice"), ("rm", "twice"), ("expand", "twice", "--size", "2")):
        said = shell.refused("volume", *words)
        assert [found for found in ids if found in said] == ids, said
    other = guest.cloud.run_instance()
    assert shell.rows("volume", "attach", ids[0], "--instanceid", other)[0][:2] == [ids[0], other]
    assert len(guest.cloud.state()["volumes"]) == 4


def test_what_is_managed_from_elsewhere_asks_no_metadata_service(shell: Shell, guest: Guest) -> None:
    volume = guest.make("data")
    shell.environ |= {"REXRAY_REMOTEMANAGEMENT": "true", "AWS_REGION": REGION}
    named = {"EC2_INSTANCEID": guest.id}
    assert shell.rows("volume", "attach", "data", **named)[0][1] == guest.id
    assert volume in shell.say("volume", "get", **named)
    assert shell.rows("volume", "ls", "data", **named)[0][2] == "attached"
    shell.say("volume", "detach", "data", **named)
    assert "rexray.docker.availabilityZone" in shell.refused("volume", "create", "new", **named)
    shell.say("volume", "create", "new", "--size", "1", "--availabilityzone", ZONE)
    assert shell.rows("volume", "ls", "data") == [[volume, "data", "available", "1GiB"]]
    assert "ec2.instanceID ($EC2_INSTANCEID)" in shell.refused("volume", "attach", "data")
    assert "ec2.instanceID ($EC2_INSTANCEID)" in shell.refused("volume", "get")
    assert shell.rows("volume", "attach", "data", "--instanceid", guest.id)[0][1] == guest.id
    assert guest.imds.requests == []


@pytest.mark.parametrize(
    "text",
    [
        "rexray: {storageDrivers: [ec2]}\nebs: {accessKey: KEY, secretKey: SECRET, region: us-west-1, endpoint: URL}\n",
        "rexray: {storageDrivers: [ebs]}\naws: {accessKey: KEY, secretKey: SECRET, region: us-west-1, endpoint: URL}\n",
        "rexray: {storageDrivers: [ec2]}\nec2: {endpoint: URL}\n"
        "awsAccessKey: KEY\nawsSecretKey: SECRET\nawsRegion: us-west-1\n",
    ],
    ids=["v0.11", "v0.3", "v0.2"],
)
def test_configuration_files_of_older_releases_are_understood(
    guest: Guest, tmp_path: Path, text: str, cloud: Cloud
) -> None:
    cloud.control(keys={ACCESS_KEY: {"secret": SECRET_KEY}})
    text = text.replace("KEY", ACCESS_KEY).replace("SECRET", SECRET_KEY).replace("URL", cloud.url)
    file = tmp_path / "config.yml"
    file.write_text(text)
    file.chmod(0o600)  # of one that others can read, its secrets are warned of
    leave = {"AWS_ACCESS_KEY", "AWS_SECRET_KEY", "EC2_ENDPOINT", "REXRAY_STORAGEDRIVERS"}
    shell = Shell(tmp_path, {key: value for key, value in guest.environ.items() if key not in leave})
    (root,) = yaml.safe_load(shell.say("-c", str(file), "volume", "get"))
    assert (root["devicename"], root["region"], root["providername"]) == (ROOT_DEVICE, REGION, "ec2")


def test_credentials_of_boto3s_own_variables_profiles_and_roles_are_used(
    guest: Guest, tmp_path: Path, cloud: Cloud
) -> None:
    cloud.control(keys={ACCESS_KEY: {"secret": SECRET_KEY}})
    bare = {key: value for key, value in guest.environ.items() if key not in ("AWS_ACCESS_KEY", "AWS_SECRET_KEY")}
    shell = Shell(tmp_path, bare)
    root = guest.volumes()[ROOT_DEVICE]
    assert root in shell.say("volume", "get", AWS_ACCESS_KEY_ID=ACCESS_KEY, AWS_SECRET_ACCESS_KEY=SECRET_KEY)
    profiles = tmp_path / "credentials"
    profiles.write_text(f"[mine]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n")
    assert root in shell.say("volume", "get", AWS_SHARED_CREDENTIALS_FILE=str(profiles), AWS_PROFILE="mine")
    role = {"Code": "Success", "AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY, "Token": "token"}
    role |= {"Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z"}
    where = "/latest/meta-data/iam/security-credentials/"
    guest.imds.documents |= {where: "rexray", f"{where}rexray": json.dumps(role)}
    assert root in shell.say("volume", "get")


def test_the_policy_needs_neither_credentials_nor_network(guest: Guest, tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"AWS_EC2_METADATA_SERVICE_ENDPOINT": guest.imds.url})
    policy = json.loads(shell.say("policy", "ec2"))
    assert policy["Version"] == "2012-10-17"
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert {"ec2:CreateVolume", "ec2:AttachVolume", "ec2:DescribeVolumes"} <= allowed
    kept = json.loads(shell.say("policy", "ebs", REXRAY_VOLUME_REMOVE_DISABLE="true"))
    assert "ec2:DeleteVolume" not in {action for statement in kept["Statement"] for action in statement["Action"]}
    assert guest.imds.requests == []


# Errors: one line that names the cause and the setting


def test_keys_that_are_wrong_expired_or_not_allowed_are_told_by_the_setting(
    shell: Shell, cloud: Cloud, guest: Guest
) -> None:
    cloud.control(keys={ACCESS_KEY: {"secret": SECRET_KEY}})
    wrong = {"AWS_SECRET_KEY": "quite/another+secret"}
    for words in (("volume", "get"), ("volume", "ls"), ("snapshot", "ls")):
        said = shell.refused(*words, **wrong)
        assert "(AuthFailure)" in said
        assert "ec2.accessKey and ec2.secretKey ($AWS_ACCESS_KEY, $AWS_SECRET_KEY)" in said
    assert "AuthFailure" in shell.refused("volume", "get", AWS_ACCESS_KEY="AKIAI44QH8DHBEXAMPLE")
    cloud.control(keys={ACCESS_KEY: {"secret": SECRET_KEY, "expired": True}})
    assert "the session token has expired" in shell.refused("volume", "get")
    cloud.control(keys={ACCESS_KEY: {"secret": SECRET_KEY, "denied": ["CreateVolume", "DescribeVolumes"]}})
    assert "ec2:DescribeVolumes" in (said := shell.refused("volume", "get"))
    assert "`rexray policy ec2` prints the policy" in said


def test_keys_that_are_missing_are_told_by_the_setting(shell: Shell, guest: Guest) -> None:
    said = shell.refused("volume", "get", AWS_SECRET_KEY="")
    assert said.startswith("ec2.secretKey ($AWS_SECRET_KEY) is missing")
    assert ACCESS_KEY not in said
    assert shell.refused("volume", "get", AWS_ACCESS_KEY="").startswith("ec2.accessKey ($AWS_ACCESS_KEY) is missing")
    said = shell.refused("volume", "get", AWS_ACCESS_KEY="", AWS_SECRET_KEY="")
    assert "no credentials for EC2: set AWS_ACCESS_KEY and AWS_SECRET_KEY (ec2.accessKey, ec2.secretKey)" in said
    assert "mine" in shell.refused("volume", "get", AWS_ACCESS_KEY="", AWS_SECRET_KEY="", AWS_PROFILE="mine")


def test_an_endpoint_that_nobody_answers_at_is_told_by_the_setting(shell: Shell) -> None:
    for url in ("http://127.0.0.1:9", "http://ec2.invalid"):
        said = shell.refused("volume", "get", EC2_ENDPOINT=url, EC2_MAXRETRIES="1")
        assert f"{url} cannot be reached" in said
        assert "ec2.region ($AWS_REGION) and ec2.endpoint" in said


def test_a_region_that_is_wrong_is_told_by_the_setting(shell: Shell, guest: Guest) -> None:
    volume = guest.make("data")
    assert "ec2.region ($AWS_REGION)" in shell.refused("volume", "get", AWS_REGION="us west")
    assert ELSEWHERE in shell.refused("volume", "get", volume, AWS_REGION=ELSEWHERE)
    assert ELSEWHERE in shell.refused("volume", "ls", volume, AWS_REGION=ELSEWHERE)


def test_a_metadata_service_that_is_not_there_is_told_by_the_setting(shell: Shell) -> None:
    nobody = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9"}
    for region in ({}, {"AWS_REGION": REGION}):
        said = shell.refused("volume", "get", **nobody, **region)
        assert "instance metadata service http://127.0.0.1:9" in said
        assert "REXRAY_REMOTEMANAGEMENT=true and ec2.instanceID" in said
    said = shell.refused("volume", "get", AWS_EC2_METADATA_SERVICE_ENDPOINT="nonsense")
    assert said.startswith("ec2.metadataEndpoint ($AWS_EC2_METADATA_SERVICE_ENDPOINT): 'nonsense'")
    assert shell.say("volume", "ls", "--attached", "-q", **nobody, AWS_REGION=REGION) == ""


def test_what_ec2_refuses_to_make_is_told_in_one_line(shell: Shell, cloud: Cloud, guest: Guest) -> None:
    volume = guest.make("data", gib=4)
    shell.say("snapshot", "create", "--volumeid", volume, "--snapshotname", "s")
    said = shell.refused("volume", "create", "new", "--volumetype", "gp9")
    assert "'gp9' (UnknownVolumeType): choose a type by volumetype or rexray.docker.volumeType" in said
    said = shell.refused("volume", "create", "new", "--snapshotname", "s", "--size", "2")
    assert "2 GiB are less than the 4 GiB of snapshot" in said
    assert "throughput: 'fast' is not a whole number" in shell.refused(
        "volume", "create", "new", "-o", "throughput=fast"
    )
    assert "iops" in shell.refused("volume", "create", "new", "--volumetype", "io2")
    assert "65536 GiB" in shell.refused("volume", "expand", "data", "--size", "65537")
    cloud.control(volume_quota=1)
    said = shell.refused("volume", "create", "new", "--size", "1")
    assert "(VolumeLimitExceeded)" in said
    assert "EBS quota" in said
    cloud.control(volume_quota=0, attach_limit=1)
    assert "(AttachmentLimitExceeded)" in shell.refused("volume", "attach", "data")
    assert len(cloud.state()["volumes"]) == 2


def test_the_secret_is_in_no_log(shell: Shell, cloud: Cloud, guest: Guest) -> None:
    answer = shell.run("-d", "-l", "debug", "volume", "get")
    assert answer.returncode == 0
    assert SECRET_KEY not in answer.stdout + answer.stderr
    assert environ(cloud.url)["AWS_SECRET_KEY"] == SECRET_KEY
    assert SECRET_KEY not in shell.say("env")

"""``rexray csi`` against a real gRPC server on a real socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import yaml

from rexray.cli import main
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.rpc import CALLS
from rexray.testing.csi import Fault, MemoryCSI, Script, serving

CANARY = "s3cr3t-canary"
DEFAULT_CAP = pb.VolumeCapability(
    mount=pb.VolumeCapability.MountVolume(), access_mode=pb.VolumeCapability.AccessMode(mode="SINGLE_NODE_WRITER")
)


@dataclass
class Done:
    """How a run of the program ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def service() -> MemoryCSI:
    return MemoryCSI()


@pytest.fixture
def endpoint(service: MemoryCSI, script: Script, tmp_path: Path) -> Iterator[str]:
    with serving(service, script, f"unix:{tmp_path}/csi.sock") as endpoint:
        yield endpoint


@pytest.fixture
def run(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``rexray csi`` with $CSI_ENDPOINT set, in a home of its own."""
    for name in [name for name in os.environ if name.startswith(("REXRAY_", "X_CSI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("REXRAY_HOME", str(tmp_path))
    monkeypatch.setenv("CSI_ENDPOINT", endpoint)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(["csi", *words])
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, captured.out, captured.err)

    return run


def ok(done: Done) -> str:
    """The output of a run that went well."""
    assert (done.status, done.err) == (0, "")
    return done.out


def test_the_life_of_a_volume(run: Run, service: MemoryCSI, tmp_path: Path) -> None:
    assert ok(run("new", "MyNewVolume", "--req-bytes", "1GiB")) == "MyNewVolume\t1073741824\tpath=/vol/MyNewVolume\n"
    assert ok(run("ls")) == "MyNewVolume\t1073741824\tpath=/vol/MyNewVolume\n"
    assert ok(run("att", "MyNewVolume")) == "MyNewVolume\tdevice=/dev/MyNewVolume\n"
    assert service.published == {"MyNewVolume": {"node-1"}}
    assert ok(run("stage", "MyNewVolume", "--staging-target-path", "stage")) == "MyNewVolume\n"
    assert service.staged == {("MyNewVolume", f"{tmp_path}/stage")}
    staging = ("--staging-target-path", "/" + str(tmp_path / "stage").lstrip("/"))
    assert ok(run("mnt", "MyNewVolume", "--target-path", "/data", *staging)) == "MyNewVolume\n"
    assert ok(run("stats", "MyNewVolume:/data")).splitlines() == [
        "MyNewVolume\t/data\t60\t100\t40\tBYTES",
        "MyNewVolume\t/data\t9\t10\t1\tINODES",
    ]
    assert ok(run("expand", "MyNewVolume", "--req-bytes", "2GiB")) == "MyNewVolume\t2147483648\n"
    assert ok(run("node-expand", "MyNewVolume", "/data")) == "MyNewVolume\t2147483648\n"
    assert ok(run("umount", "MyNewVolume", "--target-path", "/data")) == "MyNewVolume\n"
    assert ok(run("unstage", "MyNewVolume", *staging)) == "MyNewVolume\n"
    assert ok(run("det", "MyNewVolume")) == "MyNewVolume\n"
    assert ok(run("rm", "MyNewVolume")) == "MyNewVolume\n"
    assert (service.volumes, service.mounted, service.staged) == ({}, set(), set())
    assert ok(run("ls")) == ""


def test_create_sends_all_that_was_said(run: Run, script: Script) -> None:
    ok(run("new", "origin"))
    assert script.last(pb.CreateVolumeRequest) == pb.CreateVolumeRequest(
        name="origin", volume_capabilities=[DEFAULT_CAP]
    )
    words = "--req-bytes 512MiB --lim-bytes 1073741824 --cap 5,2,xfs,noatime,uid=5 --cap MULTI_NODE_READER_ONLY,block"
    words += " --params a=1,b=2 --params c=x=y --mutable-params iops=9 --source-volume origin"
    words += " --topology zone=z1,rack=r1 --topology zone=z2"
    ok(run("new", "copy", "other", *words.split()))
    request = script.last(pb.CreateVolumeRequest)
    assert request.name == "other"
    assert request.capacity_range == pb.CapacityRange(required_bytes=2**29, limit_bytes=2**30)
    first, second = request.volume_capabilities
    assert first.access_mode.mode == pb.VolumeCapability.AccessMode.MULTI_NODE_MULTI_WRITER
    assert first.mount == pb.VolumeCapability.MountVolume(fs_type="xfs", mount_flags=["noatime", "uid=5"])
    assert second.HasField("block")
    assert dict(request.parameters) == {"a": "1", "b": "2", "c": "x=y"}
    assert dict(request.mutable_parameters) == {"iops": "9"}
    assert request.volume_content_source.volume.volume_id == "origin"
    places = [dict(place.segments) for place in request.accessibility_requirements.preferred]
    assert places == [{"zone": "z1", "rack": "r1"}, {"zone": "z2"}]
    ok(run("create", "restored", "--source-snapshot", "s1"))
    assert script.last(pb.CreateVolumeRequest).volume_content_source.snapshot.snapshot_id == "s1"


def test_publishing_sends_all_that_was_said(run: Run, script: Script) -> None:
    ok(run("new", "v"))
    context = ("--vol-context", "k=v")
    ok(run("attach", "v", "--node-id", "n2", "--read-only", "--cap", "single-node-reader-only,mount", *context))
    attach = script.last(pb.ControllerPublishVolumeRequest)
    assert (attach.node_id, attach.readonly, dict(attach.volume_context)) == ("n2", True, {"k": "v"})
    assert attach.volume_capability.access_mode.mode == pb.VolumeCapability.AccessMode.SINGLE_NODE_READER_ONLY
    paths = ("--staging-target-path", "/s")
    ok(run("stage", "v", *paths, "--pub-context", "device=/dev/v", *context))
    stage = script.last(pb.NodeStageVolumeRequest)
    assert (dict(stage.publish_context), dict(stage.volume_context)) == ({"device": "/dev/v"}, {"k": "v"})
    ok(run("mount", "v", *paths, "--target-path", "/t", "--read-only", "--pub-context", "device=/dev/v"))
    mount = script.last(pb.NodePublishVolumeRequest)
    assert (mount.target_path, mount.staging_target_path, mount.readonly) == ("/t", "/s", True)
    assert mount.volume_capability == DEFAULT_CAP
    ok(run("detach", "v", "--node-id", ""))
    assert script.last(pb.ControllerUnpublishVolumeRequest).node_id == ""


def test_the_rest_of_the_volume_verbs(run: Run, script: Script) -> None:
    ok(run("new", "v"))
    assert ok(run("get", "v")) == "v\t0\tpath=/vol/v\n"
    assert ok(run("modify", "v", "--mutable-params", "iops=9")) == "v\n"
    assert dict(script.last(pb.ControllerModifyVolumeRequest).mutable_parameters) == {"iops": "9"}
    assert ok(run("validate", "v")) == 'v\ttrue\t""\n'
    assert ok(run("validate", "v", "--cap", "1,1")) == "v\tfalse\tno block volumes here\n"
    assert ok(run("capacity", "--params", "pool=p", "--topology", "zone=z1")) == "1099511627776\n"
    request = script.last(pb.GetCapacityRequest)
    assert (dict(request.parameters), dict(request.accessible_topology.segments)) == ({"pool": "p"}, {"zone": "z1"})


def test_snapshots(run: Run, script: Script) -> None:
    ok(run("new", "v", "w"))
    line = "s1\t0\tv\t2017-07-14T02:40:00Z\ttrue\n"
    assert ok(run("snap", "s1", "--source-volume", "v", "--params", "k=v")) == line
    assert dict(script.last(pb.CreateSnapshotRequest).parameters) == {"k": "v"}
    ok(run("snap", "s2", "--source-volume", "w"))
    assert ok(run("snapshots", "--source-volume-id", "v")) == line
    assert ok(run("sl", "--snapshot-id", "s1")) == line
    assert ok(run("getsnap", "s1")) == line
    assert ok(run("delsnap", "s1", "s2")) == "s1\ns2\n"
    assert ok(run("sl")) == ""


def test_group_snapshots(run: Run, script: Script) -> None:
    ok(run("new", "v", "w"))
    line = 'g1\t""\ttrue\tg1-v,g1-w\n'
    assert ok(run("groupsnap", "new", "g1", "--source-volume", "v", "--source-volume", "w")) == line
    assert ok(run("group", "get", "g1", "--snapshot-id", "g1-v", "--snapshot-id", "g1-w")) == line
    assert list(script.last(pb.GetVolumeGroupSnapshotRequest).snapshot_ids) == ["g1-v", "g1-w"]
    assert ok(run("groupsnap", "rm", "g1")) == "g1\n"
    assert run("groupsnap", "get", "g1").status == 5


def test_blocks_of_snapshots(run: Run, script: Script) -> None:
    assert ok(run("metadata", "allocated", "s", "--starting-offset", "1")) == "8192\t4096\n16384\t4096\n"
    assert ok(run("metadata", "delta", "a", "b", "--max-results", "5")) == "4096\t512\n"
    request = script.last(pb.GetMetadataDeltaRequest)
    assert (request.base_snapshot_id, request.target_snapshot_id, request.max_results) == ("a", "b", 5)


def test_health(run: Run, service: MemoryCSI, script: Script) -> None:
    entry = pb.VolumeHealth.VolumeHealthEntry(status=pb.DEGRADED, reason="Slow", message="one disk is slow")
    service.sick["v"] = pb.VolumeHealth(volume_id="v", health_statuses=[entry])
    ok(run("new", "v", "w"))
    assert ok(run("health")) == "v\tDEGRADED\tSlow\tone disk is slow\n"
    assert ok(run("health", "w")) == 'w\tOK\t""\t""\n'
    assert ok(run("node-health", "a:b:/t:/s", "v:/t")).startswith("a:b\tOK")
    assert script.requests[-2] == pb.NodeGetVolumeHealthRequest(
        volume_id="a:b", volume_publish_path="/t", staging_target_path="/s"
    )
    assert ok(run("storage-health")) == "STORAGE_DEGRADED\tPathDown\tone of two paths is down\n"


def test_who_it_is_and_what_it_can_do(run: Run) -> None:
    assert ok(run("info")) == "memory.rexray.io\t1.0\tkind=test\n"
    assert ok(run("node-info")) == "node-1\t8\tzone=z1\n"
    assert ok(run("probe")) == "true\n"
    lines = ok(run("caps")).splitlines()
    assert lines[:4] == [
        "plugin\tCONTROLLER_SERVICE",
        "plugin\tGROUP_CONTROLLER_SERVICE",
        "plugin\tVOLUME_EXPANSION_ONLINE",
        "controller\tCREATE_DELETE_VOLUME",
    ]
    assert "group_controller\tCREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT" in lines
    assert lines[-1] == "node\t99"
    assert ok(run("identity", "caps")).splitlines()[-1] == "VOLUME_EXPANSION_ONLINE"
    assert ok(run("c", "capabilities")).startswith("CREATE_DELETE_VOLUME\n")
    assert ok(run("group", "caps")) == "CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT\n"
    assert ok(run("node", "get-capabilities")).startswith("STAGE_UNSTAGE_VOLUME\n")


@pytest.mark.parametrize(
    ("words", "request_type"),
    [
        ("controller new v", pb.CreateVolumeRequest),
        ("c create-volume v", pb.CreateVolumeRequest),
        ("c n v", pb.CreateVolumeRequest),
        ("c c v", pb.CreateVolumeRequest),
        ("create-volume v", pb.CreateVolumeRequest),
        ("d v", pb.DeleteVolumeRequest),
        ("c d v", pb.DeleteVolumeRequest),
        ("volumes", pb.ListVolumesRequest),
        ("c ls", pb.ListVolumesRequest),
        ("s --source-volume base x", pb.CreateSnapshotRequest),
        ("c s --source-volume base x", pb.CreateSnapshotRequest),
        ("ds x", pb.DeleteSnapshotRequest),
        ("c publish base --node-id n", pb.ControllerPublishVolumeRequest),
        ("c unpublish base --node-id n", pb.ControllerUnpublishVolumeRequest),
        ("n unpublish base --target-path /t", pb.NodeUnpublishVolumeRequest),
        ("node umount base --target-path /t", pb.NodeUnpublishVolumeRequest),
        ("node exp base /t", pb.NodeExpandVolumeRequest),
        ("c exp base", pb.ControllerExpandVolumeRequest),
        ("n info", pb.NodeGetInfoRequest),
        ("i info", pb.GetPluginInfoRequest),
        ("ident probe", pb.ProbeRequest),
    ],
)
def test_the_verbs_and_aliases_of_csc(
    words: str, request_type: type[pb.ProbeRequest], run: Run, script: Script
) -> None:
    ok(run("new", "base"))
    script.requests.clear()
    ok(run(*words.split()))
    assert [type(request) for request in script.requests] == [request_type]


def test_there_is_a_verb_for_every_call(run: Run) -> None:
    pages = [ok(run(*group, "--help")) for group in ((), ("group",), ("metadata",), ("c",), ("i",), ("n",))]
    text = " ".join(" ".join(pages).split()).replace("Controller{Get,List}VolumeHealth", "")
    unnamed = {"ControllerGetVolumeHealth", "ControllerListVolumeHealth"}
    assert [call.name for call in CALLS if f"({call.name})" not in text and call.name not in unnamed] == []


def test_a_word_that_could_mean_two_verbs_is_not_guessed(run: Run, script: Script) -> None:
    done = run("publish", "v")
    assert done.status == 2
    assert "'att' attaches a volume (controller), 'mnt' mounts it (node)" in done.err
    assert script.requests == []


@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_the_connection_flags_may_stand_anywhere(
    place: str, run: Run, endpoint: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSI_ENDPOINT", "nowhere.sock")
    flags = ["-e", endpoint, "-t", "5s", "-m", "Who=me,why=x", "--metadata", "when=now"]
    where = {"before": [*flags, "i", "probe"], "between": ["i", *flags, "probe"], "after": ["i", "probe", *flags]}
    assert ok(run(*where[place])) == "true\n"
    assert {("who", "me"), ("why", "x"), ("when", "now")} <= set(script.metadata)


def test_a_relative_socket_path(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSI_ENDPOINT", "csi.sock")
    assert ok(run("probe")) == "true\n"


def test_a_tcp_endpoint(run: Run, service: MemoryCSI, script: Script) -> None:
    with serving(service, script, "127.0.0.1:0") as endpoint:
        assert ok(run("probe", "-e", endpoint)) == "true\n"


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
def test_the_exit_status_is_that_of_the_call(status: grpc.StatusCode, run: Run, script: Script) -> None:
    script.faults["DeleteVolume"] = Fault(status, "two\nlines \x1b[31m")
    done = run("rm", "v", "w")
    name = status.name.title().replace("_", "")
    assert done == Done(status.value[0], "", f"error: {name}: DeleteVolume: two\\nlines \\x1b[31m\n")
    assert len(script.requests) == 1


def test_what_was_done_before_an_error_is_printed(run: Run) -> None:
    ok(run("new", "a", "b"))
    done = run("get", "a", "none", "b")
    assert (done.status, done.out) == (5, "a\t0\tpath=/vol/a\n")
    assert done.err == "error: NotFound: ControllerGetVolume: no volume 'none'\n"
    assert run("get", "a", "none", "b", "--format", "table").out.startswith("ID  SIZE")


def test_a_call_that_takes_too_long(run: Run, script: Script) -> None:
    script.stalled.add("Probe")
    started = time.monotonic()
    done = run("probe", "-t", "200ms")
    assert (done.status, done.out) == (4, "")
    assert done.err.startswith("error: DeadlineExceeded: Probe: no answer from ")
    assert time.monotonic() - started < 5


def test_nobody_at_the_endpoint(run: Run) -> None:
    done = run("ls", "-e", "/none.sock")
    assert done == Done(14, "", "error: Unavailable: no CSI service at /none.sock: No such file or directory\n")


def test_attaching_at_an_endpoint_without_a_node(run: Run, service: MemoryCSI, script: Script, tmp_path: Path) -> None:
    with serving(service, script, f"unix:{tmp_path}/c.sock", ["Identity", "Controller", "GroupController"]) as other:
        done = run("att", "v", "-e", other)
        assert (done.status, done.err) == (
            12,
            "error: Unimplemented: this endpoint is no node: say which with --node-id\n",
        )
        assert "node\t" not in ok(run("caps", "-e", other))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("new", "Missing argument"),
        ("new v --cap SINGLE_NODE_WRITTER,mount", "did you mean SINGLE_NODE_WRITER?"),
        ("new v --cap 9,mount", "is no access mode: say one of UNKNOWN, SINGLE_NODE_WRITER"),
        ("new v --cap SINGLE_NODE_WRITER", "such as SINGLE_NODE_WRITER,mount,ext4"),
        ("new v --cap 1,file", "say mount or block"),
        ("new v --cap 1,block,ext4", "has no filesystem"),
        ("new v --req-bytes many", "is not a size"),
        ("new v --req-bytes -5", "is not a size"),
        ("new v --req-bytes 99999999999999999999", "too large"),
        ("new v --params =x", "a pair has no key"),
        ("new v --source-volume a --source-snapshot b", "one source"),
        ("ls --max-entries -1", "range"),
        ("ls -t forever", "is no duration"),
        ("ls -t 0", "longer than nothing"),
        ("ls -e http://x", "is no endpoint"),
        ("stats v", "VOLUME_ID:/path"),
        ("mnt v", "--target-path"),
        ("rmm v", "Did you mean 'rm'?"),
        ("ls --paginng", "--paging"),
        ("ls --format template", "--template TEXT"),
        ("new w --template {id", "expected '}'"),
        ("ls --template {nme}", "there is no {nme}, only {id} {size} {nodes} {source} {topology} {context}"),
    ],
)
def test_wrong_usage(words: str, message: str, run: Run, service: MemoryCSI, script: Script) -> None:
    service.volumes["v"] = pb.Volume(volume_id="v")
    done = run(*words.split())
    assert (done.status, done.out) == (2, "")
    assert message in " ".join(done.err.split())
    assert script.requests == []


@pytest.mark.parametrize("text", ["9007199254740993", "8EiB0", "1.5GiB", "2G"])
def test_sizes_are_exact(text: str, run: Run, script: Script) -> None:
    expected = {"9007199254740993": 2**53 + 1, "1.5GiB": 3 * 2**29, "2G": 2**31}
    done = run("new", "v", "--req-bytes", text)
    if text in expected:
        assert done.status == 0
        assert script.last(pb.CreateVolumeRequest).capacity_range.required_bytes == expected[text]
    else:
        assert done.status == 2


def test_secrets_reach_the_calls_that_take_them_and_nobody_else(
    run: Run, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X_CSI_SECRETS", f'user=me, "password={CANARY}, with comma"')
    ok(run("new", "v"))
    assert dict(script.last(pb.CreateVolumeRequest).secrets) == {"user": "me", "password": f"{CANARY}, with comma"}
    script.faults["DeleteVolume"] = Fault(grpc.StatusCode.INTERNAL, f"cannot log in as me with '{CANARY}, with comma'")
    done = run("-d", "-l", "debug", "rm", "v")
    assert done == Done(13, "", "error: Internal: DeleteVolume: cannot log in as *** with '***'\n")
    assert dict(script.last(pb.DeleteVolumeRequest).secrets)["password"] == f"{CANARY}, with comma"
    for words in ("ls", "snap s --source-volume v", "att v", "storage-health", "metadata allocated s"):
        for fmt in ("json", "table"):
            done = run(*words.split(), "--format", fmt, "-d")
            assert done.status == 0
            assert CANARY not in done.out + done.err
    assert dict(script.last(pb.GetMetadataAllocatedRequest).secrets)["user"] == "me"


@pytest.mark.parametrize("text", [f'"password={CANARY}', f"={CANARY}", f'user="{CANARY}" x,"'])
def test_secrets_that_cannot_be_read_are_not_shown(text: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_CSI_SECRETS", text)
    done = run("ls")
    assert done.status == 2
    assert "$X_CSI_SECRETS is not key=value,key=value" in done.err
    assert CANARY not in done.err


def test_names_in_every_script_and_shape(run: Run, service: MemoryCSI) -> None:
    names = ["größe", "音量 大", 'say "hi"', "back\\slash", " edge", "tab\there", "bidi\u202e", "-dash", "x" * 128]
    lines = ok(run("new", "--format", "template", "--template", "{id}", "--", *names)).splitlines()
    assert lines == [*names]
    service.volumes = {name: pb.Volume(volume_id=name) for name in names}
    assert [line.split("\t")[0] for line in ok(run("ls")).splitlines()] == [
        '" edge"',
        "-dash",
        '"back\\\\slash"',
        '"bidi\\u202e"',
        "größe",
        '"say \\"hi\\""',
        '"tab\\there"',
        "x" * 128,
        "音量 大",
    ]
    ok(run("rm", "--", *names))
    assert service.volumes == {}


def test_a_list_page_by_page_and_at_once(run: Run, service: MemoryCSI, script: Script) -> None:
    service.volumes = {f"v{number:04}": pb.Volume(volume_id=f"v{number:04}") for number in range(1000)}
    assert len(ok(run("ls")).splitlines()) == 1000
    page = ok(run("ls", "--max-entries", "2", "--starting-token", "page-4"))
    assert page == "v0004\t0\nv0005\t0\ntoken=page-6\n"
    assert len(script.requests) == 2
    everything = ok(run("ls", "--max-entries", "64", "--paging"))
    assert [line.split("\t")[0] for line in everything.splitlines()] == sorted(service.volumes)
    assert len(script.requests) == 2 + 16
    done = run("ls", "--max-entries", "2", "--format", "table")
    assert (len(done.out.splitlines()), done.err) == (3, "token=page-2\n")
    pages = ok(run("ls", "--max-entries", "500", "--paging", "--format", "json")).splitlines()
    assert [len(json.loads(page)["entries"]) for page in pages] == [500, 500]
    assert run("ls", "--starting-token", "nonsense").status == 10


def test_json_is_complete(run: Run) -> None:
    ok(run("new", "v"))
    ok(run("att", "v"))
    volume = {
        "capacity_bytes": "0",
        "volume_id": "v",
        "volume_context": {"path": "/vol/v"},
        "accessible_topology": [],
    }
    status = {"published_node_ids": ["node-1"]}
    line = ok(run("ls", "--format", "json"))
    assert line.count("\n") == 1
    assert json.loads(line) == {"entries": [{"volume": volume, "status": status}], "next_token": ""}
    assert json.loads(ok(run("get", "v", "--format", "jsonp"))) == {"volume": volume, "status": status}
    assert json.loads(ok(run("att", "v", "--format", "json"))) == {
        "volume_id": "v",
        "publish_context": {"device": "/dev/v"},
    }
    lines = ok(run("rm", "v", "w", "--format", "json")).splitlines()
    assert [json.loads(line) for line in lines] == [{"volume_id": "v"}, {"volume_id": "w"}]
    assert set(json.loads(ok(run("caps", "--format", "json")))) == {"plugin", "controller", "group_controller", "node"}


def test_yaml_of_several_responses_is_one_list(run: Run) -> None:
    text = ok(run("new", "v", "w", "--format", "yaml"))
    assert text.startswith("- volume:\n    volume_id: v\n")
    assert [item["volume"]["volume_id"] for item in yaml.safe_load(text)] == ["v", "w"]


def test_a_table_has_more_columns_than_a_line(run: Run) -> None:
    ok(run("new", "v", "--topology", "zone=z1"))
    ok(run("att", "v"))
    assert ok(run("ls", "--format", "table")).splitlines() == [
        "ID  SIZE  NODES   SOURCE  TOPOLOGY  CONTEXT",
        "v   0     node-1          zone=z1   path=/vol/v",
    ]


def test_the_program_itself(endpoint: str, tmp_path: Path) -> None:
    environment = {**os.environ, "CSI_ENDPOINT": "csi.sock", "HOME": str(tmp_path), "X_CSI_SECRETS": f"key={CANARY}"}

    def rexray(*words: str, code: str = "from rexray.cli import main; main()") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "csi", *words]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60
        )

    done = rexray("-d", "-l", "debug", "new", "MyNewVolume")
    assert (done.returncode, done.stdout) == (0, "MyNewVolume\t0\tpath=/vol/MyNewVolume\n")
    assert CANARY not in done.stderr
    done = rexray("get", "nobody")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "error: NotFound: ControllerGetVolume: no volume 'nobody'\n"
    for missing in ("grpc", "google"):
        without = f"import sys; sys.modules[{missing!r}] = None; from rexray.cli import main; main()"
        done = rexray("ls", code=without)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "error: rexray csi needs grpcio: pip install 'rexray-core[csi]'\n"

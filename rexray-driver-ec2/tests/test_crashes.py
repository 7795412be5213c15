"""A process that is killed before or after any of its calls to EC2 leaves what the next try puts right.

EC2's calls are all that the driver leaves behind, so that its named fault points, which are between two calls, add
nothing to this. Snapshots have no idempotency token: where EC2 is slow to show the first, a second may be made.
"""

from __future__ import annotations

import functools
import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from crash_parts import Call, Ending, Forker, ids_in, tag
from ec2_parts import Cloud, Drop, Proxy, client, environ

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import SnapshotTypeDef, VolumeTypeDef

GIB = 1 << 30
SIDES = [
    ("us-west-1", "eu-west-1"),
    ("us-west-2", "eu-west-2"),
    ("us-east-1", "eu-west-3"),
    ("us-east-2", "eu-north-1"),
    ("eu-central-1", "ap-south-1"),
    ("ca-central-1", "sa-east-1"),
]
"""For each of the cases that are run at once, a region and where snapshots of it are copied to."""
SECONDS = 0.15
"""How long a change takes in the cloud: the next try begins before it is done."""
PASSING = {"creating", "deleting", "attaching", "detaching", "pending"}

_numbers = itertools.count(1)


@functools.cache
def _client(url: str, region: str) -> EC2Client:
    return client(url, region)


class Scene:
    """What a call finds in a region, and words for what there is then; what was there before is left out."""

    def __init__(self, cloud: Cloud, region: str, other: str, instances: dict[str, str]) -> None:
        self.cloud, self.region, self.other, self.instances = cloud, region, other, instances
        self.prefix = f"{next(_numbers)}-"
        self.ec2 = _client(cloud.url, region)
        self.places = {"": self.ec2}
        self.words: dict[str, str] = {}
        self.prepared: set[str] = set()
        self.devices: set[str] = set()
        volumes, snapshots = self._look()
        self.kept = {item["VolumeId"] for item in volumes} | {item["SnapshotId"] for _, item in snapshots}

    def _look(self) -> tuple[list[VolumeTypeDef], list[tuple[str, SnapshotTypeDef]]]:
        """Everything there is, of which this finds words for what is new."""
        volumes = self.ec2.describe_volumes()["Volumes"]
        self.devices = {raw["Device"] for item in volumes for raw in item["Attachments"]}
        for item in volumes:
            if item["VolumeId"] not in self.prepared:
                self.words[item["VolumeId"]] = f"new {tag(item).removeprefix(self.prefix) or 'nameless one'}"
        snapshots = [
            (place, item)
            for place, ec2 in self.places.items()
            for item in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        ]
        for _, snap in snapshots:
            name = tag(snap).removeprefix(self.prefix) or f"nameless one of {self.words.get(snap['VolumeId'])}"
            self.words.setdefault(snap["SnapshotId"], f"new {name}")
        return volumes, snapshots

    # What is there before the call.

    def named(self, name: str) -> str:
        return self.prefix + name

    def volume(self, name: str = "old", **more: Any) -> str:
        parameters = {"AvailabilityZone": f"{self.region}a", "Size": 2, "VolumeType": "gp3", **more}
        tags: Any = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": self.named(name)}]}]
        made = self.ec2.create_volume(**parameters, TagSpecifications=tags)["VolumeId"]
        self.words[made] = name
        self.prepared.add(made)
        self.wait()
        return made

    def snapshot(self, volume: str, name: str = "kept") -> str:
        tags: Any = [{"ResourceType": "snapshot", "Tags": [{"Key": "Name", "Value": self.named(name)}]}]
        made = self.ec2.create_snapshot(VolumeId=volume, TagSpecifications=tags)["SnapshotId"]
        self.words[made] = name
        self.wait()
        return made

    def attach(self, volume: str, instance: str) -> None:
        self.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/xvdp")
        self.wait()

    def instance(self, name: str) -> str:
        """An instance, the same one for all scenes of the region."""
        if name not in self.instances:
            self.instances[name] = self.cloud.run_instance(f"{self.region}a")
            self.kept |= {item["VolumeId"] for item in self._look()[0]} - self.prepared
        self.words[self.instances[name]] = name
        return self.instances[name]

    def look_abroad(self) -> None:
        self.places[" there"] = there = _client(self.cloud.url, self.other)
        self.kept |= {item["SnapshotId"] for item in there.describe_snapshots(OwnerIds=["self"])["Snapshots"]}

    # What is there after it.

    def learn(self, action: str, _: object) -> None:
        """Find a word for a snapshot that will not be there for long."""
        if action == "CreateSnapshot":
            self._look()

    def worded(self, text: str) -> str:
        for word in ids_in(text):
            text = text.replace(word, self.words.get(word, "unknown"))
        for device in self.devices:
            text = text.replace(device, "there")
        return text

    def seen(self) -> list[str]:
        """Everything there is, in words."""
        volumes, snapshots = self._look()
        lost = self.kept - {item["VolumeId"] for item in volumes} - {item["SnapshotId"] for _, item in snapshots}
        return sorted(
            [self._of_volume(item) for item in volumes if item["VolumeId"] not in self.kept]
            + [self._of_snapshot(item, place) for place, item in snapshots if item["SnapshotId"] not in self.kept]
            + [f"lost {word}" for word in lost]
        )

    def _of_snapshot(self, item: SnapshotTypeDef, place: str) -> str:
        source = self.worded(tag(item, "rexray:source") or item["VolumeId"])
        shown = f"snapshot {self.words[item['SnapshotId']]}{place}: {item['VolumeSize']} GiB of {source}"
        return shown + self._rest(item, item["State"])

    def _of_volume(self, item: VolumeTypeDef) -> str:
        held = [f" {raw['State']} {self.words[raw['InstanceId']]}" for raw in item["Attachments"]]
        origin = f" of {self.words[item['SnapshotId']]}" if item.get("SnapshotId") else ""
        kind = f"{item['Size']} GiB {item['VolumeType']} {item.get('Iops')}"
        return f"{self.words[item['VolumeId']]}: {kind}{origin}{''.join(held)}{self._rest(item, item['State'])}"

    def _rest(self, item: VolumeTypeDef | SnapshotTypeDef, state: str) -> str:
        """What is not as it is with most: the state, another name than was found first, a clone's mark."""
        rest = "" if state in ("available", "in-use", "completed") else f" {state}"
        rest += "" if tag(item).startswith(self.prefix) else " without a name"
        return rest + (" for a clone" if tag(item, "rexray:clone") else "")

    def wait(self) -> None:
        """Until what was begun is done."""
        time.sleep(SECONDS)
        self.settle()

    def settle(self) -> list[str]:
        """What there is once nothing changes any more."""
        until = time.monotonic() + 5
        while True:
            seen = self.seen()
            if not PASSING & {word for line in seen for word in line.split()} or time.monotonic() > until:
                return seen
            time.sleep(SECONDS / 2)


@dataclass(frozen=True)
class Operation:
    prepare: Callable[[Scene], Call]
    answer: str
    """What the call returns, in a scene's words."""
    left: list[str]
    """What there is after it."""
    again: set[str] = field(default_factory=set)
    """Calls that could change something, and are made in vain when the operation is repeated."""


def creating(scene: Scene, **more: Any) -> Call:
    return "create", {"name": scene.named("data"), "zone": f"{scene.region}a", **more}


def restoring(scene: Scene) -> Call:
    kept = scene.snapshot(scene.volume())
    return creating(scene, source_snapshot=kept, size_bytes=3 * GIB)


def attaching(scene: Scene, *, force: bool) -> Call:
    volume = scene.volume()
    if force:
        scene.attach(volume, scene.instance("j"))
    return "attach", {"volume_id": volume, "instance_id": scene.instance("i"), "force": force}


def detaching(scene: Scene, *, named: bool) -> Call:
    volume = scene.volume()
    instance = scene.instance("i")
    scene.attach(volume, instance)
    return "detach", {"volume_id": volume, "instance_id": instance if named else None}


def copying(scene: Scene) -> Call:
    kept = scene.snapshot(scene.volume())
    scene.look_abroad()
    return "copy_snapshot", {"snapshot_id": kept, "name": scene.named("copy"), "region": scene.other}


def rolling_back(scene: Scene) -> Call:
    volume = scene.volume(VolumeType="io1", Size=4, Iops=100)
    return "rollback", {"volume_id": volume, "snapshot_id": scene.snapshot(volume)}


def removing_snapshot(scene: Scene) -> Call:
    return "remove_snapshot", {"snapshot_id": scene.snapshot(scene.volume())}


OLD = "old: 2 GiB gp3 3000"
KEPT = "snapshot kept: 2 GiB of old"

OPERATIONS = {
    "create": Operation(lambda scene: creating(scene, size_bytes=GIB), "Volume new data", ["new data: 1 GiB gp3 3000"]),
    "create from a snapshot": Operation(restoring, "Volume new data", ["new data: 3 GiB gp3 3000 of kept", OLD, KEPT]),
    "clone": Operation(
        lambda scene: creating(scene, source_volume=scene.volume(VolumeType="io1", Size=4, Iops=100)),
        "Volume new data",
        ["new data: 4 GiB io1 100 of new nameless one of old", "old: 4 GiB io1 100"],
    ),
    "attach": Operation(
        lambda scene: attaching(scene, force=False),
        "Attachment old i there",
        [f"{OLD} attached i"],
        {"AttachVolume"},
    ),
    "attach by force": Operation(
        lambda scene: attaching(scene, force=True),
        "Attachment old i there",
        [f"{OLD} attached i"],
        {"AttachVolume"},
    ),
    "detach from all": Operation(lambda scene: detaching(scene, named=False), "NoneType", [OLD]),
    "detach": Operation(lambda scene: detaching(scene, named=True), "NoneType", [OLD], {"DetachVolume"}),
    "snapshot": Operation(
        lambda scene: ("create_snapshot", {"volume_id": scene.volume(), "name": scene.named("shot")}),
        "Snapshot new shot old",
        [OLD, "snapshot new shot: 2 GiB of old"],
    ),
    "copy a snapshot": Operation(
        copying,
        "Snapshot new copy old",
        [OLD, KEPT, "snapshot new copy there: 2 GiB of old kept"],
    ),
    "expand": Operation(
        lambda scene: ("expand", {"volume_id": scene.volume(), "size_bytes": 5 * GIB}),
        "Volume old",
        ["old: 5 GiB gp3 3000"],
    ),
    "modify": Operation(
        lambda scene: ("modify", {"volume_id": scene.volume(), "options": {"type": "gp2"}}),
        "Volume old",
        ["old: 2 GiB gp2 100"],
    ),
    "roll back": Operation(
        rolling_back, "Volume new old", ["new old: 4 GiB io1 100 of kept", "snapshot kept: 4 GiB of old"]
    ),
    "remove": Operation(lambda scene: ("remove", {"volume_id": scene.volume()}), "NoneType", [], {"DeleteVolume"}),
    "remove a snapshot": Operation(removing_snapshot, "NoneType", [OLD], {"DeleteSnapshot"}),
}


@dataclass(frozen=True)
class Case:
    """Where a process is killed: at its call of that action, the first one or a later one."""

    action: str
    number: int
    after: bool
    """After the call took effect."""
    settled: bool
    """The next try begins when nothing changes any more, and at once otherwise."""

    @property
    def repeated(self) -> bool:
        """Whether there is one more try after the one that succeeds."""
        return self.after and not self.settled


@dataclass
class Outcome:
    calls: list[str] = field(default_factory=list)
    """Those of the first try."""
    killed: bool = False
    """Not if there was no such call: how often a process looks at what it waits for is not always the same."""
    wrong: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def forkers() -> Iterator[list[Forker]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Forker()) for _ in SIDES]


class Sweep:
    """Cases of an operation, some of them at once, each with a proxy of its own."""

    def __init__(self, operation: Operation, cloud: Cloud, forkers: list[Forker]) -> None:
        self.operation, self.cloud = operation, cloud
        self.free: SimpleQueue[tuple[Forker, str, str, dict[str, str]]] = SimpleQueue()
        for forker, side in zip(forkers, SIDES, strict=True):
            self.free.put((forker, *side, {}))

    def run(self, case: Case | None) -> Outcome:
        """The first try, which is killed where the case says, and the next ones, which are not."""
        forker, region, other, instances = place = self.free.get()
        try:
            with Proxy(self.cloud.url) as proxy:
                return self._tried(case, proxy, forker, Scene(self.cloud, region, other, instances))
        finally:
            self.free.put(place)

    def _tried(self, case: Case | None, proxy: Proxy, forker: Forker, scene: Scene) -> Outcome:
        call = self.operation.prepare(scene)
        settings = environ(
            proxy.url, scene.region, REXRAY_REMOTEMANAGEMENT="true", EC2_STATUSINITIALDELAY="20ms", EC2_MAXRETRIES="2"
        )
        outcome = Outcome()

        def die(action: str, _: object) -> None:
            if case is not None and (action, proxy.counts[action]) == (case.action, case.number):
                outcome.killed = True
                forker.kill()
                raise Drop

        proxy.after(scene.learn)
        if case is not None:
            (proxy.after if case.after else proxy.before)(die)
        first = forker.run(settings, call)
        outcome.calls = [action for action, _ in proxy.calls]
        if first.status != (-signal.SIGKILL if outcome.killed else 0):
            outcome.wrong.append(f"the first try ended with {first}")
        proxy.reset()
        proxy.after(scene.learn)
        if case is not None and case.settled:
            scene.wait()
        self._judge(outcome, scene, "the next try", forker.run(settings, call))
        if case is not None and not case.repeated:
            return outcome
        proxy.forget()
        self._judge(outcome, scene, "one more try", forker.run(settings, call))
        extra = {action for action in proxy.counts if not action.startswith("Describe")} - self.operation.again
        if extra:
            outcome.wrong.append(f"one more try called {extra}")
        return outcome

    def _judge(self, outcome: Outcome, scene: Scene, which: str, ending: Ending) -> None:
        left = scene.settle()
        if ending.status != 0 or scene.worded(ending.answer) != self.operation.answer:
            outcome.wrong.append(f"{which} ended with {ending.status}, {scene.worded(ending.answer)}")
        if left != sorted(self.operation.left):
            outcome.wrong.append(f"{which} left {left}")


def cases_of(calls: list[str]) -> Iterator[Case]:
    """Before each call and after it; of what changes something, the next try comes at once or later.

    The third look in a row at what is waited for, and those after it, are like the second.
    """
    seen: Counter[str] = Counter()
    for index, action in enumerate(calls):
        seen[action] += 1
        if action.startswith("Describe") and index > 1 and calls[index - 2 : index] == [action] * 2:
            continue
        yield Case(action, seen[action], after=False, settled=False)
        yield Case(action, seen[action], after=True, settled=False)
        if not action.startswith("Describe"):
            yield Case(action, seen[action], after=True, settled=True)


@pytest.mark.parametrize("name", OPERATIONS)
def test_after_a_kill_at_any_call_the_next_try_ends_as_if_it_were_the_first(
    name: str, cloud: Cloud, forkers: list[Forker]
) -> None:
    cloud.delays(**dict.fromkeys(("create", "attach", "detach", "snapshot", "copy", "modify", "delete"), SECONDS))
    sweep = Sweep(OPERATIONS[name], cloud, forkers)
    whole = sweep.run(None)
    assert whole.wrong == []
    cases = list(cases_of(whole.calls))
    with ThreadPoolExecutor(len(SIDES)) as pool:
        outcomes = list(zip(cases, pool.map(sweep.run, cases), strict=True))
    wrong = [f"{case}: {', '.join(outcome.wrong)}" for case, outcome in outcomes if outcome.wrong]
    assert not wrong, "\n".join(wrong)
    spared = {case for case, outcome in outcomes if not outcome.killed}
    assert all(case.action.startswith("Describe") and case.number > 1 for case in spared), spared

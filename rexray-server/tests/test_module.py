"""A module whose plug-in cannot be made yet: it answers what needs none, and serves as soon as it can."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from rexray import redaction
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.client import CSIClient
from rexray.csi.settings import CSISettings, Endpoint
from rexray.drivers import VolumeDriver
from rexray.errors import BrokenPlugin, InUse, RexrayError, Unavailable
from rexray.modules import ModuleSettings
from rexray.paths import find_paths
from rexray.settings import Sources
from rexray_server.module import Ground, RunningModule
from rexray_server.modules import Module, Plan
from rexray_server.monitoring.state import DEGRADED, READY
from rexray_server.settings import ServerSettings
from rexray_server.specs import SpecFiles
from server_parts import MemoryVolumes, SmallPlugin


class LatePlugin(SmallPlugin):
    """A plug-in that asks its platform when it is made; ``platform`` stands for that."""

    platform: ClassVar[Callable[[], None]]
    closed: ClassVar[list[object]] = []

    def __init__(self) -> None:
        super().__init__()
        self.volumes = MemoryVolumes()

    @classmethod
    def make(cls, sources: Sources) -> Self:
        cls.platform()
        return cls()

    def volume_driver(self) -> VolumeDriver:
        return self.volumes

    def close(self) -> None:
        self.closed.append(self)


class Rig:
    """A module over that plug-in, at a socket of its own."""

    def __init__(self, folder: Path, platform: Callable[[], None], start_timeout: float = 5.0) -> None:
        LatePlugin.platform = staticmethod(platform)
        LatePlugin.closed.clear()
        self.path = folder / "m.sock"
        paths = find_paths({"REXRAY_HOME": str(folder), "HOME": str(folder)})
        endpoint = Endpoint(path=self.path)
        sources = Sources(environ={})
        self.described = Module(name="late", settings=ModuleSettings(), endpoint=endpoint, sources=sources)
        self.plan = Plan(
            module=self.described,
            server=ServerSettings(),
            csi=CSISettings(),
            plugin=LatePlugin,
            service="",
            driver="small",
            settings=(),
            start_timeout=start_timeout,
        )
        self.changed = asyncio.Event()
        ground = Ground(
            paths=paths,
            specs=SpecFiles(paths),
            passed=(),
            make_pool=ThreadPoolExecutor,
            changed=self.changed.set,
            repaired=lambda: None,
        )
        self.module = RunningModule(self.described, ground)

    async def until(self, state: str) -> None:
        """Wait for a state."""
        while self.module.state != state:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 10)

    async def docker(self, call: str) -> tuple[int, dict[str, Any]]:
        return await asyncio.to_thread(self._docker, call)

    def _docker(self, call: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(10)
        connection.sock.connect(str(self.path))
        try:
            connection.request("POST", call, b"{}")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    async def is_ready(self) -> bool:
        """What CSI's Probe says."""

        def probe() -> bool:
            with CSIClient(str(self.path)) as client:
                return client.call(rpc.PROBE, pb.ProbeRequest(), timeout=10).ready.value

        return await asyncio.to_thread(probe)


def away() -> None:
    raise Unavailable("small: 10.0.0.1: connection refused")


def test_a_platform_that_is_away_degrades_the_module_and_it_comes_up_by_itself(short_dir: Path) -> None:
    async def run() -> None:
        rig = Rig(short_dir, away)
        await rig.module.start(rig.plan)
        assert (rig.module.state, rig.module.reason) == (DEGRADED, "small: 10.0.0.1: connection refused")
        started = time.monotonic()
        assert await rig.docker("/Plugin.Activate") == (200, {"Implements": ["VolumeDriver"]})
        assert (await rig.docker("/VolumeDriver.Capabilities"))[0] == 200
        assert not await rig.is_ready()
        status, answer = await rig.docker("/VolumeDriver.List")
        assert time.monotonic() - started < 1
        assert status == 503
        assert "module 'late' is not up yet: small: 10.0.0.1: connection refused: try again" in answer["Err"]
        with pytest.raises(RexrayError, match=r"10\.0\.0\.1: connection refused"), CSIClient(str(rig.path)) as client:
            await asyncio.to_thread(client.call, rpc.GET_PLUGIN_INFO, pb.GetPluginInfoRequest(), timeout=10)
        LatePlugin.platform = staticmethod(lambda: None)
        await rig.until(READY)
        assert await rig.docker("/VolumeDriver.List") == (200, {"Volumes": [], "Err": ""}) or (
            await rig.docker("/VolumeDriver.List")
        ) == (200, {"Volumes": []})
        await rig.module.stop(1)
        assert len(LatePlugin.closed) == 1
        assert not rig.path.exists()

    asyncio.run(run())


def test_a_platform_that_never_answers_holds_nobody_up(short_dir: Path) -> None:
    answers = threading.Event()

    async def run() -> None:
        rig = Rig(short_dir, lambda: (answers.wait(30), None)[1], start_timeout=1.0)
        starting = asyncio.create_task(rig.module.start(rig.plan))
        while not rig.path.exists():
            await asyncio.sleep(0.01)
        started = time.monotonic()
        assert await rig.docker("/Plugin.Activate") == (200, {"Implements": ["VolumeDriver"]})
        assert time.monotonic() - started < 1
        listed = asyncio.create_task(rig.docker("/VolumeDriver.List"))
        await starting
        assert (rig.module.state, rig.module.reason) == (DEGRADED, "its start takes longer than 1 s")
        assert (await listed)[0] == 503
        answers.set()
        await rig.until(READY)
        assert (await rig.docker("/VolumeDriver.List"))[0] == 200
        await rig.module.stop(1)

    asyncio.run(run())


def test_a_call_that_comes_while_the_plug_in_is_made_waits_for_it(short_dir: Path) -> None:
    answers = threading.Event()

    async def run() -> None:
        rig = Rig(short_dir, lambda: (answers.wait(30), None)[1])
        starting = asyncio.create_task(rig.module.start(rig.plan))
        while not rig.path.exists():
            await asyncio.sleep(0.01)
        listed = asyncio.create_task(rig.docker("/VolumeDriver.List"))
        await rig.docker("/Plugin.Activate")
        assert not listed.done()
        answers.set()
        assert (await listed)[0] == 200
        await starting
        assert rig.module.state == READY
        await rig.module.stop(1)

    asyncio.run(run())


def test_a_plug_in_that_is_made_for_a_module_that_has_stopped_is_closed(short_dir: Path) -> None:
    answers = threading.Event()

    async def run() -> None:
        rig = Rig(short_dir, lambda: (answers.wait(30), None)[1], start_timeout=0.1)
        await rig.module.start(rig.plan)
        assert rig.module.state == DEGRADED
        await rig.module.stop(1)
        assert not rig.path.exists()
        answers.set()
        for _ in range(500):
            if LatePlugin.closed:
                break
            await asyncio.sleep(0.01)
        assert len(LatePlugin.closed) == 1

    asyncio.run(run())


def broken() -> None:
    raise BrokenPlugin("small does not load")


def test_another_failure_is_raised_and_leaves_no_socket(short_dir: Path) -> None:
    async def run() -> None:
        rig = Rig(short_dir, broken)
        with pytest.raises(BrokenPlugin, match="small does not load"):
            await rig.module.start(rig.plan)
        assert not rig.path.exists()
        assert list((short_dir / "var/run").iterdir()) == []

    asyncio.run(run())


def test_nothing_is_made_for_a_socket_that_another_process_serves(short_dir: Path) -> None:
    made: list[None] = []

    async def run() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.bind(str(short_dir / "m.sock"))
            other.listen()
            rig = Rig(short_dir, lambda: made.append(None))
            with pytest.raises(InUse, match="another process serves it"):
                await rig.module.start(rig.plan)
        assert made == []

    asyncio.run(run())


def test_a_plug_in_that_fails_to_close_keeps_nothing_else_from_being_stopped(short_dir: Path) -> None:
    class Stubborn(LatePlugin):
        def close(self) -> None:
            super().close()
            raise TypeError("no")

    async def run() -> None:
        rig = Rig(short_dir, lambda: None)
        await rig.module.start(replace(rig.plan, plugin=Stubborn))
        await rig.module.stop(1)
        assert len(LatePlugin.closed) == 1
        assert not rig.path.exists()

    asyncio.run(run())


def test_a_backend_that_came_up_before_another_plan_is_taken_over_is_closed(short_dir: Path) -> None:
    async def run() -> None:
        rig = Rig(short_dir, lambda: None)
        await rig.module.start(rig.plan)
        first = rig.module.backend
        assert first is not None
        await rig.module.replace(rig.plan, None)
        assert LatePlugin.closed == [first.plugin]
        await rig.until(READY)
        assert rig.module.backend not in (None, first)
        await rig.module.stop(1)
        assert len(LatePlugin.closed) == 2

    asyncio.run(run())


def test_a_degraded_module_that_gets_another_name_has_its_spec_file_by_that(short_dir: Path) -> None:
    async def run() -> None:
        rig = Rig(short_dir, away)
        spec = replace(rig.described, settings=ModuleSettings(spec="true"))
        await rig.module.start(replace(rig.plan, module=spec))
        renamed = replace(rig.plan, module=replace(spec, name="later"))
        rig.module.leave_name(renamed)
        await rig.module.replace(renamed, None)
        folder = short_dir / "etc/docker/plugins"
        assert [path.name for path in folder.iterdir()] == ["later.spec"]
        await rig.module.stop(1)
        assert list(folder.iterdir()) == []

    asyncio.run(run())


def test_a_reason_has_no_secret(short_dir: Path) -> None:
    redaction.register("canary-of-a-reason")

    def refused() -> None:
        raise Unavailable("small: user x with canary-of-a-reason: refused")

    async def run() -> None:
        rig = Rig(short_dir, refused)
        await rig.module.start(rig.plan)
        assert rig.module.told().reason == "small: user x with ***: refused"
        await rig.module.stop(1)

    asyncio.run(run())


def test_a_plug_in_that_raises_what_no_future_takes_is_waited_for_no_longer(short_dir: Path) -> None:
    def stops() -> None:
        raise StopIteration("no disk")

    async def run() -> None:
        rig = Rig(short_dir, stops)
        with pytest.raises(RuntimeError, match="StopIteration: no disk"):
            await asyncio.wait_for(rig.module.start(rig.plan), 4)
        assert not rig.path.exists()

    asyncio.run(run())

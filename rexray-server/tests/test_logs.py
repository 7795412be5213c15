"""The daemon's log: its forms, the ids of requests, secrets, errors that repeat themselves."""

from __future__ import annotations

import http.client
import io
import json
import logging
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import pytest

from rexray import calls, redaction
from rexray.csi import rpc
from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.local import LocalCaller
from rexray.errors import InUse, RexrayError
from rexray_server import logs
from rexray_server.csi.pipeline import Pipeline
from rexray_server.logs_calls import told_at_debug
from rexray_server.logs_records import Preparing
from rexray_server.logs_repeats import MOST, Repeats
from rexray_server.logs_text import as_text
from rexray_server.settings import ServerSettings
from server_parts import Running, SmallPlugin

CANARY = f"Canary-{secrets.token_hex(6)}/é"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def log() -> Iterator[Callable[..., io.StringIO]]:
    """Configure the log of this process, and put it back afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in logs.QUIET}
    redaction.register(CANARY)

    def configure(level: str = "debug", form: str = "json", stream: io.StringIO | None = None) -> io.StringIO:
        for handler in before:
            root.removeHandler(handler)  # those of pytest are not to be closed
        stream = stream or io.StringIO()
        logs.configure(level, form, stream)
        return stream

    end = calls.observe(told_at_debug)
    yield configure
    end()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in before:
        root.addHandler(handler)
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


Log = Callable[..., io.StringIO]


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def raising(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 it now has a traceback
        return caught


def test_a_record_is_one_json_object_on_one_line_whatever_is_in_it(log: Log) -> None:
    stream = log()
    nasty = 'two\nlines\u2028 and\u0085more "quoted" \x00 \udcff'
    fields = {"path": nasty, "count": 3, "ok": True, "msg": "field", "none": None, nasty: 1}
    logging.getLogger("a.b").warning(nasty, exc_info=raising(ValueError(nasty)), extra={"fields": fields})
    assert len(stream.getvalue().splitlines()) == 1
    (found,) = lines(stream)
    assert found["msg"] == nasty
    assert (found["level"], found["logger"]) == ("warn", "a.b")
    assert (found["path"], found["count"], found["ok"], found["msg_"], found["none"]) == (
        nasty,
        3,
        True,
        "field",
        "None",
    )
    assert found["error"] == f"ValueError: {nasty}"
    assert found["traceback"].startswith("Traceback (most recent call last):\n")
    assert "request_id" not in found


def test_json_is_json_on_a_stream_of_another_encoding_and_with_numbers_that_it_has_not(log: Log) -> None:
    written = io.BytesIO()
    log(stream=io.TextIOWrapper(written, encoding="latin-1", errors="backslashreplace", write_through=True))
    fields = {"nan": float("nan"), "inf": float("inf"), "half": 0.5}
    logging.getLogger("x").warning("é 😀 \udcff", extra={"fields": fields})
    found = json.loads(written.getvalue().decode(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert (found["msg"], found["nan"], found["inf"], found["half"]) == ("é 😀 \udcff", "nan", "inf", 0.5)


def test_what_is_logged_while_the_log_changes_goes_through_it(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    class Leaving(logging.NullHandler):
        def close(self) -> None:
            logging.getLogger("x").warning("meanwhile %s", CANARY)
            super().close()

    log()
    logging.getLogger().addHandler(Leaving())
    assert [line["msg"] for line in lines(log())] == ["meanwhile ***"]
    assert "meanwhile" not in capfd.readouterr().err


def test_times_are_rfc_3339_in_utc(log: Log) -> None:
    stream = log()
    logging.getLogger("x").info("now")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lines(stream)[0]["time"])


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("text", io.StringIO, False),
        ("json", Terminal, True),
    ],
)
def test_the_form_follows_the_setting_and_else_the_stream(
    log: Log, form: str, stream: type[io.StringIO], is_json: bool
) -> None:
    written = log("info", form, stream())
    with calls.call("docker", "Mount", request_id="r-1"):
        logging.getLogger("x").info("mounted", extra={"fields": {"volume": "data", "path": "/a b"}})
    if is_json:
        assert lines(written)[0]["volume"] == "data"
    else:
        assert re.match(r"INFO\[\d{4,}\] ", written.getvalue())
        assert written.getvalue().endswith(' volume=data path="/a b" request_id=r-1\n')


def test_a_message_cannot_forge_a_line_of_text(log: Log) -> None:
    written = log("info", "text")
    logging.getLogger("x").info("one\nERRO[0000] forged")
    assert len(written.getvalue().splitlines()) == 1


def test_levels_beyond_the_four_have_the_nearest_word_below(log: Log) -> None:
    stream = log()
    logger = logging.getLogger("x")
    logger.critical("c")
    logger.log(25, "between")
    assert [line["level"] for line in lines(stream)] == ["error", "info"]


def test_json_is_told_to_people_as_text(log: Log) -> None:
    stream = log()
    logging.getLogger("x").info("started", extra={"fields": {"sockFile": "unix:///run/x.sock"}})
    line = as_text(stream.getvalue().rstrip())
    assert line.startswith("INFO[2")
    assert line.endswith("started                                      sockFile=unix:///run/x.sock")
    assert as_text("no JSON {") == "no JSON {"
    assert as_text("[1]") == "[1]"


# --- request ids ---


def test_every_record_of_a_call_has_its_id_in_other_threads_too(log: Log) -> None:
    stream = log()
    with calls.call("csi", "Probe", request_id="r-7"):
        logging.getLogger("here").info("one")
        for function, name in (
            (calls.carried(logging.getLogger("there").info), "t"),
            (logging.getLogger("n").info, "n"),
        ):
            thread = threading.Thread(target=function, args=("two",), name=name)
            thread.start()
            thread.join()
    logging.getLogger("after").info("three")
    ids = {line["logger"]: line.get("request_id") for line in lines(stream)}
    assert ids == {"rexray_server.logs_calls": "r-7", "here": "r-7", "there": "r-7", "n": None, "after": None}


def test_the_log_tells_begin_and_end_of_each_call_with_its_outcome(log: Log) -> None:
    stream = log()

    def mount() -> None:
        with calls.call("docker", "Mount", request_id="r-1"):
            with calls.call(calls.PLATFORM, "DescribeVolumes", driver="ec2"):
                pass
            raise InUse("volume 'data' is attached elsewhere")

    with pytest.raises(InUse):
        mount()
    front, begins, ends, failed = lines(stream)
    assert {line["request_id"] for line in (front, begins, ends, failed)} == {"r-1"}
    assert (front["kind"], front["call"], front["msg"]) == ("docker", "Mount", "call begins")
    assert (begins["driver"], begins["call"]) == ("ec2", "DescribeVolumes")
    assert (ends["outcome"], ends["took"][-2:]) == ("ok", "ms")
    assert (failed["outcome"], failed["error"]) == ("InUse", "volume 'data' is attached elsewhere")


def test_calls_are_told_at_debug_alone(log: Log) -> None:
    stream = log("info")
    with calls.call("docker", "Mount"):
        pass
    assert stream.getvalue() == ""


def test_dockers_failure_is_told_once_with_the_id_that_the_client_gave(log: Log, running: Running) -> None:
    stream = log("info")
    connection = http.client.HTTPConnection("localhost")
    connection.sock = running.connect()
    connection.request("POST", "/VolumeDriver.Get", b'{"Name": "gone"}', {"X-Request-ID": "from-docker"})
    assert connection.getresponse().status != 200
    connection.close()
    (failed,) = lines(stream)
    assert (failed["msg"], failed["call"], failed["request_id"]) == ("call failed", "Get", "from-docker")
    assert failed["error"] == "volume 'gone' does not exist"


def test_a_docker_call_without_an_id_gets_one(log: Log, running: Running) -> None:
    stream = log("info")
    running.post("/VolumeDriver.Get", b'{"Name": "gone"}')
    running.post("/VolumeDriver.Get", b'{"Name": "other"}')
    first, second = (line["request_id"] for line in lines(stream))
    assert first != second
    assert len(first) == 12


def test_an_internal_error_is_told_once_with_its_traceback_and_id(log: Log, running: Running) -> None:
    stream = log("info")
    mount = pb.VolumeCapability(mount={}, access_mode={"mode": "SINGLE_NODE_WRITER"})
    request = pb.CreateVolumeRequest(name="broken", volume_capabilities=[mount])
    with grpc.insecure_channel(f"unix:{running.path}") as channel:
        call = channel.unary_unary(
            rpc.CREATE_VOLUME.path, pb.CreateVolumeRequest.SerializeToString, pb.CreateVolumeResponse.FromString
        )
        with pytest.raises(grpc.RpcError):
            call(request, metadata=(("csi.requestid", "from-csi"),), timeout=10)
    (failed,) = lines(stream)
    assert (failed["level"], failed["request_id"], failed["call"]) == ("error", "from-csi", "CreateVolume")
    assert "RuntimeError" in failed["traceback"]


class StreamingPlugin(SmallPlugin):
    """Streams blocks of metadata, and the id of the request that each one was made for."""

    def services(self, wanted: Any = ()) -> Mapping[str, object]:
        return {**super().services(), "SnapshotMetadata": self}

    def GetMetadataAllocated(self, request: pb.GetMetadataAllocatedRequest, context: Any) -> Iterator[Any]:
        for number in range(3):
            current = calls.current()
            logging.getLogger("plugin").info("block", extra={"fields": {"number": number}})
            yield pb.GetMetadataAllocatedResponse(
                block_metadata=[pb.BlockMetadata(byte_offset=number, size_bytes=len(current.verb) if current else 0)]
            )
        raise RexrayError("the snapshot went away")


def test_a_streaming_call_is_within_its_call_until_its_end(log: Log) -> None:
    stream = log("info")
    caller = LocalCaller(Pipeline(StreamingPlugin(), ServerSettings()).handlers)
    request = pb.GetMetadataAllocatedRequest(snapshot_id="s")
    answers = caller.call(rpc.GET_METADATA_ALLOCATED, request, timeout=5, metadata=[("csi.requestid", "r-9")])
    sizes = [next(answers).block_metadata[0].size_bytes for _ in range(3)]  # type: ignore[call-overload]  # a stream
    with pytest.raises(RexrayError, match="went away"):
        next(answers)  # type: ignore[call-overload]
    assert sizes == [len("GetMetadataAllocated")] * 3
    assert [line["request_id"] for line in lines(stream)] == ["r-9"] * 4
    assert lines(stream)[-1]["error"] == "the snapshot went away"
    assert calls.current() is None


# --- secrets ---


def say_all(logger: logging.Logger) -> None:
    """A secret in every place that a record has."""
    logger.info("password is %s", CANARY)
    logger.info("%r and %s", {"password": CANARY}, [CANARY.encode()])
    logger.info("x", extra={"fields": {"password": CANARY, CANARY: "key", "object": RexrayError(CANARY)}})
    logger.error("x", exc_info=raising(ValueError(f"with {CANARY!r}")))
    logger.error("x", exc_info=raising(RuntimeError()), stack_info=True)
    logger.info(CANARY.encode())
    with calls.call("csi", "Probe", request_id=CANARY):
        logger.info("id")


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("name", ["rexray.x", "some.library"])
def test_no_secret_gets_into_the_log_in_whichever_part_of_a_record(log: Log, form: str, name: str) -> None:
    stream = log("debug", form)
    say_all(logging.getLogger(name))
    assert "Canary" not in stream.getvalue()
    assert stream.getvalue().count("***") >= 8


def test_a_message_that_does_not_fit_its_arguments_is_logged_without_its_secrets(log: Log) -> None:
    stream = log()
    logging.getLogger("x").info("wrong %d %d", CANARY)
    assert lines(stream)[0]["msg"] == "wrong %d %d ('***',)"


def test_without_the_filter_the_same_records_show_it() -> None:
    stream = io.StringIO()
    logger = logging.Logger("plain")
    logger.addHandler(logging.StreamHandler(stream))
    say_all(logger)
    assert stream.getvalue().count("Canary") == 5


def test_the_filter_alone_takes_secrets_out_for_any_formatter(log: Log) -> None:
    stream = io.StringIO()
    log()
    logger = logging.Logger("plain")
    handler = logging.StreamHandler(stream)
    handler.addFilter(Preparing())
    logger.addHandler(handler)
    say_all(logger)
    assert "Canary" not in stream.getvalue()
    assert "ValueError: with '***'" in stream.getvalue()


def test_secrets_of_a_csi_request_are_known_while_and_after_it_runs(log: Log) -> None:
    stream = log()
    caller = LocalCaller(Pipeline(SmallPlugin(), ServerSettings()).handlers)
    word = f"Canary-{secrets.token_hex(8)}"
    with pytest.raises(RexrayError):
        caller.call(rpc.CREATE_VOLUME, pb.CreateVolumeRequest(name="x", secrets={"key": word}), timeout=1)
    logging.getLogger("plugin").info("later %s", word)
    assert word not in stream.getvalue()
    assert "later ***" in stream.getvalue()


def test_what_nobody_catches_goes_through_the_log() -> None:
    program = (
        "import sys, threading\n"
        "from rexray import redaction\n"
        "from rexray.settings import Sources\n"
        "from rexray_server import logs\n"
        "redaction.register('Canary-of-a-thread')\n"
        "logs.start(Sources(environ={}))\n"
        "def fail(): raise ValueError('Canary-of-a-thread')\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "class Odd:\n"
        "    def __del__(self): fail()\n"
        "Odd()\n"
        "import warnings; warnings.warn('Canary-of-a-thread')\n"
        "fail()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(found) == 4
    assert "Canary" not in done.stderr
    assert sum("ValueError: ***" in line.get("error", "") for line in found) == 3


# --- errors that repeat themselves ---


class Clock:
    """A time that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def handler(clock: Clock) -> Iterator[logs.LogHandler]:
    made = logs.LogHandler(io.StringIO(), Repeats(window=1000.0, clock=clock))
    made.setFormatter(logs.JsonFormatter())
    yield made
    made.close()


@pytest.fixture
def logger(handler: logs.LogHandler) -> logging.Logger:
    made = logging.Logger("repeating")
    made.addHandler(handler)
    return made


def told(handler: logs.LogHandler) -> list[tuple[str, Any]]:
    assert isinstance(handler.stream, io.StringIO)
    return [(line["msg"], line.get("volume")) for line in lines(handler.stream)]


def fail(logger: logging.Logger, volume: str, took: str = "1ms") -> None:
    logger.info("call failed", extra={"fields": {"error": "no route", "volume": volume, "took": took}})


def test_the_same_error_is_told_once_and_then_how_often(
    handler: logs.LogHandler, logger: logging.Logger, clock: Clock
) -> None:
    for number in range(5):
        fail(logger, "a", f"{number}ms")
        clock.now += 10
    fail(logger, "b")
    assert told(handler) == [("call failed", "a"), ("call failed", "b")]
    clock.now += 1000
    logger.info("something else")
    assert told(handler)[2:] == [("call failed (repeated 4 times)", "a"), ("something else", None)]
    assert isinstance(handler.stream, io.StringIO)
    assert [line.get("repeated") for line in lines(handler.stream)] == [None, None, 4, None]
    assert lines(handler.stream)[2]["error"] == "no route"


def test_an_error_that_goes_on_is_told_once_a_window_and_one_that_ended_anew(
    handler: logs.LogHandler, logger: logging.Logger, clock: Clock
) -> None:
    for _ in range(5):
        fail(logger, "a")
        fail(logger, "a")
        clock.now += 1001
    assert [message for message, _ in told(handler)] == [
        "call failed",
        "call failed (repeated once)",
        *["call failed (repeated 2 times)"] * 3,
    ]
    logger.info("pause")
    clock.now += 3000
    fail(logger, "a")
    assert told(handler)[-1] == ("call failed", "a")


def test_nothing_counted_is_lost_when_the_log_is_closed(handler: logs.LogHandler, logger: logging.Logger) -> None:
    for _ in range(3):
        fail(logger, "a")
    handler.close()
    assert told(handler) == [("call failed", "a"), ("call failed (repeated 2 times)", "a")]


def test_a_count_is_told_in_time_although_nobody_logs_any_more() -> None:
    written = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "repeated" in text:
                written.set()
            return super().write(text)

    handler = logs.LogHandler(Stream(), Repeats(window=0.05))
    handler.setFormatter(logs.JsonFormatter())
    logger = logging.Logger("repeating")
    logger.addHandler(handler)
    fail(logger, "a")
    fail(logger, "a")
    assert written.wait(10)
    handler.close()


def test_who_logs_an_error_again_when_no_thread_can_be_started_does_not_fail(
    handler: logs.LogHandler, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        for _ in range(3):
            fail(logger, "a")
    handler.close()
    assert told(handler) == [("call failed", "a"), ("call failed (repeated 2 times)", "a")]


def test_what_is_watched_is_bounded_and_still_nothing_is_lost(handler: logs.LogHandler, logger: logging.Logger) -> None:
    for number in range(MOST + 20):
        fail(logger, str(number))
        fail(logger, str(number))
    handler.close()
    messages = [message for message, _ in told(handler)]
    assert messages.count("call failed") == MOST + 20
    assert messages.count("call failed (repeated once)") == MOST + 20


def test_other_levels_loggers_errors_and_what_is_no_error_are_told_each(
    handler: logs.LogHandler, logger: logging.Logger
) -> None:
    other = logging.Logger("other")
    other.addHandler(handler)
    for each in (logger, other):
        each.warning("odd")
        each.error("odd")
        each.error("odd", exc_info=raising(ValueError("1")))
        each.error("odd", exc_info=raising(ValueError("2")))
    for _ in range(2):
        logger.info("no error")
        logger.debug("at debug everything is wanted", extra={"fields": {"error": "x"}})
    assert len(told(handler)) == 12

"""The project's ``csi.proto``, what was generated from it, and the table of calls."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, MethodDescriptor

from rexray.csi._pb import csi_pb2 as pb
from rexray.csi.rpc import CALLS

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "rexray-core/src/rexray/csi/_pb"
SECRET: Any = pb.csi_secret


def test_what_is_committed_is_what_the_proto_generates(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run([ROOT / "tools/generate-csi", tmp_path], check=True, env=environment, cwd=tmp_path, timeout=120)
    written = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [path.name for path in written] == ["csi_pb2.py", "csi_pb2.pyi"]
    for path in written:
        assert path.read_bytes() == (GENERATED / path.name).read_bytes(), "run tools/generate-csi"


def test_every_call_of_the_proto_is_in_the_table_with_its_messages() -> None:
    methods: dict[str, MethodDescriptor] = {
        f"/{service.full_name}/{method.name}": method
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert len(CALLS) == 36
    assert {call.path for call in CALLS} == set(methods)
    for call in CALLS:
        method = methods[call.path]
        assert call.request.DESCRIPTOR is method.input_type
        assert call.response.DESCRIPTOR is method.output_type
        assert call.streams == method.server_streaming
        assert not method.client_streaming


def _messages(found: Any) -> Iterator[Descriptor]:
    for message in found:
        yield message
        yield from _messages(message.nested_types)


def test_every_secret_is_marked_as_one() -> None:
    fields = [field for message in _messages(pb.DESCRIPTOR.message_types_by_name.values()) for field in message.fields]
    assert [field for field in fields if field.name == "secrets"]
    for field in fields:
        assert field.GetOptions().Extensions[SECRET] == (field.name == "secrets"), field.full_name

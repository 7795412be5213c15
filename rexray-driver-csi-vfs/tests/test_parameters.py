"""The parameters of a volume: one meaning, one form."""

from __future__ import annotations

import pytest

from rexray.errors import InvalidRequest
from rexray_driver_csi_vfs.requests import parameters


@pytest.mark.parametrize("value", ["0750", "750", "0o750", "00750"])
def test_a_mode_has_one_form_however_it_is_written(value: str) -> None:
    assert parameters({"mode": value}, "parameter") == {"mode": "0750"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mode", ""),
        ("mode", " 07_50"),
        ("mode", "0850"),
        ("mode", "-750"),
        ("mode", "20000"),
        ("uid", "root"),
        ("uid", "-1"),
        ("gid", "4294967295"),
        ("gid", "٣"),
        ("colour", "red"),
    ],
)
def test_what_is_no_mode_and_no_number_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=f"parameter '?{key}"):
        parameters({key: value}, "parameter")


def test_what_kubernetes_adds_is_left_aside() -> None:
    assert parameters({"csi.storage.k8s.io/pv/name": "x", "uid": "007"}, "parameter") == {"uid": "7"}

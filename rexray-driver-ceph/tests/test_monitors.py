"""Every form of mon_host that Ceph's documentation has, and what is none."""

from __future__ import annotations

import pytest

from rexray.errors import SettingsError
from rexray_driver_ceph.monitors import Address, parse, speaks_v1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" , ", ()),
        ("192.0.2.1", (Address("192.0.2.1"),)),
        ("192.0.2.1:6789", (Address("192.0.2.1", 6789, "v1"),)),
        ("192.0.2.1:3300", (Address("192.0.2.1", 3300, "v2"),)),
        ("192.0.2.1:16789", (Address("192.0.2.1", 16789),)),
        ("192.0.2.1,192.0.2.2", (Address("192.0.2.1"), Address("192.0.2.2"))),
        ("192.0.2.1 192.0.2.2;mon3\nmon4", tuple(map(Address, ("192.0.2.1", "192.0.2.2", "mon3", "mon4")))),
        ("mon1.example.com:6789, mon-2", (Address("mon1.example.com", 6789, "v1"), Address("mon-2"))),
        ("v2:192.0.2.1:3300/0", (Address("192.0.2.1", 3300, "v2"),)),
        ("v1:192.0.2.1:16789", (Address("192.0.2.1", 16789, "v1"),)),
        ("any:192.0.2.1:6789", (Address("192.0.2.1", 6789),)),
        ("192.0.2.1:6789/0", (Address("192.0.2.1", 6789, "v1"),)),
        (
            "[v2:192.0.2.1:3300/0,v1:192.0.2.1:6789/0]",
            (Address("192.0.2.1", 3300, "v2"), Address("192.0.2.1", 6789, "v1")),
        ),
        (
            "[v2:192.0.2.1:3300,v1:192.0.2.1:6789],[v2:192.0.2.2:3300, v1:192.0.2.2:6789]",
            (
                Address("192.0.2.1", 3300, "v2"),
                Address("192.0.2.1", 6789, "v1"),
                Address("192.0.2.2", 3300, "v2"),
                Address("192.0.2.2", 6789, "v1"),
            ),
        ),
        ("[v2:mon1:3300] [v1:mon2:6789]", (Address("mon1", 3300, "v2"), Address("mon2", 6789, "v1"))),
        ("[2001:db8::1]", (Address("2001:db8::1"),)),
        ("[2001:db8::1]:6789,[2001:db8::2]", (Address("2001:db8::1", 6789, "v1"), Address("2001:db8::2"))),
        ("v2:[2001:db8::1]:3300", (Address("2001:db8::1", 3300, "v2"),)),
        (
            "[v2:[2001:db8::1]:3300/0,v1:[2001:db8::1]:6789/0],[v2:[2001:db8::2]:3300/0,v1:[2001:db8::2]:6789/0]",
            (
                Address("2001:db8::1", 3300, "v2"),
                Address("2001:db8::1", 6789, "v1"),
                Address("2001:db8::2", 3300, "v2"),
                Address("2001:db8::2", 6789, "v1"),
            ),
        ),
    ],
)
def test_every_form_is_understood(text: str, expected: tuple[Address, ...]) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("mon1,ht*tp", "ht*tp"),
        ("192.0.2.1:port", "192.0.2.1:port"),
        ("192.0.2.1:70000", "192.0.2.1:70000"),
        ("192.0.2.300", "192.0.2.300"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::zz]", "[2001:db8::zz]"),
        ("[v2:192.0.2.1:3300,v1:192.0.2.1:6789", "[v2:192.0.2.1:3300,v1:192.0.2.1:6789"),
        ("[v2:192.0.2.1:3300,v3:192.0.2.1:6789]", "v3:192.0.2.1:6789"),
        ("[v2:mon1:3300]x", "[v2:mon1:3300]x"),
        ("mon1]", "mon1]"),
    ],
)
def test_what_is_no_address_is_named(text: str, part: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse(text)
    assert repr(part) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", True),
        ("192.0.2.1:3300", False),
        ("[v2:192.0.2.1:3300],[v2:192.0.2.2:3300]", False),
        ("[v2:192.0.2.1:3300],[v2:192.0.2.2:3300,v1:192.0.2.2:6789]", True),
        ("v2:192.0.2.1:13300", False),
        ("192.0.2.1:13300", True),
    ],
)
def test_who_speaks_the_older_protocol_is_told(text: str, expected: bool) -> None:
    assert speaks_v1(parse(text)) is expected

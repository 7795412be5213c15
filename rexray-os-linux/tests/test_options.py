"""Mount options as mount(8) spells them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rexray.errors import InvalidRequest
from rexray_os_linux import options
from rexray_os_linux.options import (
    MS_LAZYTIME,
    MS_NOATIME,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_RELATIME,
    MS_STRICTATIME,
    parse,
)


@pytest.mark.parametrize(
    ("given_options", "flags", "data"),
    [
        ((), 0, ()),
        (("defaults",), 0, ()),
        (("ro,nosuid", "nodev"), MS_RDONLY | MS_NOSUID | MS_NODEV, ()),
        (("ro", "rw"), 0, ()),
        (("rw,ro",), MS_RDONLY, ()),
        (("noexec,exec",), 0, ()),
        (("relatime", "noatime"), MS_NOATIME, ()),
        (("noatime,strictatime",), MS_STRICTATIME, ()),
        (("noatime,atime,lazytime",), MS_LAZYTIME, ()),
        (("norelatime,relatime",), MS_RELATIME, ()),
        (("user",), MS_NOEXEC | MS_NOSUID | MS_NODEV, ()),
        (("user,exec,suid",), MS_NODEV, ()),
        (("_netdev,nofail,noauto,auto,nouser,x-gvfs-show,comment=a,X-mount.mkdir=0700",), 0, ()),
        (('context="a:b:c0,c1",ro',), MS_RDONLY, ('context="a:b:c0,c1"',)),
        (("errors=remount-ro,", ",data=journal"), 0, ("errors=remount-ro", "data=journal")),
    ],
)
def test_options_become_flags_and_data(given_options: tuple[str, ...], flags: int, data: tuple[str, ...]) -> None:
    parsed = parse(given_options)
    assert (parsed.flags, parsed.data) == (flags, data)
    assert parsed.read_only == bool(flags & MS_RDONLY)


@pytest.mark.parametrize(
    "option", ["remount", "bind", "rbind", "move", "loop", "loop=/dev/loop0", "offset=1", "rshared", "X-mount.owner=1"]
)
def test_another_operation_is_refused(option: str) -> None:
    with pytest.raises(InvalidRequest, match=option):
        parse(("ro", option))


@pytest.mark.parametrize("option", ["a\0b", 'context="a'])
def test_what_the_kernel_would_misread_is_refused(option: str) -> None:
    with pytest.raises(InvalidRequest):
        parse((option,))


@pytest.mark.parametrize("option", ["password=x", "secret=x", "pass=x"])
def test_a_secret_is_no_option_of_a_helper(option: str) -> None:
    with pytest.raises(InvalidRequest, match="credentials"):
        options.refuse_secrets(parse((option,)))
    options.refuse_secrets(parse(("credentials=/etc/x",)))


@given(st.lists(st.sampled_from(sorted(options._FLAGS)), max_size=8))
def test_one_list_is_as_good_as_many_and_the_last_word_counts(words: list[str]) -> None:
    flags = parse(words).flags
    assert parse((",".join(words),)).flags == flags
    assert parse((*words, "ro")).read_only
    assert not parse((*words, "rw")).read_only

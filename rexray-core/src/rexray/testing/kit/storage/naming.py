"""Names: whatever a volume is called, it is that volume and no other, and harms nothing."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import replace

from rexray.errors import AlreadyExists, InvalidRequest
from rexray.testing.kit.check import Skipped, expect, expect_equal, expect_raises
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.suites import STORAGE
from rexray.types import Volume

LONGEST = 128
"""Bytes of UTF-8 that a name may have everywhere: CSI's limit, and that of :func:`rexray.names.check_name`."""


@STORAGE.check()
def a_name_of_one_character_is_kept(rig: StorageRig) -> None:
    """The shortest name is one character."""
    free = [letter for letter in "qxzjkQXZJK" if not list(rig.driver.volumes_named(letter))]
    if not free:
        raise Skipped("the platform has volumes of every name that was tried")
    volume = _round_trip(rig, free[0])
    rig.driver.remove(volume.id)


@STORAGE.check()
def a_name_of_digits_is_kept(rig: StorageRig) -> None:
    """A name that is only digits is a name, and no number, index or id."""
    name = f"0{secrets.randbelow(10**16):016}"
    if list(rig.driver.volumes_named(name)):
        raise Skipped(f"the platform has a volume named {name!r}")
    volume = _round_trip(rig, name)
    rig.driver.remove(volume.id)


@STORAGE.check()
def a_name_of_128_bytes_is_kept(rig: StorageRig) -> None:
    """Names of 128 bytes work everywhere, whatever the platform's own limit is."""
    _round_trip(rig, _long(rig, "n"))


@STORAGE.check()
def a_name_of_two_byte_characters_is_kept(rig: StorageRig) -> None:
    """Names of 128 bytes of letters that have two bytes each work everywhere."""
    _round_trip(rig, _long(rig, "\N{CYRILLIC SMALL LETTER ZHE}"))


@STORAGE.check()
def a_name_of_three_byte_characters_is_kept(rig: StorageRig) -> None:
    """Names of 128 bytes of characters that have three bytes each work everywhere."""
    _round_trip(rig, _long(rig, "\N{HIRAGANA LETTER NE}"))


@STORAGE.check()
def a_name_of_four_byte_characters_is_kept(rig: StorageRig) -> None:
    """Names of 128 bytes of characters beyond the basic plane work everywhere."""
    _round_trip(rig, _long(rig, "\N{FLOPPY DISK}"))


@STORAGE.check()
def names_with_blanks_and_quotes_are_kept(rig: StorageRig) -> None:
    """Blanks and quotes are parts of a name like any other."""
    _round_trips(rig, ("{} a  b", "{}'s", '"{}"', "`{}`", "{}\\", "{}\\n", "'{}' '"))


@STORAGE.check()
def names_with_the_shells_characters_are_kept(rig: StorageRig) -> None:
    """What a shell would take for its own is a part of a name: no driver hands one to a shell."""
    _round_trips(rig, ("{};id", "$(id){}", "{}|cat", "{}&", "{}>x", "{}*?[a]", "~{}", "${{{}}}", "!{}", "#{}"))


@STORAGE.check()
def names_with_other_languages_characters_are_kept(rig: StorageRig) -> None:
    """What JSON, HTML, XML, SQL, URLs and formats take for their own is a part of a name."""
    forms = (
        "{}<b>&amp;",
        '{}","id":1',
        "{}]]>",
        "{}' OR 1=1 --",
        "{}%2e%2e",
        "{}?a=b&c#d",
        "{}@host:1",
        "%s{}%n",
        "{}+a",
    )
    _round_trips(rig, forms)


@STORAGE.check()
def names_that_begin_with_a_dash_or_a_dot_are_kept(rig: StorageRig) -> None:
    """A name is no option of a command, and no hidden file."""
    _round_trips(rig, ("-{}", "--{}", "-rf {}", ".{}", "..{}", "_{}", ":{}", "@{}"))


@STORAGE.check()
def names_that_end_as_files_do_are_kept(rig: StorageRig) -> None:
    """An ending that a driver or a platform gives to its own things is a part of a name."""
    _round_trips(rig, ("{}.json", "{}.lock", "{}.new", "{}.tmp", "{}.snap", "{}.group", "{}~", "{}.", "{}-0"))


@STORAGE.check()
def names_that_differ_in_case_are_two(rig: StorageRig) -> None:
    """A name in another case is another name, or is refused."""
    _apart(rig, rig.name("-data"), "-Data")


@STORAGE.check()
def names_that_differ_in_blanks_are_two(rig: StorageRig) -> None:
    """A name with a blank before or after it is another name, or is refused."""
    _apart(rig, rig.name("-data"), "-data ", "-data  ", "-da ta")


@STORAGE.check()
def names_that_differ_in_their_normal_form_are_two(rig: StorageRig) -> None:
    """A letter with an accent and the same of two characters are two names, or one is refused."""
    composed = "-\N{LATIN SMALL LETTER E WITH ACUTE}\N{LATIN SMALL LIGATURE FI}"
    forms = dict.fromkeys(unicodedata.normalize(form, composed) for form in ("NFD", "NFKC", "NFKD"))
    _apart(rig, rig.name(composed), *forms)


@STORAGE.check()
def names_that_differ_in_what_nobody_sees_are_two(rig: StorageRig) -> None:
    """Marks of direction and characters without width make another name, or are refused."""
    _apart(
        rig,
        rig.name("-data"),
        "-da\N{ZERO WIDTH SPACE}ta",
        "-\N{RIGHT-TO-LEFT OVERRIDE}data",
        "-dat\N{CYRILLIC SMALL LETTER A}",
    )


@STORAGE.check()
def long_names_that_begin_alike_are_two(rig: StorageRig) -> None:
    """Of names of 128 bytes that differ at the end, in the middle or early on, each is a volume of its own."""
    base = _long(rig, "n")
    half = (len(rig.name()) + LONGEST) // 2
    names = [base, base[:-1] + "m", base[:half] + "m" + base[half + 1 :], base[:-1]]
    made = [rig.create(rig.claim(name)) for name in names]
    expect_equal(len({volume.id for volume in made}), len(names), f"different volumes of {len(names)} long names")
    for name, volume in zip(names, made, strict=True):
        found = [each.id for each in rig.driver.volumes_named(name)]
        expect_equal(found, [volume.id], f"the volumes named {name!r}")


@STORAGE.check()
def long_names_that_end_alike_are_two(rig: StorageRig) -> None:
    """Of names of 128 bytes that differ in their first characters alone, each is a volume of its own."""
    names = [rig.claim((mark + rig.name()).ljust(LONGEST, "n")) for mark in "ab"]
    tail = names[0][1:]
    names = [rig.claim(mark + tail) for mark in "ab"]
    made = [rig.create(name) for name in names]
    expect(made[0].id != made[1].id, f"two names that differ in the first of {LONGEST} characters are one volume")
    rig.driver.remove(made[0].id)
    found = [each.id for each in rig.driver.volumes_named(names[1])]
    expect_equal(found, [made[1].id], "the volumes of the one name after the other was removed")


@STORAGE.check()
def a_volume_without_a_name_is_refused(rig: StorageRig) -> None:
    """The empty name is ``InvalidRequest``, and makes nothing."""
    rig.name()
    before = {volume.id for volume in rig.driver.volumes()}
    with expect_raises(InvalidRequest, what="creating a volume without a name"):
        rig.driver.create(replace(rig.spec(), name=""))
    made = [volume.id for volume in rig.driver.volumes() if volume.id not in before and not volume.name]
    expect_equal(made, [], "volumes without a name that are there since")


@STORAGE.check()
def names_that_are_paths_harm_nothing(rig: StorageRig) -> None:
    """A name with ``/`` or ``..`` is refused, or is a volume of its own: never another's, a parent or a neighbour."""
    names = ("{}/..", "{}/../{}", "../{}", "/{}", "{}/", "{}/.", "{}//x", "./{}", "..\\{}")
    _refused_or_apart(rig, names)


@STORAGE.check()
def names_with_control_characters_harm_nothing(rig: StorageRig) -> None:
    """A name with NUL, a newline or another control character is refused, or is a volume of its own."""
    _refused_or_apart(
        rig, ("{}\0", "{}\0x", "{}\n", "{}\r\nX: y", "{}\t", "\x1b[2J{}", "{}\x7f", "{}\u0085", "{}\u2028x")
    )


@STORAGE.check()
def names_that_are_no_text_harm_nothing(rig: StorageRig) -> None:
    """Half of a surrogate pair, which no UTF-8 can say, is refused, or is a volume of its own."""
    _refused_or_apart(rig, ("{}\ud800", "{}\udcff"))


@STORAGE.check()
def names_that_are_too_long_harm_nothing(rig: StorageRig) -> None:
    """A name that is longer than the platform can keep is refused, or is a volume of its own: never cut off."""
    base = rig.name()
    for length in (LONGEST + 1, 256, 1025, 5000):
        _refused_or_apart(rig, [base.ljust(length - 1, "n") + mark for mark in "ab"], of=base)


@STORAGE.check()
def a_name_that_was_refused_says_so_in_a_line(rig: StorageRig) -> None:
    """An error shows a hostile name so that a line stays a line, and a log is not filled."""
    for form in ("{}\n", "{}/../x", "{}\r\nX", "{}" + "n" * 5000):
        name = rig.claim(form.replace("{}", rig.name()))
        try:
            rig.create(name)
        except InvalidRequest as error:
            text = str(error)
            expect(text.isprintable() and len(text) < 1000, f"the refusal of {name[:40]!r} says {text[:200]!r}")


def _long(rig: StorageRig, character: str) -> str:
    """A name of 128 bytes, or as few less as the character's bytes do not fit into."""
    base = rig.name("-")
    return rig.claim(base + character * ((LONGEST - len(base)) // len(character.encode())))


def _round_trip(rig: StorageRig, name: str) -> Volume:
    """Make a volume of the name and find it by that, by its id and in the list; the list may show a platform's form."""
    volume = rig.create(name)
    expect_equal(volume.name, name, "the name of the volume that create returned")
    found = [(each.id, each.name) for each in rig.driver.volumes_named(name)]
    expect_equal(found, [(volume.id, name)], f"the ids and names that volumes_named({name!r}) has")
    listed = [each.id for each in rig.driver.volumes() if each.id == volume.id]
    expect_equal(listed, [volume.id], f"how the list has the volume named {name!r}")
    expect_equal(rig.driver.volume(volume.id).id, volume.id, f"the id of the volume named {name!r}, looked up")
    expect_equal(rig.create(name).id, volume.id, f"the id that a second create of {name!r} returned")
    return volume


def _round_trips(rig: StorageRig, forms: Iterable[str]) -> None:
    base = rig.name()
    made = {form: _round_trip(rig, rig.claim(form.replace("{}", base))) for form in forms}
    ids = {volume.id for volume in made.values()}
    expect_equal(len(ids), len(made), f"different volumes of {len(made)} names")


def _apart(rig: StorageRig, first: str, *endings: str) -> None:
    """Names that resemble the first, which ends otherwise, are other volumes, or refused and the first stays."""
    volume = rig.create(first)
    stem = first[: first.rindex("-")]
    for ending in endings:
        name = rig.claim(stem + ending)
        if name == first:
            continue
        try:
            other = rig.create(name)
        except (InvalidRequest, AlreadyExists):
            continue
        expect(other.id != volume.id, f"{name!r} is the volume that was made as {first!r}")
        found = [each.id for each in rig.driver.volumes_named(name)]
        expect_equal(found, [other.id], f"the volumes named {name!r}")
        rig.driver.remove(other.id)
    found = [each.id for each in rig.driver.volumes_named(first)]
    expect_equal(found, [volume.id], f"the volumes named {first!r}, after the others were removed")


def _refused_or_apart(rig: StorageRig, forms: Iterable[str], of: str = "") -> None:
    """Names of these forms are ``InvalidRequest`` with nothing made, or volumes that are found by them."""
    base = of or rig.name()
    neighbour = rig.create(base)
    ids = {neighbour.id}
    for form in forms:
        name = rig.claim(form.replace("{}", base))
        before = {volume.id for volume in rig.driver.volumes()}
        try:
            volume = rig.create(name)
        except InvalidRequest:
            made = {each.id for each in rig.driver.volumes() if base in each.name} - before
            expect_equal(made, set(), f"what was made although {name[:200]!r} was refused")
            continue
        expect(volume.id not in ids, f"{name[:200]!r} is the volume of another name")
        ids.add(volume.id)
        found = [(each.id, each.name) for each in rig.driver.volumes_named(name)]
        expect_equal(found, [(volume.id, name)], f"the ids and names that volumes_named({name[:200]!r}) has")
        expect_equal(rig.create(name).id, volume.id, f"the id that a second create of {name[:200]!r} returned")
    for volume_id in ids - {neighbour.id}:
        rig.driver.remove(volume_id)
        rig.driver.remove(volume_id)
    left = [volume.id for volume in rig.driver.volumes() if volume.id == neighbour.id]
    expect_equal(left, [neighbour.id], "the volume whose name the others had a part of, after those were removed")

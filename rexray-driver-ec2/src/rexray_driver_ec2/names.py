"""Names of devices, as EC2 is asked for them and as kernels call them.

Facts: REX-Ray's default range is ``xvdf`` to ``xvdp``, its large one ``xvdba`` to ``xvdcz``, which EC2 allows on HVM
instances. EC2 calls a name in use whether it was given as ``/dev/sdf`` or as ``/dev/xvdf``: Xen's kernels show both as
``xvdf``.
"""

from __future__ import annotations

from string import ascii_lowercase as letters

SMALL_RANGE = tuple(f"/dev/xvd{letter}" for letter in letters[letters.index("f") : letters.index("p") + 1])
LARGE_RANGE = tuple(f"/dev/xvd{first}{second}" for first in "bc" for second in letters)


def candidates(*, large: bool) -> tuple[str, ...]:
    """The names that volumes are attached by, the preferred ones first."""
    return LARGE_RANGE if large else SMALL_RANGE + LARGE_RANGE


def canonical(name: str) -> str:
    """A device name as Xen's kernels show it, such as ``xvdf`` for ``/dev/sdf``, ``sdf`` and ``/dev/xvdf``."""
    word = name.removeprefix("/dev/")
    return "xvd" + word[2:] if word.startswith("sd") else word

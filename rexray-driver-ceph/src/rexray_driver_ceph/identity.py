"""Which cluster the settings mean, and which of its users.

Facts: ceph(8), "Options": ``--id`` (``--user``) and ``--name`` say the user, ``--conf`` and ``--cluster`` the
configuration file, ``--mon-host`` (``-m``) the monitors, ``--keyring`` (``-k``) the file with the key, and any option
of the configuration is an argument as well.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from rexray.errors import SettingsError
from rexray_driver_ceph.settings import RbdSettings

_WORDS = {
    "--id": "user",
    "--user": "user",
    "-i": "user",
    "--name": "client",
    "-n": "client",
    "--conf": "conf",
    "-c": "conf",
    "--cluster": "cluster",
    "--mon-host": "monitors",
    "--mon_host": "monitors",
    "-m": "monitors",
    "--keyring": "keyring",
    "-k": "keyring",
}
_ENDING = ("--help", "-h", "--version", "-v", "--")
_SECRET = ("--key", "-K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A cluster and a user. What is empty is Ceph's own default; ``others`` are arguments that say neither."""

    user: str = ""
    conf: str = ""
    cluster: str = "ceph"
    monitors: str = ""
    keyring: str = ""
    others: tuple[str, ...] = ()

    @property
    def client(self) -> str:
        """The user as Ceph names it in full."""
        return f"client.{self.user or 'admin'}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """The same for Ceph's programs."""
        given = (
            ("--conf", self.conf),
            ("--cluster", "" if self.cluster == "ceph" else self.cluster),
            ("--mon-host", self.monitors),
            ("--id", self.user),
            ("--keyring", self.keyring),
        )
        return tuple(word for name, value in given if value for word in (name, value)) + self.others


def identify(settings: RbdSettings) -> Identity:
    """What the settings say; ``SettingsError`` where ``cephArgs`` cannot be read, or says something twice."""
    given = {
        "user": settings.user,
        "conf": settings.conf,
        "monitors": settings.monitors,
        "keyring": settings.keyring,
    }
    found, others = _read(settings.ceph_args)
    for name, value in found.items():
        if given.get(name) and given[name] != value and name != "conf":
            raise SettingsError(f"rbd.{name} says {given[name]!r} and rbd.cephArgs {value!r}: leave one of them out")
    for name, value in {**given, **found}.items():
        if value.startswith("-"):
            raise SettingsError(f"rbd.{name}: {value!r} begins with '-', as options of Ceph's programs do")
    return Identity(**{name: value for name, value in {**given, **found}.items() if value}, others=others)


def _read(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """What ``cephArgs`` says of an identity, and its other words."""
    try:
        words = iter(shlex.split(text))
    except ValueError as error:
        raise SettingsError(f"rbd.cephArgs: {error}") from None
    found: dict[str, str] = {}
    others = []
    for word in words:
        option, equals, value = word.partition("=")
        if option in _SECRET:
            raise SettingsError(
                f"rbd.cephArgs: {option} would show the key to every user of this host: put it into a file and say "
                "rbd.keyring"
            )
        if option in _ENDING:
            raise SettingsError(f"rbd.cephArgs: with {option} Ceph's programs do nothing of what they are asked for")
        meant = _WORDS.get(option)
        if meant is None:
            others.append(word)
            continue
        value = value if equals else next(words, "")
        if not value:
            raise SettingsError(f"rbd.cephArgs: {option} needs a value")
        found[meant] = value
    client = found.pop("client", "")
    if client:
        kind, _, user = client.partition(".")
        if kind != "client" or not user:
            raise SettingsError(f"rbd.cephArgs: {client!r} is not the name of a client, such as client.rexray")
        found["user"] = user
    return found, tuple(others)

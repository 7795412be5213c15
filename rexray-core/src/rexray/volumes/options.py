"""The options of Docker's create call, and of the shell's, as what a new volume shall be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from rexray.drivers import StorageDriver
from rexray.errors import InvalidRequest, NotFound, OutOfRange, SettingsError, Unsupported
from rexray.hints import nearest
from rexray.mixins import Clone, Encrypted, Snapshots
from rexray.sizes import format_size, parse_size
from rexray.types import SnapshotId, Volume, VolumeId, VolumeSpec
from rexray.volumes.settings import MAKEABLE, VolumeSettings

I = TypeVar("I", VolumeId, SnapshotId)  # noqa: E741 an identifier of one kind or the other

OPTIONS = {
    "size": "the size in GiB, or with a unit such as 512MiB",
    "iops": "I/O operations a second",
    "volumetype": "the platform's type of volume",
    "type": "the same as volumetype",
    "availabilityzone": "the zone to make it in",
    "fstype": "the filesystem that is made on it",
    "newfstype": "the same as fstype",
    "mountoptions": "options of mount(8) for every mount of it, with commas between them",
    "snapshotid": "the snapshot that it is made from",
    "snapshotname": "the same by the snapshot's name",
    "volumeid": "the volume that it is a clone of",
    "volumename": "the same by the volume's name",
    "encrypted": "true: its data are encrypted",
    "encryptionkey": "the platform's name of the key for that",
    "overwritefs": "true: a filesystem is made even if there is one already",
}
"""Every option and what it says; the names are taken in any case. Drivers add ``StorageDriver.create_options``."""


_OTHER_OPERATIONS = frozenset(
    {"bind", "rbind", "remount", "move", "loop", "offset", "sizelimit", "make-shared", "make-private", "make-slave"}
)
"""Words that have mount(8) do something else than mount a filesystem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Create options that have been read: what the platform shall make, and what is remembered for the mount."""

    spec: VolumeSpec
    context: Mapping[str, str]
    given: frozenset[str]
    """The options that were said; the rest of the spec is what the settings say for new volumes."""

    def of_existing(self, volume: Volume) -> VolumeSpec:
        """The spec for a volume that is there: only what was said has to be so."""
        return replace(
            self.spec,
            size_bytes=self.spec.size_bytes if "size" in self.given else volume.size_bytes,
            type=self.spec.type if "volumetype" in self.given else "",
            iops=self.spec.iops if "iops" in self.given else 0,
            zone=self.spec.zone if "availabilityzone" in self.given else "",
        )


class Reader:
    """Reads create options for one storage driver."""

    def __init__(self, settings: VolumeSettings, storage: StorageDriver) -> None:
        self._settings = settings
        self._storage = storage
        self._size = _size_setting(settings.size, "rexray.docker.size")
        self._least = _size_setting(settings.min_size, "rexray.minVolSize")

    def read(self, name: str, options: Mapping[str, str]) -> Wishes:
        """The wishes for a volume; ``InvalidRequest`` names an option that is unknown, doubled or malformed."""
        given = _known(options, {**OPTIONS, **self._storage.create_options})
        source_volume, source_snapshot = self._source_volume(given), self._source_snapshot(given)
        if source_volume and source_snapshot:
            raise InvalidRequest("a volume is made from a snapshot or from a volume, not from both")
        encrypted = _boolean(given, "encrypted")
        if (encrypted or given.get("encryptionkey")) and not isinstance(self._storage, Encrypted):
            raise Unsupported(f"storage driver {self._storage.name!r} makes no encrypted volumes")
        context = {key: given[key] for key in ("fstype", "mountoptions") if given.get(key)}
        _check_filesystem(context)
        if _boolean(given, "overwritefs"):
            context["overwritefs"] = "true"
        spec = VolumeSpec(
            name=name,
            size_bytes=self._size_of(given, copied=bool(source_volume or source_snapshot)),
            type=given.get("volumetype", self._settings.type),
            iops=_number(given, "iops", self._settings.iops),
            zone=given.get("availabilityzone", self._settings.zone),
            encrypted=encrypted,
            encryption_key=given.get("encryptionkey", ""),
            source_volume=source_volume,
            source_snapshot=source_snapshot,
            options={key: value for key, value in given.items() if key not in OPTIONS},
        )
        return Wishes(spec=spec, context=context, given=frozenset(given))

    def _size_of(self, given: Mapping[str, str], *, copied: bool) -> int:
        """A copy without a size is as large as its source."""
        if "size" not in given:
            return 0 if copied else max(self._size, self._least)
        size = parse_size(given["size"])
        if size <= 0:
            raise InvalidRequest(f"size {given['size']!r}: a volume has at least one byte")
        if size < self._least:
            raise OutOfRange(f"size {given['size']!r}: at least {format_size(self._least)} (rexray.minVolSize)")
        return size

    def _source_volume(self, given: Mapping[str, str]) -> VolumeId | None:
        chosen = _either(given, "volumeid", "volumename")
        if chosen is None:
            return None
        if not isinstance(self._storage, Clone):
            raise Unsupported(f"storage driver {self._storage.name!r} makes no clones of volumes")
        option, value = chosen
        if option == "volumeid":
            return VolumeId(value)
        return _only([volume.id for volume in self._storage.volumes_named(value)], f"volume {value!r}")

    def _source_snapshot(self, given: Mapping[str, str]) -> SnapshotId | None:
        chosen = _either(given, "snapshotid", "snapshotname")
        if chosen is None:
            return None
        if not isinstance(self._storage, Snapshots):
            raise Unsupported(f"storage driver {self._storage.name!r} has no snapshots")
        option, value = chosen
        if option == "snapshotid":
            return SnapshotId(value)
        found = [item.id for item in self._storage.snapshots() if item.name == value]
        return _only(found, f"snapshot {value!r}")


def _known(options: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The options by their canonical names, each of which has to be ``known``."""
    given: dict[str, str] = {}
    for option, value in options.items():
        key = option.lower()
        if key not in known:
            near = nearest(key, known)
            hint = f"; did you mean {near!r}?" if near else f"; there are {', '.join(known)}"
            raise InvalidRequest(f"option {option!r} is unknown{hint}")
        canonical = {"type": "volumetype", "newfstype": "fstype"}.get(key, key)
        if given.setdefault(canonical, value) != value:
            raise InvalidRequest(f"option {option!r} is given twice, as {given[canonical]!r} and {value!r}")
    return given


def _check_filesystem(context: Mapping[str, str]) -> None:
    """What would only come out at the first mount is refused when the volume is made."""
    fs_type = context.get("fstype", MAKEABLE[0])
    if fs_type not in MAKEABLE:
        near = nearest(fs_type, MAKEABLE)
        hint = f"; did you mean {near!r}?" if near else f"; there are {', '.join(MAKEABLE)}"
        raise InvalidRequest(f"option fstype: {fs_type!r} is unknown{hint}")
    for option in context.get("mountoptions", "").split(","):
        if option.partition("=")[0] in _OTHER_OPERATIONS:
            raise InvalidRequest(f"option mountoptions: {option!r} is no option of a filesystem's")


def _either(given: Mapping[str, str], *names: str) -> tuple[str, str] | None:
    chosen = [(name, given[name]) for name in names if given.get(name)]
    if len(chosen) > 1:
        raise InvalidRequest(f"options {' and '.join(names)} say the same thing: give one of them")
    return chosen[0] if chosen else None


def _only(found: list[I], what: str) -> I:
    if not found:
        raise NotFound(f"{what} does not exist")
    if len(found) > 1:
        raise InvalidRequest(f"{what} is not unique: say which by its id, one of {', '.join(found)}")
    return found[0]


def _boolean(given: Mapping[str, str], option: str) -> bool:
    value = given.get(option, "false").lower()
    if value not in ("true", "false", "1", "0", "yes", "no", ""):
        raise InvalidRequest(f"option {option}: {given[option]!r} is not true or false")
    return value in ("true", "1", "yes")


def _number(given: Mapping[str, str], option: str, default: int) -> int:
    value = given.get(option, str(default))
    if not (value.isascii() and value.isdigit()):
        raise InvalidRequest(f"option {option}: {value!r} is not a whole number")
    return int(value)


def _size_setting(text: str, key: str) -> int:
    try:
        return parse_size(text)
    except InvalidRequest as error:
        raise SettingsError(f"{key}: {error}") from None

"""What the kinds of driver have of their own, where it is not in a file of their templates."""

from __future__ import annotations

from dataclasses import dataclass

from rexray.catalog import GROUPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of driver; the texts are templates, as the files are."""

    name: str
    summary: str
    """The distribution's description."""
    about: str
    """How the README begins."""
    usage: str
    """The commands by which the driver is used, for the README and for who has just made it; a line each."""
    where: str
    """What is to be replaced, and where it is: how the README ends."""
    prefix: str = "rexray-driver"
    extra: str = ""
    """The extra of rexray-core that it needs."""
    stubs: tuple[str, ...] = ()
    """What its type checker needs besides."""
    live: str = "`rexray driver check $name` runs the quick ones, which change nothing, against the live configuration."
    """How the kit is run on what is configured."""

    @property
    def group(self) -> str:
        """The group of its entry point."""
        return GROUPS[self.name]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="storage",
            summary="REX-Ray's storage driver $name.",
            about="""\
`$name` has REX-Ray make, attach, mount and grow volumes of the array $name. As it was generated, the array is a
directory of this host: it works, and waits to be replaced by yours.""",
            usage="rexray volume create data --size 1 -s $name\nrexray volume ls -s $name",
            where="""\
`array.py` is the stand-in for the vendor's library: replace it. `refusals.py` says what the errors of that mean,
`storage.py` and `node.py` are the drivers, `settings.py` has the settings. What else the platform can do is a class of
`rexray.mixins`: inherit from it, and the kit checks it.""",
        ),
        Kind(
            name="os",
            prefix="rexray-os",
            summary="REX-Ray's OS driver $name.",
            about="""\
`$name` has REX-Ray find devices, make filesystems and mount them. As it was generated, it works on a machine that
is a directory: devices are files, and a mount is a note. It waits for the calls of your system.""",
            usage="rexray driver ls",
            where="""\
`machine.py` is the stand-in for the system's calls: replace it. `driver.py` is the driver, `settings.py` has the
settings.""",
        ),
        Kind(
            name="volume",
            summary="REX-Ray's volume driver $name.",
            about="""\
`$name` has REX-Ray offer directories as volumes to Docker and to the shell, without a storage platform below.""",
            usage="rexray volume create data --volumeDrivers $name\nrexray volume ls --volumeDrivers $name",
            where="""\
`shelf.py` keeps the volumes: replace it. `driver.py` is the driver, `settings.py` has the settings.""",
        ),
        Kind(
            name="csi",
            extra="[csi]",
            stubs=("types-grpcio", "types-protobuf"),
            live="`pytest --rexray-driver=$name` runs them with the live configuration.",
            summary="REX-Ray's native CSI plug-in $name.",
            about="""\
`$name` is a CSI plug-in in Python that REX-Ray serves as it is: to orchestrators on the CSI socket, to Docker beside
it. As it was generated, volumes are directories, made visible by links; it waits for your storage.""",
            usage="X_CSI_NATIVE=true X_CSI_DRIVER=$name rexray start -f   # with rexray-server",
            where="""\
`shelf.py` keeps the volumes: replace it. `controller.py`, `node.py` and `identity.py` are the services of CSI,
`driver.py` puts them together, `settings.py` has the settings.""",
        ),
    )
}
"""The kinds by their names."""

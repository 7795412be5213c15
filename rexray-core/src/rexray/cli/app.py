"""What one run of the command line knows: the global flags, and the settings behind them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rexray.paths import Paths
    from rexray.settings import Sources

T = TypeVar("T")

DEFAULT_HOST = "tcp://127.0.0.1:7979"


def all_settings() -> list[type]:
    """The core's settings class and those of every installed plug-in."""
    from rexray.core_settings import CoreSettings
    from rexray.registry import registry

    return [CoreSettings, *registry().settings()]


@dataclass
class App:
    """The state of one run; ``flags`` has the settings flags that were given, by their documented name."""

    config: Path | None = None
    """The file of ``-c``, absolute."""
    format: str = ""
    template: str = ""
    verbose: bool = False
    flags: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def paths(self) -> Paths:
        """The directories of this installation."""
        from rexray.paths import find_paths

        return find_paths()

    @functools.cached_property
    def sources(self) -> Sources:
        """The configuration files, the environment and the flags of this run."""
        return self.read_sources()

    def read_sources(self) -> Sources:
        """The sources as they are now; ``SettingsError`` for a file with a key that no plug-in has."""
        from rexray.settings import Sources, read_files

        sources = Sources(files=read_files(self.paths.config_files, self.config), flags=self.flags)
        if any(name.startswith(("REXRAY_", "LIBSTORAGE", "X_CSI_")) for name in sources.environ):
            from rexray.settings_unknown import warn_of_variables

            warn_of_variables(sources.environ)
        if any(content for _, content in sources.files):
            from rexray.services import check_files

            check_files(sources)
        return sources

    def load(self, settings: type[T]) -> T:
        """An instance of a settings dataclass, from the sources of this run."""
        return self.sources.load(settings)

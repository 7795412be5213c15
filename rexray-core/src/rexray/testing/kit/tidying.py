"""What the rigs of every kind have in common: at their end they take back what the checks made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from rexray.testing.kit.check import Failed
from rexray.testing.kit.patience import patiently


class Tidied(ABC):
    """A context manager that tidies up; what cannot be removed fails a check that had passed until then."""

    patience: float
    """How many seconds that may take, as each check may."""

    @abstractmethod
    def tidy(self) -> None:
        """Remove what the checks made, and nothing else."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            patiently(self.patience, "removing what the check had made", self.tidy)
        except Exception as trouble:
            if error is None:
                raise Failed(f"what the check had made could not be removed: {trouble}") from trouble

"""The conformance kit under pytest: an author subclasses one class for each kind of driver.

::

    from rexray.testing.conformance import StorageConformance
    from rexray.testing.kit.rig import StorageRig

    class TestAcme(StorageConformance):
        @pytest.fixture
        def rig(self, array: FakeArray) -> StorageRig:
            return StorageRig(AcmeStorage, Sources(environ={"ACME_ENDPOINT": array.url}))

Every check is a test of the class. What the driver does not declare is skipped with the reason. A check can be
replaced by a method of its name that says why by :func:`deviation`; without a reason the class is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest

from rexray.testing.kit.check import Check, Skipped, Suite
from rexray.testing.kit.running import perform
from rexray.testing.kit.suites import NODE, OS, STORAGE, VOLUME

if TYPE_CHECKING:
    from rexray.testing.conformance_csi import CSIConformance as CSIConformance

F = TypeVar("F", bound=Callable[..., None])


def deviation(reason: str) -> Callable[[F], F]:
    """Mark a test that replaces one of the kit's with why the driver differs; the report shows it."""
    if not reason.strip():
        raise ValueError("a deviation needs a reason")

    def mark(function: F) -> F:
        function.rexray_deviation = reason  # type: ignore[attr-defined] # a mark, for the report
        return function

    return mark


class Conformance:
    """What the kinds have in common; subclass one of those."""

    suite: ClassVar[Suite[Any]]
    rig_type: ClassVar[str]
    """What the fixture ``rig`` has to return, with its article."""

    @pytest.fixture
    def rig(self) -> Any:
        """The driver under test: override this."""
        raise NotImplementedError(f"{type(self).__qualname__} needs a fixture 'rig' that returns {self.rig_type}")

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "suite" in cls.__dict__:
            for check in cls.suite.checks():
                setattr(cls, f"test_{check.name}", _test_of(check))
            return
        for name, test in cls.__dict__.items():
            replaces = getattr(getattr(super(cls, cls), name, None), "rexray_check", None)
            if replaces is None or not callable(test):
                continue
            if not getattr(test, "rexray_deviation", ""):
                raise TypeError(
                    f"{cls.__qualname__}.{name} replaces a check of the kit without a reason: "
                    f"write @deviation('why') above it"
                )
            test.rexray_check = replaces


def _test_of(check: Check[Any]) -> Callable[..., None]:
    def test(self: Conformance, rig: Any) -> None:
        with rig:
            try:
                perform(check, rig)
            except Skipped as skipped:
                pytest.skip(str(skipped))

    test.__name__ = f"test_{check.name}"
    test.__doc__ = check.help
    test.rexray_check = check  # type: ignore[attr-defined] # which the report looks for
    return test


class StorageConformance(Conformance):
    """The checks of storage drivers."""

    suite = STORAGE
    rig_type = "a StorageRig"


class NodeConformance(Conformance):
    """The checks of node drivers."""

    suite = NODE
    rig_type = "a NodeRig"


class OSConformance(Conformance):
    """The checks of OS drivers."""

    suite = OS
    rig_type = "an OSRig"


class VolumeConformance(Conformance):
    """The checks of volume drivers."""

    suite = VOLUME
    rig_type = "a VolumeRig"


def __getattr__(name: str) -> Any:
    """``CSIConformance``, which needs ``rexray-core[csi]``: nobody else does."""
    if name == "CSIConformance":
        from rexray.testing.conformance_csi import CSIConformance

        return CSIConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

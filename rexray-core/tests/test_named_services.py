"""Services that files configure: which there are, which one is used, and what holds for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rexray import services
from rexray.errors import InvalidRequest, NotInstalled, SettingsError
from rexray.paths import find_paths
from rexray.settings import Sources, read_files, setting
from rexray.volumes.settings import VolumeSettings

ORIGINALS = """
libstorage:
  server:
    services:
      fast:
        driver: acme
        acme: {endpoint: f}
      Slow:
        driver: acme
        rexray.docker.size: 8
acme:
  endpoint: everybody
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeSettings:
    """Settings of a made-up platform."""

    endpoint: str = setting("", key="acme.endpoint", help="Where")
    retries: int = setting(3, key="acme.maxRetries", help="Tries")
    place: str = setting("", key="acme.place", help="Place", older=("anvilZone",))


def sources_of(folder: Path, *texts: str, environ: Mapping[str, str] | None = None, **flags: str) -> Sources:
    """The sources of a run whose configuration files, lowest first, have those texts."""
    files = []
    for number, text in enumerate(texts):
        files.append(folder / f"{number}.yml")
        files[-1].write_text(text)
    given = {f"--{name}": value for name, value in flags.items()}
    return Sources(files=read_files(files), environ=environ or {}, flags=given)


def load(sources: Sources) -> AcmeSettings:
    return services.scoped(sources).load(AcmeSettings)


def test_services_are_those_of_both_forms_and_all_files_in_any_case(tmp_path: Path) -> None:
    found = sources_of(tmp_path, ORIGINALS, "rexray.services: {third: , fast.driver: other}")
    assert services.configured(found) == ("fast", "slow", "third")
    assert services.configured(sources_of(tmp_path, "acme.endpoint: x")) == ()
    assert services.configured(sources_of(tmp_path, "rexray: {services: {}}")) == ()


def test_one_service_is_used_unasked_and_several_are_named(tmp_path: Path) -> None:
    alone = "rexray.services.fast.driver: acme"
    assert services.choose(sources_of(tmp_path, alone)) == "fast"
    assert services.choose(sources_of(tmp_path, "acme.endpoint: x", environ={"REXRAY_SERVICE": "acme"})) == ""
    with pytest.raises(InvalidRequest, match=r"several services are configured \(fast, slow\): choose one by -s"):
        services.choose(sources_of(tmp_path, ORIGINALS))
    for choice in (
        sources_of(tmp_path, ORIGINALS, environ={"REXRAY_SERVICE": "slow"}),
        sources_of(tmp_path, ORIGINALS, environ={"REXRAY_SERVICE": "fast"}, service="SLOW"),
        sources_of(tmp_path, ORIGINALS, "rexray.service: Slow"),
    ):
        assert services.choose(choice) == "slow"
    for wrong in (sources_of(tmp_path, ORIGINALS, service="acme"), sources_of(tmp_path, alone, service="slow")):
        with pytest.raises(InvalidRequest, match="is not configured; the services are: fast"):
            services.choose(wrong)


def test_a_flag_wins_over_the_service_that_over_the_environment_and_that_over_all_of_the_files(tmp_path: Path) -> None:
    world = {"ACME_ENDPOINT": "world"}
    assert load(sources_of(tmp_path, ORIGINALS, service="fast")).endpoint == "f"
    assert load(sources_of(tmp_path, ORIGINALS, environ=world, service="fast")).endpoint == "f"
    assert load(sources_of(tmp_path, ORIGINALS, environ=world, service="fast", acmeEndpoint="flag")).endpoint == "flag"
    assert load(sources_of(tmp_path, ORIGINALS, environ=world, service="slow")).endpoint == "world"
    assert load(sources_of(tmp_path, ORIGINALS, service="slow")).endpoint == "everybody"
    assert load(sources_of(tmp_path, ORIGINALS)).endpoint == "everybody"
    slow = services.scoped(sources_of(tmp_path, ORIGINALS, environ={"REXRAY_DOCKER_SIZE": "1"}, service="slow"))
    assert slow.load(VolumeSettings).size == "8"


def test_a_later_file_wins_and_within_one_our_own_form(tmp_path: Path) -> None:
    ours, theirs = "rexray.services.fast.acme.endpoint: ours", "libstorage.server.services.fast.acme.endpoint: theirs"
    assert load(sources_of(tmp_path, ours, theirs, service="fast")).endpoint == "theirs"
    assert load(sources_of(tmp_path, theirs, ours, service="fast")).endpoint == "ours"
    assert load(sources_of(tmp_path, f"{theirs}\n{ours}", service="fast")).endpoint == "ours"
    assert load(sources_of(tmp_path, ours, "acme.endpoint: later", service="fast")).endpoint == "ours"


def test_older_keys_can_be_nested_and_origins_have_the_whole_key(tmp_path: Path) -> None:
    found = services.scoped(sources_of(tmp_path, "rexray.services.fast: {driver: acme, anvilZone: east}"))
    zone = next(item for item in found.effective(AcmeSettings) if item.option.name == "place")
    assert (zone.value, zone.where) == ("east", f"{tmp_path}/0.yml:1:38: rexray.services.fast.anvilZone")


def test_a_wrong_value_is_refused_with_the_file_and_the_whole_key(tmp_path: Path) -> None:
    found = sources_of(tmp_path, "libstorage.server.services.fast: {driver: acme, acme.maxRetries: few}")
    with pytest.raises(SettingsError) as refused:
        load(found)
    where = f"{tmp_path}/0.yml:1:49: libstorage.server.services.fast.acme.maxRetries"
    assert str(refused.value) == f"{where}: 'few' is not a whole number"


@pytest.mark.parametrize("name", ["..", "a b", "-a", "a/b", "é", "x" * 41, "''"])
def test_what_is_no_name_for_a_directory_and_a_key_is_none_for_a_service(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"0\.yml:1:\d+: rexray\.services\..*: a service is called by"):
        services.choose(sources_of(tmp_path, f"rexray: {{services: {{{name}: {{driver: acme}}}}}}"))


def test_two_services_whose_names_differ_by_their_case_alone_are_refused(tmp_path: Path) -> None:
    text = "rexray: {services: {fast: {driver: acme, acme: {endpoint: a}}, FAST: {acme: {endpoint: b}}}}"
    with pytest.raises(SettingsError, match=r"0\.yml:1:78: rexray\.services\.fast\.acme\.endpoint is written twice"):
        sources_of(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rexray.services.fast.driver: acme", "rexray.services.fast.driver: driver 'acme' is not installed: pip "),
        ("rexray.services.acme: {}", "rexray.services.acme: driver 'acme' is not installed: pip install "),
        ("rexray.services.acme:", "rexray.services.acme: driver 'acme' is not installed: pip install "),
    ],
)
def test_a_driver_that_is_not_installed_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    found = sources_of(tmp_path, text)
    services.check_files(found)  # other services can be used all the same
    with pytest.raises(NotInstalled) as refused:
        services.load(found, services.choose(found))
    assert str(refused.value).startswith(f"{tmp_path}/0.yml:1:1: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rexray.services.fast: acme", "rexray.services.fast: its settings are expected, such as"),
        ("rexray.services: [fast]", "rexray.services: services are expected, such as rexray.services.NAME.driver"),
        ("rexray.services.fast.driver: [acme]", "rexray.services.fast.driver: ['acme'] is not the name of a driver"),
        ("libstorage.server.service.fast.driver: acme", "unknown setting 'libstorage.server.service.fast.driver'; "),
    ],
)
def test_what_configures_no_service_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        services.check_files(sources_of(tmp_path, text))
    assert str(refused.value).startswith(f"{tmp_path}/0.yml:1:1: {message}")


def test_a_service_has_a_directory_of_its_own_and_the_hosts_locks() -> None:
    paths = find_paths({"REXRAY_HOME": "/h"})
    assert paths.of_service("") is paths
    fast = paths.of_service("fast")
    assert (fast.lib, fast.run) == (Path("/h/var/lib/services/fast"), paths.run)

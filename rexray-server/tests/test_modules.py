"""Which modules the settings name, where they are, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rexray.errors import SettingsError
from rexray.paths import find_paths
from rexray.settings import Sources, read_files
from rexray_server import modules
from rexray_server.modules import Module
from rexray_server.settings import ServerSettings


def sources(folder: Path, text: str, **environ: str) -> Sources:
    file = folder / "config.yml"
    file.write_text(text)
    return Sources(files=read_files([file]), environ={"REXRAY_HOME": str(folder), **environ})


def found(folder: Path, text: str, **environ: str) -> dict[str, Module]:
    paths = find_paths({"REXRAY_HOME": str(folder), "HOME": str(folder)})
    return {module.name: module for module in modules.find(sources(folder, text, **environ), paths, folder)}


def addresses(folder: Path, text: str, **environ: str) -> dict[str, str]:
    return {name: module.address for name, module in found(folder, text, **environ).items()}


def test_without_modules_there_is_the_default_one(short_dir: Path) -> None:
    plugins = short_dir / "run/docker/plugins"
    assert addresses(short_dir, "") == {"default-csi": f"{plugins}/rexray.sock"}
    assert addresses(short_dir, "", CSI_ENDPOINT="unix:///x.sock") == {"default-csi": "/x.sock"}
    assert addresses(short_dir, "csi: {endpoint: here.sock}") == {"default-csi": f"{short_dir}/here.sock"}


def test_each_module_has_its_endpoint_and_an_endpoint_that_was_said_stays(short_dir: Path) -> None:
    text = "rexray: {modules: {a: {host: 'tcp://127.0.0.1:7980'}, b: {desc: the other}, c: {disabled: true}}}"
    configured = {"a": "tcp://127.0.0.1:7980", "b": f"{short_dir}/run/docker/plugins/b.sock"}
    assert addresses(short_dir, text) == configured
    assert addresses(short_dir, text, CSI_ENDPOINT="/x.sock") == {**configured, "default-csi": "/x.sock"}
    assert addresses(short_dir, text, CSI_ENDPOINT="tcp://127.0.0.1:7980") == configured


def test_the_default_module_may_be_configured_and_left_out(short_dir: Path) -> None:
    text = "rexray.modules: {default-csi: {type: docker}}"
    (module,) = found(short_dir, text, CSI_ENDPOINT="/x.sock").values()
    assert (module.address, module.settings.type) == ("/x.sock", "docker")
    text = "rexray.modules: {default-csi: {disabled: true}, a: {}, b: {host: /b.sock}}"
    assert addresses(short_dir, text, CSI_ENDPOINT="/x.sock") == {"b": "/b.sock"} | {
        name: address for name, address in addresses(short_dir, text).items() if name == "a"
    }


def test_several_services_have_a_module_each_until_one_is_chosen(short_dir: Path) -> None:
    text = "rexray.services: {fast: {driver: rbd}, slow: {driver: rbd}}"
    plugins = short_dir / "run/docker/plugins"
    assert addresses(short_dir, text) == {name: f"{plugins}/{name}.sock" for name in ("fast", "slow")}
    assert addresses(short_dir, text, REXRAY_SERVICE="fast") == {"default-csi": f"{plugins}/rexray.sock"}
    assert addresses(short_dir, text, CSI_ENDPOINT="/x.sock") == {"default-csi": "/x.sock"}
    assert addresses(short_dir, text, X_CSI_NATIVE="true") == {"default-csi": f"{plugins}/rexray.sock"}


def test_what_is_nested_holds_for_that_module_alone_before_the_environment(short_dir: Path) -> None:
    text = "rexray.modules: {a: {host: /a.sock, csi: {mode: node}, csi.nodocker: true}, b: {host: /b.sock}}"
    both = found(short_dir, text, X_CSI_MODE="controller")
    loaded = {name: module.sources.load(ServerSettings) for name, module in both.items()}
    assert (loaded["a"].mode, loaded["a"].no_docker) == ("node", True)
    assert (loaded["b"].mode, loaded["b"].no_docker) == ("controller", False)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "rexray.modules: {a: {type: flexrex}}",
            ":1:22: rexray.modules.a.type: 'flexrex' is not one of csi, docker, d",
        ),
        ("rexray.modules: {a: {host: 'http://x'}}", ":1:22: rexray.modules.a.host: 'http://x' is no endpoint"),
        (
            "rexray.modules: {a: {host: 'tcp://x:70000'}}",
            ":1:22: rexray.modules.a.host: 'tcp://x:70000' is no endpoint",
        ),
        ("rexray.modules: {a: {startTimeout: soon}}", ":1:22: rexray.modules.a.startTimeout: 'soon' is not a duration"),
        ("rexray.modules: {a: {disabled: true}}", ":1:22: rexray.modules: every module is disabled"),
        ("rexray.modules: {a: {csi.endpoint: /x}}", "a module's endpoint is its host: say rexray.modules.a.host"),
        ("rexray.modules: {a: {host: /x}, b: {host: /x}}", "modules 'a' and 'b' have one endpoint, /x: give each"),
        ("rexray.modules: {a: {spec: perhaps}}", "rexray.modules.a.spec: 'perhaps' is not one of auto, true, false"),
        (f"rexray.modules: {{a: {{host: /{'x' * 200}}}}}", "a socket's path has at most 107 bytes"),
    ],
)
def test_a_wrong_module_is_refused_with_its_place(short_dir: Path, text: str, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        found(short_dir, text)
    assert str(caught.value).startswith(f"{short_dir}/config.yml:1:")
    assert fault in str(caught.value)

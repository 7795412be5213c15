"""The jobs that run a CSI plug-in in Nomad: a controller, and a node on every client.

Facts: Nomad's documentation of the job specification, of its ``csi_plugin`` and ``template`` blocks, and of the task
driver ``docker``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rexray_server.deploy.subject import CONFIG, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Nomad:
    """How the plug-in runs in Nomad.

    ``host_paths`` are directories of each client that nodes see at the same path, and write to after ``:rw``.
    """

    namespace: str
    image: str
    host_paths: tuple[str, ...] = ()


def controller_job(subject: Subject, nomad: Nomad) -> str:
    """The job of the controller; its credentials are those that Nomad keeps for it as variables of the job."""
    name = f"{subject.name}-controller"
    note = f"# Its credentials: nomad var put nomad/jobs/{name} NAME=VALUE ..., which become its environment."
    path = f'\\"nomad/jobs/{name}\\"'
    credentials = _block(
        "template",
        _set("destination", "${NOMAD_SECRETS_DIR}/credentials.env", raw=True),
        _set("env", True),
        # without that question Nomad would wait for variables that a driver may do without
        f'data = "{{{{ if nomadVarExists {path} }}}}{{{{ with nomadVar {path} }}}}{{{{ range .Tuples }}}}'
        '{{ .K }}={{ .V | toJSON }}\\n{{ end }}{{ end }}{{ end }}"',
    )
    return _job(subject, nomad, "controller", note, _set("count", 1), [], credentials)


def node_job(subject: Subject, nomad: Nomad) -> str:
    """The job of the nodes, which have no credentials."""
    volumes = [  # but for /dev, which Nomad mounts into each plug-in: Docker refuses a second mount there
        "/run/udev:/run/udev:ro",
        "/lib/modules:/lib/modules:ro",
        f"/var/lib/rexray/csi/{subject.plugin}:/var/lib/rexray:rshared",
        f"/run/rexray-csi/{subject.plugin}:/run/rexray",
        *(f"{path}:{path}:{mode or 'ro'}" for path, _, mode in (shown.partition(":") for shown in nomad.host_paths)),
    ]
    note = (
        "# Clients allow their docker plugin privileged containers and volumes: allow_privileged and volumes.enabled."
    )
    return _job(subject, nomad, "node", note, "", volumes, "")


def _job(
    subject: Subject, nomad: Nomad, half: str, note: str, count: str, volumes: Sequence[str], credentials: str
) -> str:
    node = half == "node"
    mounts = [*volumes, *([f"local/config.yml:{CONFIG}:ro"] if subject.configs else [])]
    config = _block(
        "config",
        _set("image", nomad.image),
        _set("args", ["start", "-f", "--nopid"]),
        *([_set("privileged", True), *(_set(f"{what}_mode", "host") for what in _SHARED)] if node else []),
        *([_set("volumes", mounts)] if mounts else []),
    )
    plugin = _block(
        "csi_plugin",
        _set("id", subject.name),
        _set("type", half),
        _set("mount_dir", "/csi"),
        _set("health_timeout", "60s"),
    )
    task = _block(
        'task "rexray"',
        _set("driver", "docker"),
        _set("kill_timeout", "45s"),
        config,
        plugin,
        _block("env", *(_set(name, value) for name, value in subject.environment(half).items())),
        credentials,
        _config_file(subject, half),
        _block("resources", _set("cpu", 100), _set("memory", 256)),
    )
    group = _block(f'group "{half}"', count, task)
    job = _block(
        f'job "{subject.name}-{half}"',
        _set("namespace", nomad.namespace),
        _set("datacenters", ["*"]),
        _set("type", "system" if node else "service"),
        group,
    )
    return f"{note}\n{job}\n"


def _config_file(subject: Subject, half: str) -> str:
    """The configuration, in which nothing is replaced: its delimiters are none that a configuration has."""
    if not subject.configs:
        return ""
    return _block(
        "template",
        _set("destination", "local/config.yml"),
        _set("left_delimiter", "[[[REXRAY"),
        _set("right_delimiter", "REXRAY]]]"),
        _set("data", subject.configs[half]),
    )


def _block(head: str, *parts: str) -> str:
    lines = "\n".join(part for part in parts if part).splitlines()
    return "\n".join([f"{head} {{", *(f"  {line}" for line in lines), "}"])


def _set(name: str, value: object, *, raw: bool = False) -> str:
    return f"{name} = {_value(value, raw=raw)}"


def _value(value: object, *, raw: bool = False) -> str:
    """A value as HCL writes it; ``raw`` leaves ``${...}`` to be replaced, which is else taken as it stands."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(item) for item in value)}]"
    text = "".join(_ESCAPES.get(letter, letter) for letter in str(value))
    return f'"{text if raw else text.replace("${", "$${").replace("%{", "%%{")}"'


_SHARED = ("ipc", "network", "pid")
"""What a node has of its host: udev ends what device mapper waits for by semaphores, and users of a device are looked
for among all processes before it is taken away."""
_ESCAPES: Mapping[str, str] = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

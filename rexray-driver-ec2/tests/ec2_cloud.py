"""An EC2 that enforces what EC2 enforces of EBS: moto's server on loopback, its calls about volumes replaced.

``python ec2_cloud.py --ready FILE`` writes its port to FILE. moto has the wire format, instances, zones and tags;
volumes, attachments and snapshots are of ``ec2_store``, since moto has no states for them and checks little.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.core.utils import camelcase_to_underscores

import ec2_attaching as attaching
import ec2_rules as rules
import ec2_snapshots as snapshots
import ec2_volumes as volumes
from ec2_devices import LoopDevices, NvmeDevices
from ec2_proxy import error_body
from ec2_store import Knobs, Region, Store

Handler = Callable[[Store, Region, rules.Params], rules.Answer]
Start = Callable[[str, list[tuple[str, str]]], object]

HANDLERS: dict[str, Handler] = {
    handler.__name__: handler
    for handler in (
        attaching.attach_volume,
        attaching.detach_volume,
        snapshots.copy_snapshot,
        snapshots.create_snapshot,
        snapshots.delete_snapshot,
        snapshots.describe_snapshots,
        volumes.create_volume,
        volumes.delete_volume,
        volumes.describe_volume_status,
        volumes.describe_volumes,
        volumes.describe_volumes_modifications,
        volumes.modify_volume,
    )
}


def install(store: Store) -> None:
    """Put the store's calls in the place of moto's."""
    from moto.core.responses import ActionResult
    from moto.ec2.responses.elastic_block_store import ElasticBlockStore

    def replaced(handler: Handler) -> Callable[[Any], Any]:
        def method(response: Any) -> Any:
            region = store.region(response.region, response.ec2_backend)
            with store.lock:
                store.advance()
                return ActionResult(handler(store, region, response.params))

        return method

    for name, handler in HANDLERS.items():
        setattr(ElasticBlockStore, name, replaced(handler))
    _install_instances(store)
    _install_tags(store)


def _install_instances(store: Store) -> None:
    """Instances stay moto's; their volumes are the store's."""
    from moto.ec2.models import instances
    from moto.ec2.responses import instances as calls

    # moto's classes, of which mypy knows that their methods are no variables
    machines: Any = calls.InstanceResponse
    machine: Any = instances.Instance
    run, describe, terminate = machines.run_instances, machines.describe_instances, machines.terminate_instances

    def region_of(response: Any) -> Region:
        return store.region(response.region, response.ec2_backend)

    def run_instances(response: Any) -> Any:
        answer = run(response)
        with store.lock:
            for instance in answer.result.instances:
                attaching.adopt(store, region_of(response), instance)
        return answer

    def describe_instances(response: Any) -> Any:
        rules.check_page(response.params, "InstanceIds")
        response.params.setdefault("MaxResults", 1000)
        store.advance()
        try:
            return describe(response)
        except ValueError:
            raise rules.refuse("InvalidParameterValue", "Unable to parse pagination token") from None

    def terminate_instances(response: Any) -> Any:
        region = region_of(response)
        store.advance()
        ids = response.params.get("InstanceIds") or []
        answer = terminate(response)
        with store.lock:
            for word in ids:
                attaching.release(store, region, region.instance(word))
        return answer

    def mappings(instance: Any) -> list[rules.Answer]:
        with store.lock:
            return attaching.mappings(store.region(instance.region_name, instance.ec2_backend), instance.id)

    machine.block_device_mappings = property(mappings)

    machines.run_instances = run_instances
    machines.describe_instances = describe_instances
    machines.terminate_instances = terminate_instances


def _install_tags(store: Store) -> None:
    """Tags stay moto's, which does not know the store's volumes."""
    from moto.core.responses import EmptyResult
    from moto.ec2.responses.tags import TagResponse

    tags_of: Any = TagResponse
    create_tags = tags_of.create_tags

    def tag(response: Any) -> Any:
        region = store.region(response.region, response.ec2_backend)
        resources = response.params.get("Resources") or []
        tags = {item["Key"]: item.get("Value") or "" for item in response.params.get("Tags") or ()}
        with store.lock:
            store.advance()
            for key, value in tags.items():
                rules.check_tag(key, value)
            ours = [word for word in resources if word.startswith(("vol-", "snap-"))]
            for word in ours:
                region.volume(word) if word.startswith("vol-") else region.snapshot(word)
            response.params["Resources"] = [word for word in resources if word not in ours]
            volumes.dry_run(response.params)
            answer = create_tags(response) if response.params["Resources"] else EmptyResult()
            region.backend.create_tags(ours, tags)
        return answer

    tags_of.create_tags = tag


class Front:
    """What is before moto: ``/control``, and whether a key may make a call."""

    def __init__(self, store: Store, application: Any) -> None:
        from moto.ec2.responses import EC2Response

        self.response = EC2Response
        self.store = store
        self.application = application
        self.calls = 0

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ.get("PATH_INFO") == "/control":
            return self._control(body, start)
        with self.store.lock:
            self.calls += 1
        refused = self._refusal(environ, body)
        if refused is not None:
            return _error(start, *refused)
        environ["wsgi.input"] = io.BytesIO(body)
        return cast(Iterable[bytes], self.application(environ, start))

    def _refusal(self, environ: dict[str, Any], body: bytes) -> tuple[str, str, str] | None:
        """The status, code and message for a caller who may not make this call."""
        action = (re.findall(rb"(?:^|&)Action=(\w+)", body) or [b""])[0].decode()
        if action and not hasattr(self.response, camelcase_to_underscores(action)):
            return "400 Bad Request", "InvalidAction", f"The action {action} is not valid for this web service."
        known = self.store.knobs.keys
        if not known:
            return None
        header = environ.get("HTTP_AUTHORIZATION", "")
        found = re.search(r"Credential=([^/]+)/(\d+)/([^/]+)/([^/]+)/", header)
        key = known.get(found[1]) if found else None
        if found is None or key is None:
            message = "AWS was not able to validate the provided access credentials"
            return "401 Unauthorized", "AuthFailure", message
        if key.get("secret") and not _signed(environ, body, (found[1], key["secret"]), found[3]):
            message = "AWS was not able to validate the provided access credentials"
            return "401 Unauthorized", "AuthFailure", message
        if key.get("expired"):
            return "400 Bad Request", "RequestExpired", "Request has expired."
        if action in key.get("denied", ()):
            message = f"You are not authorized to perform this operation: ec2:{action}"
            return "403 Forbidden", "UnauthorizedOperation", message
        return None

    def _control(self, body: bytes, start: Start) -> Iterable[bytes]:
        wanted = json.loads(body or b"{}")
        status = "200 OK"
        answer: dict[str, Any] = {}
        try:
            if wanted.pop("reset", False):
                reset(self.store)
            for word, state in (wanted.pop("instance_states", None) or {}).items():
                self._set_instance_state(word, state)
            read = wanted.pop("state", False)
            with self.store.lock:
                for name, value in wanted.items():
                    self.store.knobs.set(name, value)
                knobs, trouble = asdict(self.store.knobs), self.store.trouble[:]
                answer = {"knobs": knobs, "trouble": trouble, "calls": self.calls}
            if read:
                answer["regions"] = self.store.dump()
                answer["devices"] = self._devices()
                answer["files"] = str(getattr(self.store.devices, "folder", ""))
        except KeyError as error:
            status, answer = "400 Bad Request", {"error": f"there is no {error}; but {sorted(asdict(Knobs()))}"}
        content = json.dumps(answer).encode()
        start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
        return [content]

    def _devices(self) -> dict[str, list[str]]:
        devices = self.store.devices
        shown = devices.shown if isinstance(devices, LoopDevices) else {}
        return {volume: [str(loop), str(node)] for volume, (loop, node) in shown.copy().items()}

    def _set_instance_state(self, word: str, state: str) -> None:
        codes = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
        for region in self.store.regions.values():
            for reservation in region.backend.reservations.values():
                for instance in reservation.instances:
                    if instance.id == word:
                        instance._state.name, instance._state.code = state, codes[state]


def _signed(environ: dict[str, Any], body: bytes, credentials: tuple[str, str], region: str) -> bool:
    """Whether the signature is that of the key's secret."""
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers |= {"content-type": environ.get("CONTENT_TYPE", ""), "content-length": environ.get("CONTENT_LENGTH", "")}
    claim = headers.pop("authorization")
    names = re.search(r"SignedHeaders=([^,]+)", claim)
    signed = names[1].split(";") if names else []
    request = AWSRequest(
        method=environ["REQUEST_METHOD"],
        url=f"http://{environ['HTTP_HOST']}{environ.get('PATH_INFO') or '/'}",
        data=body,
        headers={name: headers[name] for name in signed if name in headers},
    )
    request.context["timestamp"] = headers.get("x-amz-date", "")
    signer = SigV4Auth(Credentials(*credentials), "ec2", region)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return bool(claim.endswith(f"Signature={signature}"))


def _error(start: Start, status: str, code: str, message: str) -> Iterable[bytes]:
    content = error_body(code, message)
    start(status, [("Content-Type", "text/xml;charset=UTF-8"), ("Content-Length", str(len(content)))])
    return [content]


def reset(store: Store) -> None:
    """Begin anew, with no instances and volumes; the default network of a region is made again when it is used."""
    from moto.ec2.models import ec2_backends

    store.reset()
    with store.lock:
        ec2_backends.reset()


def serve(store: Store, ready: Path | None) -> None:
    """Serve until SIGTERM, or until who has started this is gone."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    install(store)
    application = Front(store, DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    if ready is not None:
        fresh = ready.with_name(f"{ready.name}.new")
        fresh.write_text(str(server.port))
        fresh.rename(ready)
    if store.devices is not None:
        # calls advance the store themselves, but a device has to appear with no call
        threading.Thread(target=_advance, args=(store, ended), daemon=True).start()
    parent = os.getppid()
    while not ended.wait(0.2) and os.getppid() == parent:
        pass
    server.shutdown()


def _advance(store: Store, ended: threading.Event) -> None:
    while not ended.wait(0.005):
        store.advance()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ready", type=Path, help="a file to write the port to")
    parser.add_argument("--devices", action="store_true", help="show volumes as block devices of this host")
    parser.add_argument("--nodes", type=Path, default=Path("/dev"), help="where their nodes are")
    parser.add_argument("--sys", type=Path, help="show them as NVMe devices in this sysfs, as on Nitro")
    options = parser.parse_args(arguments)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # moto loads a thousand images in each region and after each reset unless this is set; only that it is counts now
    os.environ["MOTO_AMIS_PATH"] = "-"
    with tempfile.TemporaryDirectory(prefix="ec2-cloud-") as name:
        files = Path(name) / "volumes"
        devices: LoopDevices | None = None
        if options.sys:
            devices = NvmeDevices(files, options.nodes, options.sys)
        elif options.devices:
            devices = LoopDevices(files, options.nodes)
        try:
            serve(Store(devices), options.ready)
        finally:
            if devices is not None:
                devices.close()


if __name__ == "__main__":
    main(sys.argv[1:])

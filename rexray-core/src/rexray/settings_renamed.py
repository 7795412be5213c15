"""The names of the original's settings that are refused: what each is now, or why it has no meaning here.

A name that still works is no entry: it is an ``older`` key of its setting. Keys are in the original's spelling, and
found in any; where one ends with a dot, all below it is meant.
"""

from __future__ import annotations

from collections.abc import Mapping

from rexray.settings_options import FALSE, TRUE, variable_of

_NO_SERVER = "every host uses its platform itself, without a libStorage server"
_NO_TLS = f"{_NO_SERVER} to which there would be TLS"
_NO_TOKEN = "nobody needs a token: who may use the service is who may open its socket (csi.endpointPerms)"
_NO_CACHE = "where a volume is mounted is asked of the kernel each time, and not remembered"
_OWN_TIMES = "each driver has settings for how long its platform may take, such as ec2.timeout"
_NO_RACKSPACE = "no installed plug-in has it, and there is none for rackspace"
_NO_EXECUTOR = "there are no executors to download: drivers are installed by pip"
_NO_NVME = "the kernel is asked which volume an NVMe device is, without a program"

RENAMED: Mapping[str, str] = {
    "libstorage.disabled": "csi.native",
    "rexray.docker.mount.path": "rexray.volume.mount.path",
    "xtremIoRemoteManagement": "rexray.remoteManagement",
}
"""What means the same by another name, though not everywhere."""

GONE: Mapping[str, str] = {
    "libstorage.host": _NO_SERVER,
    "libstorage.embedded": _NO_SERVER,
    "libstorage.storage.driver": f"{_NO_SERVER}; storage drivers are named by rexray.storageDrivers",
    "libstorage.integration.driver": "what composes drivers is named by rexray.volumeDrivers",
    "libstorage.driver": "each service says its own: rexray.services.NAME.driver",
    "libstorage.server.driver": "each service says its own: rexray.services.NAME.driver",
    "libstorage.logging.stdout": "the log goes to the standard error, or to rexray.log in the background",
    "libstorage.logging.stderr": "the log goes to the standard error, or to rexray.log in the background",
    "libstorage.logging.httpRequests": "rexray.logLevel: debug logs calls",
    "libstorage.logging.httpResponses": "rexray.logLevel: debug logs calls",
    "libstorage.http.disableKeepAlive": _NO_SERVER,
    "libstorage.http.writeTimeout": _NO_SERVER,
    "libstorage.http.readTimeout": _NO_SERVER,
    "libstorage.client.type": _NO_SERVER,
    "libstorage.client.cache.instanceID": "who this host is is asked anew by each process",
    "libstorage.client.auth.token": _NO_TOKEN,
    "libstorage.device.scanType": "drivers say where a device appears, and the OS driver waits for it",
    "libstorage.executor.path": _NO_EXECUTOR,
    "libstorage.executor.disableDownload": _NO_EXECUTOR,
    "libstorage.server.autoEndpointMode": _NO_SERVER,
    "libstorage.server.endpoints": _NO_SERVER,
    "libstorage.server.endpoints.": _NO_SERVER,
    "libstorage.server.tasks.exeTimeout": _OWN_TIMES,
    "libstorage.server.tasks.logTimeout": _OWN_TIMES,
    "libstorage.server.parseRequestOpts": _NO_SERVER,
    **{f"libstorage.server.auth.{name}": _NO_TOKEN for name in ("key", "alg", "allow", "deny", "disabled")},
    "libstorage.schema.responseValidationEnabled": _NO_SERVER,
    "libstorage.tls": _NO_TLS,
    **{
        f"libstorage.tls.{name}": _NO_TLS
        for name in ("disabled", "insecure", "clientCertRequired", "serverName", "verifyPeers", "certFile", "keyFile")
    },
    "libstorage.tls.trustedCertsFile": _NO_TLS,
    "libstorage.tls.knownHosts": _NO_TLS,
    "libstorage.integration.volume.operations.path.cache.enabled": _NO_CACHE,
    "libstorage.integration.volume.operations.path.cache.async": _NO_CACHE,
    "rexray.volume.path.cache": _NO_CACHE,
    "rexray.volume.path.cache.": _NO_CACHE,
    **{f"rexray.token.{name}": _NO_TOKEN for name in ("key", "alg", "exp")},
    "rexray.csi.nfs.volumes": "no installed plug-in has it, and there is none for csi-nfs",
    "csi.goplugins": "plug-ins are installed by pip, or put in the plug-ins' folder as files",
    "csi.libstorage.timeout": _OWN_TIMES,
    "csi.vfs.timeout": "mounts are made by system call, which needs no limit",
    "scaleio.userID": "the gateway knows its users by scaleio.userName",
    **{f"{root}.nvmeBinPath": _NO_NVME for root in ("ebs", "ec2", "aws")},
    **{
        f"rackspace{name}": _NO_RACKSPACE
        for name in ("AuthUrl", "UserId", "UserName", "Password", "TenantId", "TenantName", "DomainId", "DomainName")
    },
}
"""What has no meaning here, and why."""

ABSENT = (
    "azureud",
    "cinder",
    "dobs",
    "efs",
    "fittedcloud",
    "gcepd",
    "isilon",
    "rackspace",
    "s3fs",
    "vfs",
    "virtualbox",
)
"""The roots of drivers that the original had, and for which there is no distribution."""

SCOPES = ("libstorage.client.", "libstorage.server.", "rexray.cli.", "rexray.agent.")
"""What the original had for its parts, below which any key could be nested: here one process is all of them."""

_NO_VALUES: frozenset[str] = frozenset()
_ONE_HOME = "there is only REXRAY_HOME, with all directories below it"
_DEBUG = "REXRAY_LOGLEVEL=debug logs calls"
_REQUIRED = "each plug-in says what its calls need"
_PROFILES = "profiles of a Python program are made by other tools, such as py-spy"

_VARIABLES: dict[str, tuple[str, frozenset[str]]] = {
    "DOCKER_LEGACY": ("how Docker is served follows from csi.driver (X_CSI_DRIVER)", TRUE),
    "LIBSTORAGE": ("it is now X_CSI_NATIVE, with true and false exchanged", TRUE),
    "LIBSTORAGE_DISABLED": ("it is now X_CSI_NATIVE", FALSE),
    "LIBSTORAGE_APPTOKEN": ("there is only one name for files, rexray", _NO_VALUES),
    "LIBSTORAGE_HOME": ("it is now REXRAY_HOME", _NO_VALUES),
    **dict.fromkeys(
        (f"REXRAY_HOME_{name}" for name in ("ETC", "ETC_TLS", "LIB", "LOG", "RUN")), (_ONE_HOME, _NO_VALUES)
    ),
    "LIBSTORAGE_TLS_SOCKITTOME": (_NO_TLS, FALSE),
    "LIBSTORAGE_DISABLE_STARTUP_INFO": ("there is no such information at the start", TRUE),
    "REXRAY_TRACE_PROFILE": (_PROFILES, FALSE),
    "REXRAY_CPU_PROFILE": (_PROFILES, FALSE),
    "REXRAY_PROFILE_ADDR": (_PROFILES, _NO_VALUES),
    "REXRAY_DAEMONDRIVERS": ("the service serves Docker and CSI; rexray.modules says at which endpoints", _NO_VALUES),
    "GOFIG_DISABLE_ENVVAR_SUBSTITUTION": ("write $$ for a $ at the beginning of a value in a file", FALSE),
    "GOXTREMIO_REMOTEMANAGEMENT": ("it is now REXRAY_REMOTEMANAGEMENT", FALSE),
    "CSI_GOPLUGINS": (GONE["csi.goplugins"], _NO_VALUES),
    "X_CSI_GO_PLUGINS": (GONE["csi.goplugins"], _NO_VALUES),
    "X_CSI_DEBUG": (_DEBUG, FALSE),
    "X_CSI_LOG_LEVEL": ("it is now REXRAY_LOGLEVEL", _NO_VALUES),
    "X_CSI_REQ_LOGGING": (_DEBUG, FALSE),
    "X_CSI_REP_LOGGING": (_DEBUG, FALSE),
    "X_CSI_LOG_DISABLE_VOL_CTX": ("the contexts of volumes are not logged", TRUE),
    "X_CSI_REQ_ID_INJECTION": ("every call has a request id", TRUE),
    "X_CSI_SPEC_REQ_VALIDATION": ("it is now X_CSI_SPEC_VALIDATION", _NO_VALUES),
    "X_CSI_SPEC_REP_VALIDATION": ("answers are checked by the tests of each plug-in", FALSE),
    "X_CSI_SPEC_DISABLE_LEN_CHECK": ("X_CSI_SPEC_VALIDATION=false turns all checks off", FALSE),
    **{
        f"X_CSI_REQUIRE_{name}": (_REQUIRED, FALSE)
        for name in ("STAGING_TARGET_PATH", "VOL_CONTEXT", "PUB_CONTEXT", "CREDS")
    },
    **{
        f"X_CSI_REQUIRE_CREDS_{name}": (_REQUIRED, FALSE)
        for name in ("CREATE_VOL", "DELETE_VOL", "CTRLR_PUB_VOL", "CTRLR_UNPUB_VOL", "NODE_STG_VOL", "NODE_PUB_VOL")
    },
    "X_CSI_NFS_VOLUMES": (GONE["rexray.csi.nfs.volumes"], _NO_VALUES),
}
"""Variables that follow from no key: what to say of each, and the values with which it means what is so anyway."""


def reason(key: str) -> str:
    """Why a key is refused, or what it is now, by its lower case; empty where the original had none or it works."""
    new = {old.lower(): new for old, new in RENAMED.items()}
    gone = {old.lower(): why for old, why in GONE.items()}
    if key in new:
        return f"it is now {new[key]}"
    if key in gone:
        return gone[key]
    return next((why for old, why in gone.items() if old.endswith(".") and key.startswith(old)), "")


def wrong_variables(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables of the original that are set and not honoured, with what to say of each, by their names."""
    known = {variable_of(old): f"it is now {variable_of(new)}" for old, new in RENAMED.items() if "." in old}
    known |= {variable_of(old): why for old, why in GONE.items() if "." in old and not old.endswith(".")}
    told = {name: (why, _NO_VALUES) for name, why in known.items()} | _VARIABLES
    return {
        name: f"${name} is of the original and not honoured: {told[name][0]}: unset it"
        for name in sorted(told.keys() & environ.keys())
        if environ[name] and environ[name].strip().lower() not in told[name][1]
    }

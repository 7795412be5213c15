"""The checks of CSI plug-ins, of what the CSI specification 1.x demands; they need ``rexray-core[csi]``."""

from rexray.errors import NotInstalled

try:
    import google.protobuf  # noqa: F401 only to see that it is there
    import grpc  # noqa: F401
except ModuleNotFoundError as error:
    raise NotInstalled(
        "the checks of CSI plug-ins need grpcio and protobuf: pip install 'rexray-core[csi,testing]'"
    ) from error

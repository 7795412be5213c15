"""EC2's errors, and the SDK's own, as REX-Ray's: one line that names the cause and the setting.

Facts: the error codes of the EC2 API reference, read off botocore's service model and the AWS EBS CSI driver.
"""

from __future__ import annotations

from rexray.errors import (
    Busy,
    Forbidden,
    InUse,
    InvalidRequest,
    NotFound,
    NotReady,
    OutOfCapacity,
    OutOfRange,
    RexrayError,
    SettingsError,
    TimedOut,
    Unauthorized,
    Unavailable,
)

_KEYS = "check ec2.accessKey and ec2.secretKey ($AWS_ACCESS_KEY, $AWS_SECRET_KEY), or boto3's profile or role"
_POLICY = "`rexray policy ec2` prints the policy that they need"

_REFUSED: dict[str, tuple[type[RexrayError], str]] = {
    **dict.fromkeys(
        (
            "AuthFailure",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "MissingAuthenticationToken",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        (Unauthorized, _KEYS),
    ),
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "RequestExpired"),
        (Unauthorized, "the session token has expired, or this host's clock is wrong: renew the credentials"),
    ),
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"),
        (Forbidden, f"the credentials may not do that: {_POLICY}"),
    ),
    **dict.fromkeys(("Blocked", "OptInRequired", "PendingVerification"), (Forbidden, "")),
    **dict.fromkeys(
        (
            "ConcurrentSnapshotLimitExceeded",
            "MaxIOPSLimitExceeded",
            "PendingSnapshotLimitExceeded",
            "ResourceLimitExceeded",
            "SnapshotLimitExceeded",
            "VolumeLimitExceeded",
        ),
        (OutOfCapacity, "remove what is not needed, or have the account's EBS quota raised"),
    ),
    "AttachmentLimitExceeded": (OutOfCapacity, "the instance can have no more volumes"),
    "InsufficientVolumeCapacity": (OutOfCapacity, "take another zone or type"),
    "UnknownVolumeType": (InvalidRequest, "choose a type by volumetype or rexray.docker.volumeType"),
    "InvalidVolume.ZoneMismatch": (InvalidRequest, "volume and instance have to be in one zone"),
    "VolumeModificationSizeLimitExceeded": (OutOfRange, ""),
    "VolumeModificationRateExceeded": (Busy, "EC2 allows four changes of a volume a day: try again later"),
    "IncorrectModificationState": (Busy, "an earlier change of it is not finished: try again later"),
    "SnapshotCreationPerVolumeRateExceeded": (Busy, "try again in 15 seconds"),
    **dict.fromkeys(
        (
            "InvalidAttachment.NotFound",
            "InvalidInstanceID.NotFound",
            "InvalidSnapshot.NotFound",
            "InvalidVolume.NotFound",
        ),
        (NotFound, ""),
    ),
    "VolumeInUse": (InUse, ""),
    "InvalidSnapshot.InUse": (InUse, ""),
    "IncorrectState": (NotReady, ""),
    "IncorrectInstanceState": (NotReady, ""),
    "UnsupportedOperation": (InvalidRequest, ""),
}
_THROTTLED = frozenset(
    {
        "EC2ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


def code_of(error: BaseException) -> str:
    """EC2's code of an error, be it the SDK's or ours that was made of it; empty if EC2 did not answer."""
    return _said(error, "Code")


def text_of(error: BaseException) -> str:
    """EC2's own words in one line; without the encoded part that only the account's owner can decode."""
    return " ".join((_said(error, "Message") or str(error)).split("Encoded authorization failure")[0].split())


def is_throttled(code: str) -> bool:
    """Whether the code says that EC2 refused to do anything for now."""
    return code in _THROTTLED


def is_unsure(error: BaseException) -> bool:
    """Whether the call may have taken effect all the same: a fault of the server's, or an answer that was lost."""
    from botocore import exceptions as sdk
    from botocore.parsers import ResponseParserError

    cause = error if error.__cause__ is None else error.__cause__
    if isinstance(cause, sdk.ClientError):
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 and not is_throttled(code_of(cause))
    if isinstance(cause, ResponseParserError):
        return True
    return isinstance(cause, (sdk.ConnectionError, sdk.HTTPClientError)) and not isinstance(
        cause, (sdk.EndpointConnectionError, sdk.ConnectTimeoutError, sdk.SSLError, sdk.ProxyConnectionError)
    )


def _said(error: BaseException, key: str) -> str:
    response = getattr(error if error.__cause__ is None else error.__cause__, "response", None)
    return str(response.get("Error", {}).get(key) or "") if isinstance(response, dict) else ""


def translate(error: Exception, action: str, endpoint: str) -> RexrayError:
    """The error of a call in REX-Ray's words."""
    from botocore import exceptions as sdk
    from botocore.parsers import ResponseParserError

    if isinstance(error, sdk.ClientError):
        return _of_code(error, action)
    text = text_of(error)
    if isinstance(error, sdk.EndpointConnectionError):
        return Unavailable(
            f"{action}: {endpoint} cannot be reached: check the network, ec2.region ($AWS_REGION) and ec2.endpoint"
        )
    if isinstance(error, (sdk.ConnectTimeoutError, sdk.ReadTimeoutError)):
        return TimedOut(f"{action}: no answer from {endpoint}: check the network and ec2.endpoint")
    if isinstance(error, sdk.SSLError):
        return Unavailable(f"{action}: no safe connection to {endpoint}: {text}")
    if isinstance(error, (sdk.ConnectionError, sdk.HTTPClientError)):
        reason = "the credentials have characters that cannot be sent" if "header" in text else text
        return Unavailable(f"{action}: the connection to {endpoint} broke: {reason}")
    if isinstance(error, (sdk.NoCredentialsError, sdk.PartialCredentialsError)):
        return Unauthorized(
            f"{action}: no credentials for EC2: set AWS_ACCESS_KEY and AWS_SECRET_KEY (ec2.accessKey, ec2.secretKey), "
            "or give boto3 a profile or a role"
        )
    if isinstance(error, (sdk.NoRegionError, sdk.InvalidRegionError)):
        return SettingsError(f"{action}: {text}: set ec2.region ($AWS_REGION)")
    if isinstance(error, (sdk.ProfileNotFound, sdk.ConfigNotFound, sdk.ConfigParseError)):
        return SettingsError(f"{action}: {text}")
    if isinstance(error, sdk.ParamValidationError):
        return InvalidRequest(f"{action}: {text}")
    if isinstance(error, OSError):
        return Unauthorized(f"{action}: boto3 cannot get credentials: {text}")
    if isinstance(error, (KeyError, ResponseParserError)):
        return Unavailable(f"{action}: {endpoint} did not answer as EC2 does: check ec2.endpoint ($EC2_ENDPOINT)")
    return Unavailable(f"{action}: {text}")


def _of_code(error: Exception, action: str) -> RexrayError:
    code, text = code_of(error), text_of(error)
    if is_throttled(code):
        return Unavailable(f"{action}: EC2 still throttles this account's calls after many tries: try again later")
    if is_unsure(error):
        return Unavailable(f"{action}: EC2 failed ({code}): {text or 'no reason given'}: try again later")
    kind, hint = _REFUSED.get(code, (RexrayError, ""))
    if kind is RexrayError and code.startswith(("Invalid", "Missing", "Validation", "Unknown")):
        kind = InvalidRequest
    if kind is Unauthorized:  # what EC2 says may repeat what was signed
        text = "EC2 refused the credentials"
    words = [f"{action}: {text}" if text else action, f"({code})"]
    return kind(" ".join(words) + (f": {hint}" if hint else ""))

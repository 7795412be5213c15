"""The settings of the platform ec2.

The first names are the seed's ``AWS_*`` and this distribution's; the others are those of later releases of the
original, whose driver was called ``aws``, ``ec2`` and ``ebs`` in turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from rexray.errors import SettingsError
from rexray.settings import Secret, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Ec2Settings:
    """Settings under ``ec2``. Without keys, boto3's whole chain is used: profiles, roles, web identity."""

    access_key: Secret = setting(
        Secret(""),
        key="ec2.accessKey",
        older=("ebs.accessKey", "aws.accessKey", "awsAccessKey"),
        env=("AWS_ACCESS_KEY", "EC2_ACCESSKEY", "EBS_ACCESSKEY", "AWS_ACCESSKEY"),
        help="The access key; boto3's own ways to credentials are used if empty",
    )
    secret_key: Secret = setting(
        Secret(""),
        key="ec2.secretKey",
        older=("ebs.secretKey", "aws.secretKey", "awsSecretKey"),
        env=("AWS_SECRET_KEY", "EC2_SECRETKEY", "EBS_SECRETKEY", "AWS_SECRETKEY"),
        help="The secret key that belongs to it",
    )
    session_token: Secret = setting(
        Secret(""),
        key="ec2.sessionToken",
        env=("AWS_SESSION_TOKEN", "EC2_SESSIONTOKEN"),
        help="The session token of temporary keys",
    )
    region: str = setting(
        "",
        key="ec2.region",
        older=("ebs.region", "aws.region", "awsRegion"),
        env=("AWS_REGION", "EC2_REGION", "EBS_REGION"),
        help="The region; what boto3 is configured with if empty, else this instance's",
    )
    endpoint: str = setting(
        "",
        key="ec2.endpoint",
        older=("ebs.endpoint", "aws.endpoint"),
        env=("EC2_ENDPOINT", "EBS_ENDPOINT", "AWS_ENDPOINT"),
        help="The URL of the EC2 API, for clouds that are compatible; the region's if empty",
    )
    instance_id: str = setting(
        "", key="ec2.instanceID", help="The instance to act for when rexray.remoteManagement is set"
    )
    tag: str = setting(
        "",
        key="ec2.tag",
        older=("ebs.tag", "aws.tag"),
        env=("EC2_TAG", "EBS_TAG", "AWS_TAG"),
        help="Only volumes whose Name tag is TAG/NAME are seen and touched, and all are made so",
    )
    kms_key_id: str = setting(
        "",
        key="ec2.kmsKeyID",
        older=("ebs.kmsKeyID", "aws.kmsKeyID"),
        env=("EC2_KMSKEYID", "EBS_KMSKEYID", "AWS_KMSKEYID"),
        help="The KMS key of encrypted volumes; the account's default key if empty",
    )
    use_large_device_range: bool = setting(
        False,
        key="ec2.useLargeDeviceRange",
        older=("ebs.useLargeDeviceRange", "aws.useLargeDeviceRange"),
        env=("EC2_USELARGEDEVICERANGE", "EBS_USELARGEDEVICERANGE", "AWS_USELARGEDEVICERANGE"),
        help="Attach as xvdba to xvdcz only; otherwise xvdf to xvdp come first, and those when they are used up",
    )
    max_volumes: int = setting(
        0, key="ec2.maxVolumes", help="How many volumes this instance can have; what its kind can if 0"
    )
    max_retries: int = setting(
        10,
        key="ec2.maxRetries",
        older=("ebs.maxRetries", "aws.maxRetries"),
        env=("EC2_MAXRETRIES", "EBS_MAXRETRIES", "AWS_MAXRETRIES"),
        help="How often a call that was throttled or failed for a passing reason is made again",
    )
    timeout: float = setting(
        20.0, key="ec2.timeout", duration=True, help="How long EC2 may take to answer a call, each time it is made"
    )
    status_max_attempts: int = setting(
        40,
        key="ec2.statusMaxAttempts",
        older=("ebs.statusMaxAttempts",),
        env=("EC2_STATUSMAXATTEMPTS", "EBS_STATUSMAXATTEMPTS"),
        help="How often the state of a volume that is to change is asked for",
    )
    status_initial_delay: float = setting(
        0.5,
        key="ec2.statusInitialDelay",
        older=("ebs.statusInitialDelay",),
        env=("EC2_STATUSINITIALDELAY", "EBS_STATUSINITIALDELAY"),
        duration=True,
        help="How long to wait before that is first asked for; twice as long each further time, up to 4 s",
    )
    status_timeout: float = setting(
        120.0,
        key="ec2.statusTimeout",
        older=("ebs.statusTimeout",),
        env=("EC2_STATUSTIMEOUT", "EBS_STATUSTIMEOUT"),
        duration=True,
        help="How long a volume may take to change its state",
    )
    stuck_attach_timeout: float = setting(
        90.0,
        key="ec2.stuckAttachTimeout",
        duration=True,
        help="How long a volume may be attaching before it is detached and attached by another device name",
    )
    snapshot_timeout: float = setting(
        3600.0,
        key="ec2.snapshotTimeout",
        duration=True,
        help="How long to wait for a snapshot that a volume is to be made of",
    )
    metadata_endpoint: str = setting(
        "http://169.254.169.254",
        key="ec2.metadataEndpoint",
        env=("AWS_EC2_METADATA_SERVICE_ENDPOINT", "EC2_METADATAENDPOINT"),
        help="The URL of the instance metadata service",
    )
    metadata_disabled: bool = setting(
        False,
        key="ec2.metadataDisabled",
        env=("AWS_EC2_METADATA_DISABLED", "EC2_METADATADISABLED"),
        help="Do not ask the metadata service anything, as AWS's own tools read that variable",
    )
    metadata_v1: bool = setting(
        False, key="ec2.metadataV1", help="Ask the metadata service without a token, where it has no version 2"
    )

    def check(self) -> None:
        """Refuse what cannot be honoured; ``SettingsError`` names the setting."""
        if bool(self.access_key) != bool(self.secret_key):
            missing = "ec2.secretKey ($AWS_SECRET_KEY)" if self.access_key else "ec2.accessKey ($AWS_ACCESS_KEY)"
            raise SettingsError(f"{missing} is missing: the access key and the secret key belong together")
        for name, value in (("ec2.maxVolumes", self.max_volumes), ("ec2.maxRetries", self.max_retries)):
            if value < 0:
                raise SettingsError(f"{name}: {value} is negative")
        for name, seconds in (
            ("ec2.timeout", self.timeout),
            ("ec2.statusInitialDelay", self.status_initial_delay),
            ("ec2.statusTimeout", self.status_timeout),
            ("ec2.stuckAttachTimeout", self.stuck_attach_timeout),
            ("ec2.snapshotTimeout", self.snapshot_timeout),
        ):
            if seconds <= 0:
                raise SettingsError(f"{name}: {seconds:g}s is no time at all")
        if self.status_max_attempts < 1:
            raise SettingsError(f"ec2.statusMaxAttempts: {self.status_max_attempts} is less than one attempt")
        if "/" in self.tag:
            raise SettingsError(f"ec2.tag: {self.tag!r} contains '/', which ends the tag in a volume's Name")

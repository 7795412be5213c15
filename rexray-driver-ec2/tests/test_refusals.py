"""What EC2 refuses becomes an error of one line that names the cause and the setting, and never a secret."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from ec2_driver import NO_VOLUME, QUICK, spec, storage
from ec2_parts import ACCESS_KEY, NOWHERE, REGION, SECRET_KEY, ZONE, Cloud, Drop, Proxy
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
from rexray.settings import Sources
from rexray_driver_ec2.storage import Ec2Storage

KEYS = r"check ec2\.accessKey and ec2\.secretKey \(\$AWS_ACCESS_KEY, \$AWS_SECRET_KEY\)"


@pytest.fixture(autouse=True)
def nobodys_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has no profile, no role and no keys of its own, whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def lasting(running_cloud: Cloud) -> Iterator[tuple[Proxy, Ec2Storage]]:
    """A proxy and a driver that gives up at once, for many small tests."""
    with Proxy(running_cloud.url) as proxy:
        yield proxy, storage(proxy.url, EC2_MAXRETRIES="0")


@pytest.fixture
def hasty(lasting: tuple[Proxy, Ec2Storage], cloud: Cloud) -> tuple[Proxy, Ec2Storage]:
    lasting[0].reset()
    return lasting


def refused(kind: type[RexrayError], said: str, call: Callable[[], object]) -> str:
    """The one line of an error of exactly that kind."""
    with pytest.raises(RexrayError, match=said) as caught:
        call()
    assert type(caught.value) is kind, repr(caught.value)
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET_KEY not in text
    return text


def test_an_unknown_key_is_said_with_its_settings(cloud: Cloud) -> None:
    cloud.control(keys={"AKIAOTHER": {}})
    text = refused(Unauthorized, KEYS, lambda: list(storage(cloud.url).volumes()))
    assert text.startswith("DescribeVolumes: ")
    assert "(AuthFailure)" in text


def test_a_wrong_secret_is_said_and_not_shown(cloud: Cloud) -> None:
    cloud.control(keys={ACCESS_KEY: {"secret": "another" * 5}})
    driver = storage(cloud.url)
    for call in (lambda: driver.create(spec("data")), lambda: driver.remove(NO_VOLUME), driver.zones):
        refused(Unauthorized, KEYS, call)


def test_no_log_shows_the_session_token_at_any_level(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    driver = storage(cloud.url, AWS_SESSION_TOKEN="a-token-of-this-test")
    with caplog.at_level(logging.DEBUG):
        for name in ("botocore.auth", "botocore.endpoint", "botocore.parsers"):
            caplog.set_level(logging.DEBUG, name)
        assert list(driver.volumes()) == []
    assert any(record.name.startswith("botocore") for record in caplog.records)
    assert "a-token-of-this-test" not in caplog.text
    assert SECRET_KEY not in caplog.text


def test_ec2_that_does_not_answer_is_given_up_after_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        driver = storage(url, EC2_MAXRETRIES="0", EC2_TIMEOUT="200ms")
        began = time.monotonic()
        refused(TimedOut, f"no answer from {url}", lambda: list(driver.volumes()))
        assert time.monotonic() - began < 5
    with pytest.raises(SettingsError, match=r"ec2\.timeout: 0s"):
        storage(url, EC2_TIMEOUT="0s")


def test_the_right_secret_is_taken(cloud: Cloud) -> None:
    cloud.control(keys={ACCESS_KEY: {"secret": SECRET_KEY}})
    assert list(storage(cloud.url).volumes()) == []


def test_expired_credentials_are_said_to_be_so(cloud: Cloud) -> None:
    cloud.control(keys={ACCESS_KEY: {"expired": True}})
    refused(
        Unauthorized, "session token has expired, .* renew the credentials", lambda: list(storage(cloud.url).volumes())
    )


def test_a_missing_permission_names_the_call_and_the_policy(cloud: Cloud) -> None:
    cloud.control(keys={ACCESS_KEY: {"denied": ["CreateVolume"]}})
    driver = storage(cloud.url)
    said = r"CreateVolume of volume 'data': .*ec2:CreateVolume.*`rexray policy ec2`"
    refused(Forbidden, said, lambda: driver.create(spec("data")))
    assert list(driver.volumes()) == []


def test_what_only_the_accounts_owner_can_decode_is_left_out(proxy: Proxy) -> None:
    words = "You are not authorized. Encoded authorization failure message: " + "x7Gq" * 300
    proxy.refuse("DeleteVolume", "UnauthorizedOperation", words)
    text = refused(
        Forbidden, r"DeleteVolume of volume .*: You are not authorized\.", lambda: storage(proxy.url).remove(NO_VOLUME)
    )
    assert "x7Gq" not in text


def test_no_credentials_at_all_name_the_settings_and_boto3s_ways(cloud: Cloud) -> None:
    environ = {**NOWHERE, **QUICK, "EC2_ENDPOINT": cloud.url, "AWS_REGION": REGION}
    driver = Ec2Storage.make(Sources(environ=environ))
    said = r"no credentials for EC2: set AWS_ACCESS_KEY and AWS_SECRET_KEY \(ec2\.accessKey, ec2\.secretKey\).*profile"
    refused(Unauthorized, said, lambda: list(driver.volumes()))
    refused(Unauthorized, said, lambda: driver.create(spec("data")))


def test_one_key_of_the_two_is_refused_at_once(cloud: Cloud) -> None:
    refused(
        SettingsError, r"ec2\.secretKey \(\$AWS_SECRET_KEY\) is missing", lambda: storage(cloud.url, AWS_SECRET_KEY="")
    )
    refused(
        SettingsError, r"ec2\.accessKey \(\$AWS_ACCESS_KEY\) is missing", lambda: storage(cloud.url, AWS_ACCESS_KEY="")
    )


def test_a_profile_that_is_not_there_is_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    environ = {**QUICK, "EC2_ENDPOINT": cloud.url, "AWS_REGION": REGION}
    driver = Ec2Storage.make(Sources(environ=environ))
    refused(SettingsError, r"profile \(nobody\)", lambda: list(driver.volumes()))


def test_throttling_slows_and_does_not_fail_however_few_retries_are_allowed(proxy: Proxy, cloud: Cloud) -> None:
    rule = proxy.throttle(times=4)
    driver = storage(proxy.url, EC2_MAXRETRIES="0")
    made = driver.create(spec("data"))
    assert driver.volume(made.id).name == "data"
    assert rule.met == 4


def test_a_fault_of_ec2s_own_is_said_to_pass(proxy: Proxy) -> None:
    proxy.fail_after("DescribeVolumes")
    driver = storage(proxy.url, EC2_MAXRETRIES="0")
    refused(
        Unavailable,
        r"EC2 failed \(InternalError\): An internal error has occurred: try again later",
        lambda: list(driver.volumes()),
    )


def test_an_exceeded_quota_is_said_as_such(cloud: Cloud) -> None:
    cloud.control(volume_quota=1)
    driver = storage(cloud.url)
    driver.create(spec("first"))
    refused(
        OutOfCapacity,
        r"CreateVolume of volume 'second': .*\(VolumeLimitExceeded\): remove what is not needed, or .* quota raised",
        lambda: driver.create(spec("second")),
    )


def test_an_unknown_type_names_where_to_choose_it(cloud: Cloud) -> None:
    said = r"Unknown volume type: 'gp9' \(UnknownVolumeType\): choose .* volumetype or rexray\.docker\.volumeType"
    refused(InvalidRequest, said, lambda: storage(cloud.url).create(spec("data", type="gp9")))


@pytest.mark.parametrize("endpoint", ["http://", "http://exa mple", "://"])
def test_an_endpoint_that_is_no_url_names_the_setting(endpoint: str) -> None:
    driver = storage(endpoint, EC2_MAXRETRIES="0")
    refused(SettingsError, r"ec2\.endpoint \(\$EC2_ENDPOINT\).*" + endpoint, lambda: list(driver.volumes()))


def test_an_endpoint_that_nobody_listens_at_is_named_with_its_settings() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        said = rf"{url}.* cannot be reached: check the network, ec2\.region \(\$AWS_REGION\) and ec2\.endpoint"
        refused(Unavailable, said, lambda: list(storage(url, EC2_MAXRETRIES="0").volumes()))


def test_an_endpoint_without_a_scheme_is_one_of_https() -> None:
    driver = storage("127.0.0.1:1", EC2_MAXRETRIES="0")
    refused(Unavailable, r"https://127\.0\.0\.1:1.* cannot be reached", lambda: list(driver.volumes()))


def test_an_endpoint_without_tls_is_no_safe_connection(cloud: Cloud) -> None:
    url = cloud.url.replace("http:", "https:")
    refused(Unavailable, f"no safe connection to {url}", lambda: list(storage(url, EC2_MAXRETRIES="0").volumes()))


def test_a_connection_that_breaks_is_said_to_have_broken(proxy: Proxy) -> None:
    def drop(action: str, params: object) -> None:
        raise Drop

    proxy.before(drop)
    driver = storage(proxy.url, EC2_MAXRETRIES="0")
    refused(Unavailable, f"DescribeVolumes: the connection to {proxy.url}/? broke: ", lambda: list(driver.volumes()))


def test_no_region_names_the_setting(cloud: Cloud) -> None:
    driver = storage(cloud.url, region="")
    refused(SettingsError, r"ec2\.region \(\$AWS_REGION\) is not set", lambda: list(driver.volumes()))


def test_a_region_that_cannot_be_one_names_the_setting(cloud: Cloud) -> None:
    driver = storage(cloud.url, region="us west/1")
    refused(SettingsError, r"'us west/1'.*ec2\.region \(\$AWS_REGION\)", lambda: list(driver.volumes()))


def test_a_volume_of_another_region_is_not_found_and_the_region_is_named(cloud: Cloud) -> None:
    made = storage(cloud.url).create(spec("data"))
    far = storage(cloud.url, region="eu-west-1")
    refused(NotFound, f"'{made.id}' does not exist in ec2 region 'eu-west-1'", lambda: far.volume(made.id))
    refused(InvalidRequest, ZONE, lambda: far.create(spec("data")))


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        ("InvalidAttachment.NotFound", NotFound, ""),
        ("AccessDenied", Forbidden, "rexray policy ec2"),
        ("Blocked", Forbidden, ""),
        ("OptInRequired", Forbidden, ""),
        ("PendingVerification", Forbidden, ""),
        ("MaxIOPSLimitExceeded", OutOfCapacity, "quota raised"),
        ("ResourceLimitExceeded", OutOfCapacity, "quota raised"),
        ("InsufficientVolumeCapacity", OutOfCapacity, "another zone or type"),
        ("VolumeModificationSizeLimitExceeded", OutOfRange, ""),
        ("VolumeModificationRateExceeded", Busy, "four changes of a volume a day"),
        ("SnapshotCreationPerVolumeRateExceeded", Busy, "15 seconds"),
        ("IncorrectState", NotReady, ""),
        ("VolumeInUse", InUse, ""),
        ("UnsupportedOperation", InvalidRequest, ""),
        ("InvalidSnapshot.NotFound", NotFound, ""),
        ("InvalidParameterValue", InvalidRequest, ""),
        ("MissingParameter", InvalidRequest, ""),
        ("ValidationError", InvalidRequest, ""),
        ("UnknownParameter", InvalidRequest, ""),
        ("SomethingNew", RexrayError, ""),
    ],
)
def test_a_code_of_ec2s_becomes_its_error_with_ec2s_own_words(
    hasty: tuple[Proxy, Ec2Storage], code: str, kind: type[RexrayError], hint: str
) -> None:
    proxy, driver = hasty
    proxy.refuse("CreateVolume", code, "EC2's own\n words.", times=None)
    said = rf"^CreateVolume of volume 'data': EC2's own words\. \({code}\){f': .*{hint}' if hint else ''}"
    refused(kind, said, lambda: driver.create(spec("data")))


@pytest.mark.parametrize(
    "code", ["SignatureDoesNotMatch", "InvalidClientTokenId", "IncompleteSignature", "ExpiredToken", "RequestExpired"]
)
def test_what_ec2_says_of_refused_credentials_is_not_repeated(hasty: tuple[Proxy, Ec2Storage], code: str) -> None:
    proxy, driver = hasty
    proxy.refuse("DescribeAvailabilityZones", code, f"The canonical string was {SECRET_KEY}")
    text = refused(Unauthorized, rf"EC2 refused the credentials \({code}\): ", driver.zones)
    assert "canonical" not in text


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "Throttling", "EC2ThrottledException", "SlowDown"])
def test_every_word_for_too_many_calls_is_understood(hasty: tuple[Proxy, Ec2Storage], code: str) -> None:
    proxy, driver = hasty
    rule = proxy.refuse("DescribeAvailabilityZones", code, status=503)
    assert driver.zones()
    assert rule.met == 1


def test_an_answer_that_is_no_answer_of_ec2s_is_said_to_come_from_there(cloud: Cloud) -> None:
    driver = storage(f"{cloud.url}/control", EC2_MAXRETRIES="0")
    refused(Unavailable, r"did not answer as EC2 does: check ec2\.endpoint", driver.zones)

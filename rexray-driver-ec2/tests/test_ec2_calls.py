"""What the driver asks of EC2 is told to observers and to the log, and no secret with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ec2_parts import Cloud, environ
from rexray import calls
from rexray.errors import Unauthorized
from rexray.redaction import scrub
from rexray.settings import Sources
from rexray_driver_ec2.storage import Ec2Storage


@pytest.fixture
def told() -> Iterator[list[tuple[str, str, str, str]]]:
    found: list[tuple[str, str, str, str]] = []

    @contextmanager
    def observer(call: calls.Call) -> Iterator[None]:
        error = ""
        try:
            yield
        except BaseException as caught:
            error = type(caught).__name__
            raise
        finally:
            found.append((call.driver, call.verb, call.request_id, error))

    end = calls.observe(observer)
    yield found
    end()


def test_each_call_of_ec2_is_one_of_the_request_and_the_log_has_both_ids(
    cloud: Cloud, told: list[tuple[str, str, str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    driver = Ec2Storage.make(Sources(environ=environ(cloud.url)))
    with calls.call("docker", "List", request_id="r-1"), caplog.at_level(logging.DEBUG, "rexray_driver_ec2"):
        assert list(driver.volumes()) == []
    assert ("ec2", "DescribeVolumes", "r-1", "") in told
    answers = [record.__dict__["fields"] for record in caplog.records if record.msg == "answer of EC2"]
    assert answers[0]["call"] == "DescribeVolumes"
    assert answers[0]["status"] == 200
    assert len(answers[0]["platform_request_id"]) > 8


def test_a_refusal_of_ec2_has_failed_for_who_observes_it(cloud: Cloud, told: list[tuple[str, str, str, str]]) -> None:
    driver = Ec2Storage.make(Sources(environ=environ(cloud.url)))
    cloud.control(keys={"nobody": {}})
    with pytest.raises(Unauthorized):
        list(driver.volumes())
    assert ("DescribeVolumes", "Unauthorized") in {(verb, error) for _, verb, _, error in told}


def test_keys_that_boto3_found_by_itself_are_hidden_from_logs(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"AWS_ACCESS_KEY_ID": "AKIACANARYCANARY0001", "AWS_SECRET_ACCESS_KEY": "canary/of/boto3+itself-0001"}
    for name, value in {**found, "AWS_SESSION_TOKEN": "canary-token-of-boto3-0001"}.items():
        monkeypatch.setenv(name, value)
    driver = Ec2Storage.make(Sources(environ={**environ(cloud.url), "AWS_ACCESS_KEY": "", "AWS_SECRET_KEY": ""}))
    assert list(driver.volumes()) == []
    assert scrub("canary/of/boto3+itself-0001 canary-token-of-boto3-0001") == "*** ***"

"""The fixtures of the tests of ec2: a cloud for the session, empty for each test, and a proxy before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ec2_parts import Cloud, Proxy


@pytest.fixture(scope="session")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: Cloud) -> Cloud:
    running_cloud.reset()
    return running_cloud


@pytest.fixture
def proxy(cloud: Cloud) -> Iterator[Proxy]:
    with Proxy(cloud.url) as proxy:
        yield proxy

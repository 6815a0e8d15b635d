"""The Hub that tests talk to, and a small data set to talk about."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server.server import HubServer
from hub_under_test import LOOPBACK_TOKEN, HubUnderTest, make_dataset


@pytest.fixture(scope="session")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubUnderTest]:
    home = tmp_path_factory.mktemp("hub-home")
    if os.environ.get("HF_ENDPOINT"):
        hub = HubUnderTest(os.environ["HF_ENDPOINT"], os.environ["HF_TOKEN"], home)
        yield hub
        hub.leave_nothing_behind()
        hub.close()
        return
    with HubServer() as server:
        hub = HubUnderTest(server.endpoint, LOOPBACK_TOKEN, home)
        yield hub
        hub.close()


@pytest.fixture
def hub(connection: HubUnderTest) -> Iterator[HubUnderTest]:
    """The Hub, without faults, with a token that holds and room for everything."""
    yield connection
    connection.control("faults", [])
    connection.control("expire", {"expired": False})
    connection.control("quota", {"bytes": None})


@pytest.fixture(scope="session")
def finished_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset") / "faces")


@pytest.fixture
def dataset(finished_dataset: Path, tmp_path: Path) -> Path:
    """A copy of a small data set that a test may change."""
    return Path(shutil.copytree(finished_dataset, tmp_path / "faces"))

"""One service for all tests that only look at its orders: each test says its own words to the gateways.

Of this package and not of the session: their loops work on, and nobody else's tests should run beside them.
"""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import empty
from tests.gateways.ground import BAD, POOR, Ground, open_ground
from tests.gateways.subjects import SUBJECTS


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with open_ground(tmp_path_factory.mktemp("ground")) as ground:
        yield ground


@pytest.fixture(scope="package")
async def sandboxed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """No gateway is configured."""
    async with open_ground(tmp_path_factory.mktemp("sandboxed"), subjects=()) as ground:
        yield ground


@pytest.fixture(scope="package")
async def refused(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """All keys are wrong."""
    async with open_ground(tmp_path_factory.mktemp("refused"), key=BAD) as ground:
        yield ground


@pytest.fixture(scope="package")
async def poor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """All accounts are empty."""
    async with open_ground(tmp_path_factory.mktemp("poor"), key=POOR) as ground:
        yield ground


@pytest.fixture
async def on_postgres(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    await empty(postgres_url)
    some = [subject for subject in SUBJECTS if subject.label in ("ark", "acedata", "yescale")]
    async with open_ground(tmp_path_factory.mktemp("postgres"), postgres_url, subjects=some) as ground:
        yield ground

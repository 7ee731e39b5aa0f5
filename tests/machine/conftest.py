"""A stage for each contract test, once real and once in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from modelmill_bus.bus import Bus

from tests.machine.stages import Stage, stage_of


@pytest_asyncio.fixture(params=["real", pytest.param("fake", marks=pytest.mark.tier("check"))])
async def stage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage_of(request.param, tmp_path / "nats") as made:
        yield made


@pytest_asyncio.fixture
async def bus(stage: Stage) -> Bus:
    return await stage.connect()

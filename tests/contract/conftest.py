"""What the contracts over every way to a node share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.hosts import Told, either
from turnstone.core.host import Host


@pytest.fixture
def model() -> Told:
    return Told()


@pytest.fixture(params=["local", "http"])
async def host(request: pytest.FixtureRequest, tmp_path: Path, model: Told) -> AsyncIterator[Host]:
    async with either(request.param, tmp_path, model, max_workstreams=3) as host:
        yield host

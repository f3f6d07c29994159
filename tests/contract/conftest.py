"""What the contracts over every way to a node share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.hosts import Told
from support.nodes import local_node
from support.servers import FULL, serving
from turnstone.api.http_host import HttpHost
from turnstone.core.host import Host


@pytest.fixture
def model() -> Told:
    return Told()


@pytest.fixture(params=["local", "http"])
async def host(request: pytest.FixtureRequest, tmp_path: Path, model: Told) -> AsyncIterator[Host]:
    async with local_node(tmp_path, model, max_workstreams=3) as node:
        if request.param == "local":
            yield node.host
            return
        async with serving(node.host) as served:
            client = HttpHost(served.url, FULL)
            try:
                yield client
            finally:
                await client.aclose()

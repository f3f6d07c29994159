"""A node and a browser, for tests that look at pages as people do.

They share one loop, that of the browser: `pytestmark` of each file says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from support.browsing import chromium
from support.hosts import Told
from support.nodes import local_node
from support.servers import Served, serving
from turnstone.core.local_host import LocalHost

#: Seconds for one test: more than its longest wait, which is that of a page on a busy machine.
_LONGEST = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.timeout(_LONGEST))


@pytest.fixture
def model() -> Told:
    return Told()


@pytest_asyncio.fixture(loop_scope="session")
async def host(tmp_path: Path, model: Told) -> AsyncIterator[LocalHost]:
    async with local_node(tmp_path, model) as node:
        yield node.host


@pytest_asyncio.fixture(loop_scope="session")
async def node(host: LocalHost) -> AsyncIterator[Served]:
    async with serving(host) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests of a worker; each opens its pages in a context of its own there."""
    async with chromium() as browser:
        yield browser

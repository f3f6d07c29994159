"""A node and its server, for tests that are peers of it: they know HTTP, and nothing of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelserver import Plan, Reply
from modelserver.plans import echo
from support.nodes import local_node
from support.servers import Served, serving
from turnstone.core.local_host import LocalHost


@dataclass
class Told:
    """A plan whose behaviour a test sets after the node has been started."""

    plan: Plan = echo

    def __call__(self, body: dict[str, Any]) -> Reply:
        return self.plan(body)


@pytest.fixture
def model() -> Told:
    return Told()


@pytest.fixture
async def host(tmp_path: Path, model: Told) -> AsyncIterator[LocalHost]:
    async with local_node(tmp_path, model) as node:
        yield node.host


@pytest.fixture
async def node(host: LocalHost) -> AsyncIterator[Served]:
    async with serving(host, refusal_delay=0.0, keepalive=0.2) as served:
        yield served

"""A workspace to use tools in, and one call from its arguments to its result."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnstone.core.tool import ToolContext


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    workspace = tmp_path / "ws"
    workspace.mkdir()
    return ToolContext("w1", workspace, timeout=20.0, max_output=10_000)

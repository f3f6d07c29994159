"""docs/tools.md says what the schemas and texts of the tools say, of every tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnstone.core.errors import ConfigurationError
from turnstone.sandbox import Unconfined
from turnstone.tools import load_tools
from turnstone.tools.docs import tool_names, updated

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tools.md"


def test_the_page_is_as_the_schemas_and_texts_are() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page == updated(page), "run: python -m turnstone.tools.docs docs/tools.md"


def test_every_tool_that_is_offered_has_a_section() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert set(load_tools(Unconfined())) <= set(tool_names())
    for name in tool_names():
        assert f"\n## {name}\n" in page


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no block for overview, tools"):
        updated("# Tools\n")

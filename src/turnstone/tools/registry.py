"""Which tools there are. The only list of them; in the order in which models are told."""

from __future__ import annotations

from turnstone.core.sandbox import Sandbox
from turnstone.core.tool import Tool
from turnstone.tools.bash import Bash
from turnstone.tools.read_file import ReadFile
from turnstone.tools.search import Search
from turnstone.tools.write_file import WriteFile


def load_tools(sandbox: Sandbox, *, network: bool = False) -> dict[str, Tool]:
    """All tools by name, in alphabetical order. `network`: confined commands may use it."""
    tools: list[Tool] = [Bash(sandbox, network=network), ReadFile(), Search(), WriteFile()]
    return {tool.spec.name: tool for tool in sorted(tools, key=lambda tool: tool.spec.name)}

"""Which tools there are. The only list of them; in the order in which models are told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from turnstone.core.sandbox import Sandbox
from turnstone.core.tool import Tool
from turnstone.tools.bash import Bash
from turnstone.tools.forget import Forget
from turnstone.tools.plan import Plan
from turnstone.tools.read_file import ReadFile
from turnstone.tools.recall import Recall
from turnstone.tools.remember import Remember
from turnstone.tools.search import Search
from turnstone.tools.task import Task
from turnstone.tools.write_file import WriteFile


def load_tools(
    sandbox: Sandbox, *, network: bool = False, hidden: Sequence[Path] = ()
) -> dict[str, Tool]:
    """All tools by name, in alphabetical order. `network`: confined commands may use it.

    `hidden` are folders and files of our own (state, settings): the file tools refuse what is
    in them, and `search` leaves it out. Of a folder that is the workspace, or holds it, this
    is true of the files in `sensitive.OWN_NAMES`. The sandbox must be told of them itself.
    """
    own = tuple(path.resolve() for path in hidden)
    tools: list[Tool] = [
        Bash(sandbox, network=network),
        Forget(),
        Plan(own),
        ReadFile(own),
        Recall(),
        Remember(),
        Search(hidden=own),
        Task(),
        WriteFile(own),
    ]
    return {tool.spec.name: tool for tool in sorted(tools, key=lambda tool: tool.spec.name)}

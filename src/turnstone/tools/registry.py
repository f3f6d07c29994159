"""Which tools there are. The only list of them; in the order in which models are told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from turnstone.core.sandbox import Sandbox
from turnstone.core.tool import Tool
from turnstone.tools.bash import Bash
from turnstone.tools.edit_file import EditFile
from turnstone.tools.foreign import ForeignReader
from turnstone.tools.forget import Forget
from turnstone.tools.man import Man
from turnstone.tools.math import Math
from turnstone.tools.plan import Plan
from turnstone.tools.read_file import ReadFile
from turnstone.tools.recall import Recall
from turnstone.tools.remember import Remember
from turnstone.tools.search import Search
from turnstone.tools.task import Task
from turnstone.tools.web.access import WebAccess
from turnstone.tools.web.fetching import Fetcher
from turnstone.tools.web_fetch import WebFetch
from turnstone.tools.web_search import WebSearch
from turnstone.tools.write_file import WriteFile


def load_tools(
    sandbox: Sandbox,
    *,
    network: bool = False,
    hidden: Sequence[Path] = (),
    web: WebAccess | None = None,
) -> dict[str, Tool]:
    """All tools by name, in alphabetical order. `network`: confined commands may use it.

    `hidden` are folders and files of our own (state, settings): the file tools refuse what is
    in them, and `search` leaves it out. Of a folder that is the workspace, or holds it, this
    is true of the files in `sensitive.OWN_NAMES`. The sandbox must be told of them itself.
    `web`: where web tools may go and who searches; by default public addresses, and nobody.
    """
    web = web or WebAccess()
    own = tuple(path.resolve() for path in hidden)
    reader = ForeignReader(sandbox)
    tools: list[Tool] = [
        Bash(sandbox, network=network),
        Man(sandbox),
        Math(sandbox),
        EditFile(own),
        Forget(),
        Plan(own),
        ReadFile(own, reader),
        Recall(),
        Remember(),
        Search(hidden=own),
        WebFetch(Fetcher(web.reach), reader),
        WebSearch(web.service),
        Task(),
        WriteFile(own),
    ]
    return {tool.spec.name: tool for tool in sorted(tools, key=lambda tool: tool.spec.name)}

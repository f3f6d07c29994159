"""The table of `docs/commands.md`, made from the table of commands.

    python -m turnstone.core.commands.docs < docs/commands.md

prints the page with the table as it is now; a test fails when the page is behind. Pure but for
that.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final

from turnstone.core.commands.table import COMMANDS, Command

_BLOCK: Final = re.compile(
    r"(?P<start><!-- generated: commands -->\n).*?(?P<end><!-- end of generated -->)", re.DOTALL
)


def updated(page: str) -> str:
    """The page with its table written anew. Raises ValueError if it has no room for one."""
    if not _BLOCK.search(page):
        raise ValueError("The page has no block for the commands.")
    table = "\n".join(_rows())
    return _BLOCK.sub(lambda found: f"{found['start']}\n{table}\n\n{found['end']}", page)


def _rows() -> Iterator[str]:
    yield "| command | |"
    yield "|---|---|"
    for command in COMMANDS:
        yield f"| {_names(command)} | {_cell(command.meaning)} |"


def _names(command: Command) -> str:
    return ", ".join(f"`{_cell(name)}`" for name in (command.usage, *command.aliases))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(updated(sys.stdin.read()))

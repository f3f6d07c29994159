"""What the tools that write a file have in common: their refusals, and what became of a write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from turnstone.core.errors import ToolRefused
from turnstone.core.tool import ToolContext, ToolResult
from turnstone.tools.files import Changed, digest, reason, root_for
from turnstone.tools.threads import in_thread


@contextmanager
def refusing(tool: str, name: str) -> Iterator[None]:
    """Raises ToolRefused where the file cannot be looked at."""
    try:
        yield
    except OSError as error:
        raise ToolRefused(f"{tool}: {name} {reason(error)}.") from None


async def attempt(name: str, work: Callable[[], str]) -> ToolResult:
    """Do the work, which writes the file and says what was done; or tell why nothing was written."""
    try:
        return ToolResult("ok", await in_thread(lambda _: work()))
    except Changed:
        words = f"{name} has changed since this call was made, so nothing was written."
        return ToolResult("error", f"{words} Read it again, then repeat the call.")
    except OSError as error:
        return ToolResult("error", f"{name} {reason(error)}; nothing was written.")


async def has_become(path: Path, after: str, before: str, context: ToolContext) -> bool | None:
    """Whether the file is as it was to become; None if it is neither that nor as it was before.

    `after` and `before` are digests.
    """
    try:
        now = await in_thread(lambda _: digest(root_for(path, context.workspace), path))
    except OSError:
        return None
    if now == after:
        return True
    return False if now == before else None

"""What a tool raised, in words for the model, and in the log for its author."""

from __future__ import annotations

import asyncio
import logging

_log = logging.getLogger("oturn.tools")


def failure_text(problem: BaseException) -> str:
    """Its message; with the type where the message alone says nothing."""
    kind = type(problem).__name__
    if isinstance(problem, asyncio.CancelledError):
        return f"{kind}: something that the tool waited for was cancelled"
    if isinstance(problem, KeyError):
        return f"{kind}: {problem}"
    return str(problem) or kind


def log_failure(tool: str, problem: BaseException) -> None:
    """Once for each call, with the traceback: the model is told the text alone."""
    _log.warning("the tool %s failed: %s", tool, failure_text(problem), exc_info=problem)

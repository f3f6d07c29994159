"""Runs a plain function in a thread of its own, and waits for it without blocking the loop.

Not in the loop's pool: a function that ignores a cancel would keep its place there, until
none was left for others.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from typing import Any


async def in_thread(name: str, function: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """What the function returns or raises. When this is cancelled, the thread is left alone.

    A function that exits (`sys.exit`) or is interrupted there raises RuntimeError here.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def tell(value: Any, problem: Exception | None) -> None:
        try:
            loop.call_soon_threadsafe(_settle, outcome, value, problem)
        except RuntimeError:
            return  # the loop was closed meanwhile: nobody waits

    def work() -> None:
        try:
            value = context.run(function, **given)
        except Exception as problem:
            tell(None, problem)
        except BaseException as problem:
            tell(None, _as_failure(problem))
        else:
            tell(value, None)

    threading.Thread(target=work, name=f"oturn-tool-{name}").start()
    return await outcome


def _settle(outcome: asyncio.Future[Any], value: Any, problem: Exception | None) -> None:
    if outcome.done():
        return
    if problem is None:
        outcome.set_result(value)
    elif isinstance(problem, StopIteration):  # a future cannot hold one
        outcome.set_exception(_as_failure(problem))
    else:
        outcome.set_exception(problem)


def _as_failure(problem: BaseException) -> RuntimeError:
    return RuntimeError(f"The tool ended with {type(problem).__name__}: {problem}")

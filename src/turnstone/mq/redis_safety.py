"""Of `RedisWork`: whether its Redis keeps work, and whether its answers make sense. It changes
nothing there."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from turnstone.mq.check import unsafe
from turnstone.mq.connection import RedisAddress, asking
from turnstone.mq.errors import QueueBroken

C = TypeVar("C", bound=type)

#: What it raises to read an answer that is of another kind than the step gives.
_SENSELESS = (ValueError, TypeError, AttributeError, LookupError)


class Safety:
    """A part of `RedisWork`, and nothing without it."""

    _address: RedisAddress
    _steps: Any

    async def unsafe(self) -> str:
        async with asking(self._address, what="INFO memory"):
            found: dict[str, Any] = await self._steps.info("memory")
        problem = unsafe(found, self._address)
        return "" if problem is None else str(problem)


def sensible(kind: C) -> C:
    """A class of steps whose public coroutines raise QueueBroken for answers that cannot be
    those of the step: something in between may put its own in their place, and ends no worker."""
    for name, step in inspect.getmembers(kind, inspect.iscoroutinefunction):
        if not name.startswith("_"):
            setattr(kind, name, _guarded(name, step))
    return kind


def _guarded(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    async def guarded(self: Any, *args: Any, **options: Any) -> Any:
        try:
            return await step(self, *args, **options)
        except _SENSELESS as error:
            raise QueueBroken(
                f"Redis at {self._address} answers the step {name} in a way that makes no sense:"
                f" {error}.",
                hint="Look whether something stands in between; otherwise this is a fault of"
                " Turnstone.",
            ) from error

    return guarded

"""Runs blocking work beside the event loop, and waits for it even when cancelled.

The work is given an event to look at now and then; once it is set, it should stop soon.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[threading.Event], T]) -> T:
    """The result of `work`; a cancellation passes once the thread is done with it."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({task})
        task.exception()
        raise
    return task.result()

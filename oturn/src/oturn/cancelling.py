"""Tells a cancelled task from one that awaited something cancelled: both see CancelledError."""

from __future__ import annotations

import asyncio


def being_cancelled() -> bool:
    """Whether the current task has itself been cancelled. Needs a running loop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

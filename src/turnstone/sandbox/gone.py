"""Waits until a confined command is gone with all it had started.

bwrap itself may end a moment before the processes inside it do. The first process of their
namespace is gone only after all the others are; the kernel sees to that.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

#: Seconds. The processes have been killed; what takes longer hangs in the kernel.
_PATIENCE = 5.0

#: Bytes; what bwrap tells is a few hundred.
_TOLD = 65_536


@asynccontextmanager
async def all_gone() -> AsyncIterator[int]:
    """A descriptor for bwrap's `--info-fd`. When this is left, every process inside is gone."""
    readable, writable = os.pipe()
    try:
        yield writable
    finally:
        os.close(writable)
        os.set_blocking(readable, False)
        told = b""
        with suppress(BlockingIOError):
            told = os.read(readable, _TOLD)
        os.close(readable)
        with suppress(ValueError, KeyError, TimeoutError):
            await _until_gone(json.loads(told)["child-pid"])


@asynccontextmanager
async def until_closed() -> AsyncIterator[int]:
    """A descriptor for whoever ends a command's processes. When this is left, it is closed there
    too, which is to say that all of them are gone."""
    readable, writable = os.pipe()
    try:
        try:
            yield writable
        finally:
            os.close(writable)
            with suppress(TimeoutError):
                await _until_readable(readable)
    finally:
        os.close(readable)


async def _until_gone(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return  # it is gone; or the kernel is too old to be asked
    try:
        await _until_readable(descriptor)
    finally:
        os.close(descriptor)


async def _until_readable(descriptor: int) -> None:
    """Raises TimeoutError."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(_PATIENCE):
            await readable.wait()
    finally:
        loop.remove_reader(descriptor)

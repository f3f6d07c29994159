"""A process that forks nodes, kills them, and says what was wrong: `python -m ….campaign URL`.

It imports everything once, so that a life costs a fork. Reads orders as lines of JSON
(`Order`), and answers each with one line (`Outcome`). Has one thread only.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import msgspec

from support.crashing import checks
from support.crashing.life import PATIENCE, Scene, live
from support.crashing.log import SharedLog
from support.crashing.stores import AtWrite, When
from support.crashing.tracing import traced
from turnstone.core.events import AnyEvent

_PR_SET_CHILD_SUBREAPER = 36


class AtCall(msgspec.Struct, frozen=True, tag="call"):
    """Die at the system call with this number (0: at none, but count them)."""

    number: int


class AtRecord(msgspec.Struct, frozen=True, tag="write"):
    """Die before or after the journal's write with this number."""

    number: int
    when: When


class AtInstant(msgspec.Struct, frozen=True, tag="instant"):
    seconds: float


Death: TypeAlias = AtCall | AtRecord | AtInstant


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One turn: a process for each death, and then one that lives to the end."""

    deaths: list[Death] = []
    url: str = ""
    late: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    violations: list[str] = []
    died: list[str] = []  # the deaths that took place
    calls: int = 0  # watched system calls of the last life that was traced
    writes: int = 0  # of the journal, in the last life
    seconds: float = 0.0  # that the last life took
    statuses: dict[str, str] = {}
    effects: list[str] = []


def carry_out(order: Order) -> Outcome:
    """Live, die, live again, and look."""
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    try:
        return _carried_out(order, Scene(folder, SharedLog(), order.url, order.late))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _carried_out(order: Order, scene: Scene) -> Outcome:
    scene.lay_out()
    died: list[str] = []
    calls, status, began = 0, -1, 0.0
    for death in [*order.deaths, None]:
        began = time.monotonic()
        status, how, counted = _one_life(scene, death)
        calls = counted or calls
        if how and os.WIFSIGNALED(status):
            died.append(how)
        elif status:
            scene.log.tell("fault", f"a life has ended with status {status}")
        if status == 0:
            break
    seconds = time.monotonic() - began
    _reap()
    if status:
        return Outcome(violations=scene.log.told("fault"), died=died)
    records = asyncio.run(_records(scene))
    writes = scene.log.told("writes")
    return Outcome(
        violations=checks.violations(records, scene.workspace, scene.log),
        died=died,
        calls=calls,
        writes=writes[-1] if writes else 0,
        seconds=seconds,
        statuses=checks.results(records),
        effects=checks.effects(scene.workspace),
    )


def _one_life(scene: Scene, death: Death | None) -> tuple[int, str, int]:
    """Its wait status, where it was killed (or should have been), and how many calls it made."""
    match death:
        case AtCall():
            found = traced(lambda: live(scene), death.number)
            return found.status, found.died_at, found.calls.total()
        case AtRecord():
            deadly = AtWrite(death.number, death.when)
            status = _waited(_forked(lambda: live(scene, deadly)), 2 * PATIENCE)
            return status, f"{death.when} write {death.number}", 0
        case AtInstant():
            return _waited(_forked(lambda: live(scene)), death.seconds), "an instant", 0
    return _waited(_forked(lambda: live(scene)), 2 * PATIENCE), "", 0


def _forked(main: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 70
        try:
            main()
            code = 0
        except BaseException as error:
            print(f"a life has failed: {error!r}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return child


def _waited(child: int, seconds: float) -> int:
    """The wait status of a child, which is killed if it lives for longer."""
    descriptor = os.pidfd_open(child)
    try:
        if not select.select([descriptor], [], [], seconds)[0]:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(descriptor)
    return os.waitpid(child, 0)[1]


def _reap() -> None:
    """Wait for the commands of nodes that were killed: they run on, as they always do."""
    deadline = time.monotonic() + PATIENCE
    with suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)


async def _records(scene: Scene) -> list[AnyEvent]:
    store = await scene.killing_store()
    try:
        [row] = await store.rows()
        return await store.records(row.ws_id)
    finally:
        await store.aclose()


def main() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    decoder = msgspec.json.Decoder(Order)
    for line in sys.stdin.buffer:
        outcome = carry_out(decoder.decode(line))
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

"""A turn with sub-agents that is killed over and over: two tasks side by side, and then a plan.

One task runs a command that a person is asked about, the other reads; the plan is reviewed.
Each life is a process of its own, which takes up what it finds. Their models are strict.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from oturn.transport.base import ModelRequest
from oturn.transport.scripted import Reply, ScriptedCall, ScriptedTransport, call, call_tools, say
from support.crashing.journals import of_the_ids
from support.crashing.stores import AtWrite, KillingSqlite
from support.crashing.turn import ANSWER, CID, EFFECTS, WS, faults
from turnstone.core import events as ev
from turnstone.core.engine import Engine
from turnstone.core.errors import UnknownRequest
from turnstone.core.host import Answer, CreateWorkstream, PlanReply, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.models import Models
from turnstone.core.node import lock_server
from turnstone.core.store import SqliteStore
from turnstone.core.transcript import Transcript
from turnstone.sandbox import Unconfined
from turnstone.tools import load_tools

#: Seconds for a whole life; more is a failure.
PATIENCE = 60.0

#: The one effect: what the command appends, under the id of its call.
RUN, LINE = "call_run", "one"

#: The call of the sub-agent that asks nobody.
LOOK = "call_look"

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["turnstone.core.local_host", "turnstone.tools"])

#: What each agent does, by what its message holds: calls by their ids, step by step.
_STEPS: dict[str, list[list[tuple[str, ScriptedCall]]]] = {
    "Do it.": [
        [
            ("call_effect", call("task", prompt="run the command")),
            (LOOK, call("task", prompt="look around")),
        ],
        [("call_plan", call("plan", prompt="make the plan"))],
    ],
    "run the command": [[(RUN, call("bash", command=f"echo {LINE} >> {EFFECTS}"))]],
    "look around": [[("call_read", call("read_file", path="notes"))]],
    "make the plan": [[("call_plan_read", call("read_file", path="notes"))]],
}


class Life(NamedTuple):
    """What a process is told. `deadly`: the write to die at. `answers`: it answers what is
    asked; else it only tells that it was asked."""

    folder: Path
    deadly: AtWrite | None = None
    answers: bool = True
    attempts: int = 1000


class Told(NamedTuple):
    """What a life that came to its end says of itself."""

    writes: int
    faults: list[str]


def lived(life: Life) -> Told | None:
    """Live to the end; None where it was killed. Raises AssertionError where it broke."""
    told: Told | None = None
    with begun(life) as (process, pipe):
        with suppress(EOFError):
            assert pipe.poll(2 * PATIENCE), "a life does not end"
            told = pipe.recv()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL), "a life has broken by itself"
    return told


def killed_when_asked(life: Life) -> None:
    """Kill it once a question waits."""
    with begun(life) as (process, pipe):
        assert pipe.poll(2 * PATIENCE), "nobody was asked"
        assert pipe.recv() == "asked"
        process.kill()
        process.join()


class begun:
    """A life in a process of its own, ended with the block."""

    def __init__(self, life: Life) -> None:
        self._pipe, theirs = _processes.Pipe()
        self._process = _processes.Process(target=_live, args=(life, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        return self._process, self._pipe

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _live(life: Life, pipe: Connection) -> None:
    asyncio.run(live(life, pipe.send))


async def live(life: Life, tell: Callable[[Any], object]) -> None:
    """Begin where the life before has left it, and go on to the end. `tell` is given `Told`, and
    "asked" by one that answers nothing."""
    found: list[str] = []
    (life.folder / "workspace").mkdir(parents=True, exist_ok=True)
    (life.folder / "workspace" / "notes").write_text("remember the milk\n")
    async with asyncio.timeout(PATIENCE):
        lock = lock_server(life.folder / "turnstone.db", "node")
        store = await KillingSqlite.open(life.folder / "turnstone.db")
        store.deadly = life.deadly
        host = await LocalHost.start(store, _engine(life, found.append), lock)
        await host.create(CreateWorkstream(ws_id=WS, auto_approve_tools=["task", "plan"]))
        await host.send(SendMessage(ws_id=WS, message="Do it.", correlation_id=CID))
        await _read(host, life, tell)
        await host.aclose()
    tell(Told(store.writes, found))


def _engine(life: Life, refused: Callable[[str], None]) -> Engine:
    sandbox = Unconfined()
    return Engine(
        models=Models.one(ScriptedTransport(_model(refused)), "strict"),
        tools=load_tools(sandbox),
        confinement=sandbox.confinement,
        workspace=(life.folder / "workspace").resolve(),
        max_attempts=life.attempts,
    )


async def _read(host: LocalHost, life: Life, tell: Callable[[Any], object]) -> None:
    """Follow the turn, and say yes to what is asked; or tell once nothing else goes on."""
    asked, looks = False, False
    events = host.follow(WS)
    assert isinstance(events, AsyncGenerator)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, ev.TurnEnded):
                return
            if not life.answers:
                asked |= isinstance(event, ev.ApprovalAsked)
                if isinstance(event, ev.ToolStarted | ev.ToolFinished):
                    looks = looks if event.call_id != LOOK else isinstance(event, ev.ToolStarted)
                if asked and not looks:
                    tell("asked")
            elif isinstance(event, ev.ApprovalAsked | ev.PlanAsked):
                await _agree(host, event)


async def _agree(host: LocalHost, asked: ev.ApprovalAsked | ev.PlanAsked) -> None:
    with suppress(UnknownRequest):  # the answer may have been taken before
        if isinstance(asked, ev.PlanAsked):
            await host.answer_plan(PlanReply(ws_id=WS, request_id=asked.request_id))
        else:
            request_id = asked.request_id
            yes = Answer(ws_id=WS, request_id=request_id, approved=True, by="tester")
            await host.approve(yes)


def _model(refused: Callable[[str], None]) -> Callable[[ModelRequest], Reply]:
    def reply(request: ModelRequest) -> Reply:
        if wrong := faults(request.messages):
            refused("; ".join(wrong))
        said = next(m["content"] for m in request.messages if m["role"] == "user")
        done = sum(m["role"] == "assistant" for m in request.messages)
        steps = _STEPS[said]
        if done < len(steps):
            made = (ScriptedCall(c.name, c.arguments, call_id) for call_id, c in steps[done])
            return call_tools(*made)
        return say(ANSWER if said == "Do it." else f"answer to: {said}")

    return reply


def violations(folder: Path) -> list[str]:
    """What must hold at the end, of all journals and of the world."""
    return asyncio.run(faults_in(folder))


async def faults_in(folder: Path) -> list[str]:
    """The same, on an event loop."""
    store = await SqliteStore.open(folder / "turnstone.db")
    try:
        journals = {row.ws_id: list(await store.records(row.ws_id)) for row in await store.rows()}
    finally:
        await store.aclose()
    below = [records for ws_id, records in journals.items() if ws_id != WS]
    found = [fault for records in journals.values() for fault in _of_one(records)]
    if len(below) != 3:
        found.append(f"there are {len(below)} sub-agents instead of three")
    found += _of_the_turn(journals[WS])
    found += _of_the_effect([event for records in below for event in records], folder)
    plan = folder / "workspace" / ".plan.md"
    if not plan.read_text().endswith("\nanswer to: make the plan\n"):
        found.append(f"the plan is {plan.read_text()!r}")
    return found


def _of_one(records: Sequence[ev.Event]) -> Iterator[str]:
    yield from of_the_ids(records)
    transcript = Transcript()
    for record in records:
        transcript.apply(record)
    yield from faults(transcript.messages)
    if transcript.turn is not None or transcript.waiting:
        yield "a turn is open at the end"
    finished = Counter(e.call_id for e in records if isinstance(e, ev.ToolFinished))
    started = Counter(e.call_id for e in records if isinstance(e, ev.ToolStarted))
    made = Counter(c.id for e in records if isinstance(e, ev.StepFinished) for c in e.tool_calls)
    if finished != made:
        yield f"of the calls {dict(made)}, these have results: {dict(finished)}"
    yield from (f"{c} was started {n} times" for c, n in started.items() if n > 1)
    for kind in (ev.MessageAccepted, ev.TurnEnded):
        number = sum(isinstance(event, kind) for event in records)
        if number != 1:
            yield f"there are {number} of {kind.__name__} instead of one"
    asked = Counter(e.args_hash for e in records if isinstance(e, ev.ApprovalAsked))
    yield from (f"a person was asked {n} times about {h}" for h, n in asked.items() if n > 1)


def _of_the_turn(records: Sequence[ev.Event]) -> Iterator[str]:
    status = {e.call_id: e.status for e in records if isinstance(e, ev.ToolFinished)}
    if status != dict.fromkeys(("call_effect", "call_look", "call_plan"), "ok"):
        yield f"the calls of sub-agents ended so: {status}"
    [ended] = [e for e in records if isinstance(e, ev.TurnEnded)]
    if (ended.outcome, ended.text) != ("done", ANSWER):
        yield f"it ended with {ended.outcome}: {ended.reason or ended.text!r}"
    plans = sum(isinstance(e, ev.PlanAsked) for e in records)
    if plans != 1:
        yield f"the plan was shown {plans} times"


def _of_the_effect(records: Sequence[ev.Event], folder: Path) -> Iterator[str]:
    path = folder / "workspace" / EFFECTS
    lines = path.read_text().splitlines() if path.exists() else []
    status = {e.call_id: e.status for e in records if isinstance(e, ev.ToolFinished)}[RUN]
    if lines not in ([], [LINE]):
        yield f"the effects are {lines}"
    if status == "ok" and not lines:
        yield "the command is said to have run, and has not"
    if status not in ("ok", "unknown"):
        yield f"the command is said to be {status}"

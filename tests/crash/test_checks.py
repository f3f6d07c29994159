"""Each rule about a killed turn finds the fault that it is there for, in a turn that had none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from support.crashing import checks
from support.crashing.life import Scene, live
from support.crashing.log import SharedLog
from support.crashing.turn import EFFECTS, FILE, WS
from turnstone.core import events as ev

change = msgspec.structs.replace


class Turn:
    """What a whole turn has left: its journal, its files, and what its reader was given."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene(folder, SharedLog())
        self.scene.lay_out()
        live(self.scene)
        self.records: list[ev.AnyEvent] = asyncio.run(_records(self.scene))
        self.workspace = self.scene.workspace

    def violations(self) -> list[str]:
        return checks.violations(self.records, self.workspace, self.scene.log)

    def at(self, kind: type[ev.Event], call_id: str = "") -> int:
        """The place of the first such record (of this call)."""
        return next(
            place
            for place, record in enumerate(self.records)
            if isinstance(record, kind) and call_id in ("", getattr(record, "call_id", ""))
        )

    def drop(self, kind: type[ev.Event], call_id: str = "") -> None:
        del self.records[self.at(kind, call_id)]

    def double(self, kind: type[ev.Event], call_id: str = "") -> None:
        place = self.at(kind, call_id)
        self.records.insert(place, self.records[place])

    def change(self, kind: type[ev.Event], call_id: str = "", **fields: Any) -> None:
        place = self.at(kind, call_id)
        self.records[place] = change(self.records[place], **fields)

    def effects(self, text: str) -> None:
        (self.workspace / EFFECTS).write_text(text)

    def reader(self, make: Callable[[list[list[str]]], list[list[str]]]) -> None:
        """The reader was given something else."""
        log = self.scene.log
        seen = make(log.told("seen"))
        log.clear()
        for event in seen:
            log.tell("seen", event)


async def _records(scene: Scene) -> list[ev.AnyEvent]:
    store = await scene.killing_store()
    try:
        return await store.records(WS)
    finally:
        await store.aclose()


def early(turn: Turn) -> None:
    """A command starts before the answer."""
    started = turn.records.pop(turn.at(ev.ToolStarted, "call_one"))
    turn.records.insert(turn.at(ev.ApprovalAnswered), started)


def asked_twice(turn: Turn) -> None:
    place = turn.at(ev.ApprovalAsked)
    asked = turn.records[place]
    assert isinstance(asked, ev.ApprovalAsked)
    turn.records.insert(place, change(asked, request_id="another"))


def refused(turn: Turn) -> None:
    turn.change(ev.ApprovalAnswered, approved=False)


def gave_up(turn: Turn) -> None:
    turn.change(ev.TurnEnded, outcome="failed", reason="given up", text="")


def litter(turn: Turn) -> None:
    (turn.workspace / f".{FILE}.tmp").touch()


def cut(turn: Turn) -> None:
    (turn.workspace / FILE).write_text("line")


def fault(turn: Turn) -> None:
    turn.scene.log.tell("fault", "the model is sent: nonsense")


Break: TypeAlias = Callable[[Turn], None]
FAULTS: list[tuple[str, Break]] = [
    ("the model is sent: nonsense", fault),
    ("no result of call_one", lambda turn: turn.drop(ev.ToolFinished, "call_one")),
    ("call_one has 0 results", lambda turn: turn.drop(ev.ToolFinished, "call_one")),
    ("call_one has 2 results", lambda turn: turn.double(ev.ToolFinished, "call_one")),
    ("call_one was started 2 times", lambda turn: turn.double(ev.ToolStarted, "call_one")),
    ("call_one has a result, and was never started", lambda t: t.drop(ev.ToolStarted, "call_one")),
    ("call_one was started before anybody had allowed it", early),
    ("call_one was started before anybody had allowed it", refused),
    ("a person was asked 2 times", asked_twice),
    ("2 messages were accepted", lambda turn: turn.double(ev.MessageAccepted)),
    ("a turn is open at the end", lambda turn: turn.drop(ev.TurnEnded)),
    ("there are 0 endings", lambda turn: turn.drop(ev.TurnEnded)),
    ("it ended with failed: 'given up'", gave_up),
    ("the ids of the records have a gap", lambda turn: turn.drop(ev.CallsDecided)),
    ("the effect of call_one is there 2 times", lambda turn: turn.effects("one\none\ntwo\n")),
    ("call_one is said to have run, and has not", lambda turn: turn.effects("two\n")),
    (
        "call_one has run, and is said to be denied",
        lambda turn: turn.change(ev.ToolFinished, "call_one", status="denied"),
    ),
    ("there are other effects", lambda turn: turn.effects("one\ntwo\nthree\n")),
    ("the file was not written whole", cut),
    ("in the workspace are left", litter),
    ("a reader has seen turn_ended", lambda turn: turn.reader(lambda seen: [*seen, seen[-1]])),
    ("a reader has seen 0 endings", lambda turn: turn.reader(lambda seen: seen[:-1])),
    ("a reader has missed", lambda turn: turn.reader(lambda seen: [*seen[:3], *seen[5:]])),
    (
        "a reader has missed",
        lambda turn: turn.reader(
            lambda seen: [*seen[:2], *seen[-6:-4], [seen[-5][0], "truncated"], seen[-1]]
        ),
    ),
]


@pytest.mark.parametrize(("sentence", "spoil"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_in_a_turn_is_found_and_said(sentence: str, spoil: Break, tmp_path: Path) -> None:
    turn = Turn(tmp_path)
    assert turn.violations() == []
    spoil(turn)
    assert any(sentence in found for found in turn.violations()), turn.violations()

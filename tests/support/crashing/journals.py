"""What must hold of any journal, and of the effects that were counted: each fault in a sentence.

Pure. For turns of any form (`support.crashing.plans`); `checks` is about one known turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from support.crashing.plans import ASKED
from support.crashing.turn import faults
from turnstone.core import events as ev
from turnstone.core.transcript import Transcript


def faults_at_rest(records: Sequence[ev.Event], ran: Mapping[str, int]) -> list[str]:
    """`ran`: how often each call had its effect."""
    return [*of_the_ids(records), *_of_the_order(records), *_of_the_effects(records, ran)]


def faults_at_the_end(records: Sequence[ev.Event], stopped: Collection[str]) -> list[str]:
    """What must hold besides, when nothing is open. `stopped`: whose turns were cancelled."""
    return list(_of_the_endings(records, stopped))


def of_the_ids(records: Sequence[ev.Event]) -> Iterator[str]:
    """From 1 on, each one more than that before it."""
    ids = [ev.EventId.parse(record.id) for record in records]
    if ids != [ev.EventId(seq) for seq in range(1, len(records) + 1)]:
        yield f"the ids of the records have a gap: {', '.join(map(str, ids))}"


def _of_the_order(records: Sequence[ev.Event]) -> Iterator[str]:
    """Each call is made, decided, started and finished once, and asked about where it must be."""
    made: set[str] = set()
    allowed: set[str] = set()
    started: set[str] = set()
    finished: set[str] = set()
    approved: set[str] = set()
    asked: dict[str, set[str]] = {}
    for event in records:
        match event:
            case ev.StepFinished():
                calls = {call.id for call in event.tool_calls}
                yield from (f"{call} was made twice" for call in calls & made)
                made |= calls
            case ev.ApprovalAsked():
                asked[event.request_id] = {i.call_id for i in event.items if i.needs_approval}
            case ev.ApprovalAnswered():
                if event.request_id not in asked:
                    yield f"question {event.request_id} was answered twice, or never asked"
                calls = asked.pop(event.request_id, set())
                approved |= calls if event.approved else set()
            case ev.CallsDecided():
                allowed |= {d.call_id for d in event.decisions if d.verdict == "allow"}
            case ev.ToolStarted():
                if event.call_id in started:
                    yield f"{event.call_id} was started twice"
                if event.call_id not in allowed:
                    yield f"{event.call_id} was started, and not allowed"
                if event.name == ASKED and event.call_id not in approved:
                    yield f"{event.call_id} was started before anybody had said yes"
                started.add(event.call_id)
            case ev.ToolFinished():
                if event.call_id in finished:
                    yield f"{event.call_id} has two results"
                if event.status in ("ok", "unknown") and event.call_id not in started:
                    yield f"{event.call_id} was not started, and is said to be {event.status}"
                finished.add(event.call_id)


def _of_the_effects(records: Sequence[ev.Event], ran: Mapping[str, int]) -> Iterator[str]:
    started = {e.call_id for e in records if isinstance(e, ev.ToolStarted)}
    status = {e.call_id: e.status for e in records if isinstance(e, ev.ToolFinished)}
    for call_id, times in ran.items():
        if times > 1:
            yield f"{call_id} has run {times} times"
        if call_id not in started:
            yield f"{call_id} has run, and was never started"
        if status.get(call_id, "ok") not in ("ok", "unknown", "cancelled"):
            yield f"{call_id} has run, and is said to be {status[call_id]}"
    for call_id, said in status.items():
        if said == "ok" and call_id not in ran and not call_id.endswith("look"):
            yield f"{call_id} is said to have run, and has not"


def _of_the_endings(records: Sequence[ev.Event], stopped: Collection[str]) -> Iterator[str]:
    transcript = Transcript()
    for record in records:
        transcript.apply(record)
    yield from faults(transcript.messages)
    made = [c.id for e in records if isinstance(e, ev.StepFinished) for c in e.tool_calls]
    finished = Counter(e.call_id for e in records if isinstance(e, ev.ToolFinished))
    if Counter(made) != finished:
        yield f"of the calls {made}, these have results: {dict(finished)}"
    accepted = Counter(e.correlation_id for e in records if isinstance(e, ev.MessageAccepted))
    endings = [e for e in records if isinstance(e, ev.TurnEnded)]
    ended = Counter(e.correlation_id for e in endings)
    if ended != accepted or set(accepted.values()) - {1}:
        yield f"of the messages {dict(accepted)}, these have ended: {endings}"
    for ending in endings:
        turn = ending.turn or ending.correlation_id
        if ending.outcome != "done" and not (ending.outcome == "cancelled" and turn in stopped):
            yield f"{ending.correlation_id} has ended with {ending.outcome}: {ending.reason}"

"""What must hold of the turn, however often its process was killed: each fault in a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from support.crashing.journals import of_the_ids
from support.crashing.log import SharedLog
from support.crashing.turn import ANSWER, CID, EFFECTS, FILE, LINES, WRITTEN, faults
from turnstone.core import events as ev
from turnstone.core.events import EventId
from turnstone.core.transcript import Transcript

#: With what a reader that has missed too much starts again; all of it carries one id.
_SNAPSHOT = ("truncated", "connected", "history")


def violations(records: Sequence[ev.Event], workspace: Path, log: SharedLog) -> list[str]:
    """Nothing, where all is well. `records` is the whole journal."""
    return [
        *log.told("fault"),
        *of_the_ids(records),
        *_of_the_transcript(records),
        *_of_the_calls(records),
        *_of_the_endings(records),
        *_of_the_files(records, workspace),
        *_of_the_reader(records, [(EventId.parse(i), kind) for i, kind in log.told("seen")]),
    ]


def results(records: Sequence[ev.Event]) -> dict[str, str]:
    """The status of each call."""
    return {e.call_id: e.status for e in records if isinstance(e, ev.ToolFinished)}


def effects(workspace: Path) -> list[str]:
    path = workspace / EFFECTS
    return path.read_text().splitlines() if path.exists() else []


def _of_the_transcript(records: Sequence[ev.Event]) -> Iterator[str]:
    transcript = Transcript()
    for record in records:
        transcript.apply(record)
    yield from faults(transcript.messages)
    if transcript.turn is not None or transcript.waiting:
        yield "a turn is open at the end"


def _of_the_calls(records: Sequence[ev.Event]) -> Iterator[str]:
    made = [c.id for e in records if isinstance(e, ev.StepFinished) for c in e.tool_calls]
    finished = Counter(e.call_id for e in records if isinstance(e, ev.ToolFinished))
    started = Counter(e.call_id for e in records if isinstance(e, ev.ToolStarted))
    yield from (f"{c} has {finished[c]} results" for c in made if finished[c] != 1)
    yield from (f"{c} was started {n} times" for c, n in started.items() if n > 1)
    yield from (
        f"{e.call_id} has a result, and was never started"
        for e in records
        if isinstance(e, ev.ToolFinished) and e.status in ("ok", "unknown")
        if e.call_id not in started
    )
    allowed: set[str] = set()
    asked: dict[str, set[str]] = {}
    for event in records:
        match event:
            case ev.ApprovalAsked():
                asked[event.request_id] = {i.call_id for i in event.items if i.needs_approval}
            case ev.ApprovalAnswered() if event.approved:
                allowed |= asked.get(event.request_id, set())
            case ev.ToolStarted() if event.call_id in LINES and event.call_id not in allowed:
                yield f"{event.call_id} was started before anybody had allowed it"
    for calls, times in Counter(frozenset(calls) for calls in asked.values()).items():
        if times > 1:
            yield f"about {sorted(calls)} a person was asked {times} times"


def _of_the_endings(records: Sequence[ev.Event]) -> Iterator[str]:
    messages = [e for e in records if isinstance(e, ev.MessageAccepted)]
    endings = [e for e in records if isinstance(e, ev.TurnEnded)]
    if [m.correlation_id for m in messages] != [CID]:
        yield f"{len(messages)} messages were accepted instead of one"
    if [e.correlation_id for e in endings] != [CID]:
        yield f"there are {len(endings)} endings instead of one"
    yield from (
        f"it ended with {e.outcome}: {e.reason or e.text!r}"
        for e in endings
        if (e.outcome, e.text) != ("done", ANSWER)
    )


def _of_the_files(records: Sequence[ev.Event], workspace: Path) -> Iterator[str]:
    status, lines = results(records), effects(workspace)
    for call_id, line in LINES.items():
        count = lines.count(line)
        if count > 1:
            yield f"the effect of {call_id} is there {count} times"
        if count == 0 and status.get(call_id) == "ok":
            yield f"{call_id} is said to have run, and has not"
        if count == 1 and status.get(call_id) not in ("ok", "unknown"):
            yield f"{call_id} has run, and is said to be {status.get(call_id)}"
    if set(lines) - set(LINES.values()):
        yield f"there are other effects: {lines}"
    if status.get("call_write") != "ok" or (workspace / FILE).read_text() != WRITTEN:
        yield f"the file was not written whole, and the call is {status.get('call_write')}"
    left = {p.name for p in workspace.iterdir()} - {"notes", FILE, EFFECTS}
    if left:
        yield f"in the workspace are left {sorted(left)}"


def of_a_reader(records: Sequence[ev.Event], seen: Sequence[tuple[EventId, str]]) -> Iterator[str]:
    """Each event behind the last; only a snapshot carries the id of the place it is made at.

    `records` are those that were due: each was seen, or is in a snapshot that was seen.
    """
    last, snapshot = EventId(0), EventId(-1)
    due = [EventId.parse(record.id) for record in records]
    missed: list[EventId] = []
    for place, kind in seen:
        if place < last or (place == last != snapshot and kind not in _SNAPSHOT):
            yield f"a reader has seen {kind} {place} behind {last}"
        if kind in _SNAPSHOT:
            snapshot = place
        else:
            missed += [record for record in due if last < record < place]
        last = place
    missed += [record for record in due if record > last]
    if missed:
        yield f"a reader has missed {', '.join(map(str, missed))}"


def _of_the_reader(
    records: Sequence[ev.Event], seen: Sequence[tuple[EventId, str]]
) -> Iterator[str]:
    yield from of_a_reader(records, seen)
    kinds = Counter(kind for _, kind in seen)
    if kinds["turn_ended"] != 1:
        yield f"a reader has seen {kinds['turn_ended']} endings"

"""Draws the phases of a turn, and of a call in it, as Mermaid diagrams. Decides nothing.

    python -m oturn.turn_diagram             # print the diagrams
    python -m oturn.turn_diagram turn.md     # put them into a page, between its markers

Which signal counts in which phase is in `oturn.turn.TABLE`; where it leads is found by feeding
the reducer, from a turn's beginning, every signal that can make a difference. So a diagram
shows what the reducer does, and nothing that somebody wrote beside it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from oturn.signals import (
    ApprovalAsked,
    AssistantMessage,
    CallsDecided,
    Cancelled,
    Decision,
    Signal,
    StepFailed,
    StepFinished,
    StepStarted,
    ToolCall,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from oturn.turn import TurnState, initial, reduce

BEGIN = "<!-- diagrams of oturn.turn: begin -->"
END = "<!-- diagrams of oturn.turn: end -->"

#: Two steps with two calls are enough to come to every row of the table.
_STEPS = 2
_SOUND, _BROKEN = ToolCall("a", "look"), ToolCall("b", "look", problem="broken")
_OTHER = ToolCall("b", "look")

Edge = tuple[str, str, str]
"""A phase, the signal that comes, and the phase it leads to."""


def edges() -> tuple[list[Edge], list[Edge]]:
    """(of the turn, of its calls), each once, in the order in which they are come to."""
    turn: dict[Edge, None] = {}
    calls: dict[Edge, None] = {}
    start = initial(_STEPS, max_broken=1)
    seen = {start}
    waiting = deque([start])
    while waiting:
        before = waiting.popleft()
        for signal in _signals(before):
            after = reduce(before, signal).state
            if after is before:
                continue
            name = type(signal).__name__
            turn[before.phase.value, name, after.phase.value] = None
            calls.update(dict.fromkeys(_call_edges(before, name, after)))
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return list(turn), list(calls)


def diagrams() -> str:
    """Both diagrams, as Markdown."""
    turn, calls = edges()
    return "\n\n".join(
        [
            "The phases of a turn:",
            _mermaid(turn, "ready", "ended"),
            "The phases of one call, from the answer that asks for it to its recorded result:",
            _mermaid(calls, "planned", "finished"),
        ]
    )


def renewed(page: str) -> str:
    """The page with the diagrams between its markers. Raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page has no lines {BEGIN!r} and {END!r} between which to draw.")
    return f"{before}{BEGIN}\n\n{diagrams()}\n\n{END}{after}"


def _signals(state: TurnState) -> Iterator[Signal]:
    """Every signal that can make a difference to where this turn goes."""
    yield TurnStarted()
    yield StepStarted(state.step)
    yield StepFinished(AssistantMessage("done"))
    for calls in ((_SOUND,), (_BROKEN,), (_SOUND, _OTHER), (_SOUND, _BROKEN)):
        yield StepFinished(AssistantMessage(tool_calls=calls))
    yield StepFailed("away")
    yield ApprovalAsked("ask", ("a",))
    for first in (Decision("a", "allow"), Decision("a", "allow", concurrent=True)):
        yield CallsDecided((first, Decision("b", "allow", concurrent=first.concurrent)))
    yield CallsDecided(())
    for call in state.calls:
        yield ToolStarted(call.call.id)
        yield ToolFinished(call.call.id, "ok")
    yield Cancelled()


def _call_edges(before: TurnState, signal: str, after: TurnState) -> Iterator[Edge]:
    was = {c.call.id: c.phase.value for c in before.calls}
    for call in after.calls:
        phase = call.phase.value
        if signal == StepFinished.__name__:
            yield "", signal, phase
        elif was[call.call.id] != phase:
            yield was[call.call.id], signal, phase


def _mermaid(made: Iterable[Edge], first: str, last: str) -> str:
    """One arrow for each pair of phases, with all signals that lead that way."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for source, signal, target in made:
        arrows.setdefault((source, target), []).append(signal)
    lines = ["```mermaid", "stateDiagram-v2"]
    if not any(source == "" for source, _ in arrows):
        lines.append(f"    [*] --> {first}")
    lines += [
        f"    {source or '[*]'} --> {target}: {', '.join(signals)}"
        for (source, target), signals in arrows.items()
    ]
    return "\n".join([*lines, f"    {last} --> [*]", "```"])


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        sys.stdout.write(diagrams() + "\n")
        return 0
    page = Path(arguments[0])
    try:
        page.write_text(renewed(page.read_text("utf-8")), "utf-8")
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"{page}: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

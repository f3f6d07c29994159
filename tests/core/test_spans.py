"""What happens in workstreams as spans, from the records alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.nodes import local_node
from support.teams import children, team
from support.watching import ending, send
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, WorkstreamInfo
from turnstone.core.masking import Masking
from turnstone.core.spans import MAX_OPEN, Attributes, SpanKind, TurnSpans

SECRET = "sk-a-secret-of-the-settings-1234"


@dataclass
class Span:
    name: str
    at: float
    told: dict[str, Any]
    parent: Span | None
    ended: float = 0.0
    error: str = ""

    def end(self, at: float, attributes: Attributes, error: str) -> None:
        assert not self.ended, "it ended twice"
        self.ended, self.error = at, error
        self.told |= attributes


@dataclass
class Seen:
    """A tracer that keeps what it is told."""

    spans: list[Span] = field(default_factory=list)

    def begin(
        self, name: str, kind: SpanKind, at: float, attributes: Attributes, parent: Any
    ) -> Span:
        self.spans.append(Span(name, at, dict(attributes), parent))
        return self.spans[-1]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


WS = WorkstreamInfo(id="w", name="w", state="idle", session_id="s")
CALL = ev.ToolCallRecord("k1", "bash", '{"command": "echo ' + SECRET + '"}')


def turn(cid: str = "c1") -> list[ev.Event]:
    """The records of a turn with one call, a second apart."""
    told: list[ev.Event] = [
        ev.MessageAccepted(message=f"please {SECRET}"),
        ev.StepStarted(model="m"),
        ev.StepFinished(
            text="certainly",
            tool_calls=[CALL],
            usage=ev.Usage(7, 2, 9),
            model="m-1",
            finish="tool_calls",
        ),
        ev.ToolStarted(call_id="k1", name="bash"),
        ev.ToolFinished(call_id="k1", name="bash", status="error", output=f"refused {SECRET}"),
        ev.StepStarted(step=2, model="m"),
        ev.StepFinished(step=2, text="done", usage=ev.Usage(11, 3, 14), model="m-1"),
        ev.TurnEnded(text="done", steps=2, usage=ev.Usage(18, 5, 23), seconds=6.0),
    ]
    return [
        msgspec.structs.replace(event, ws_id="w", correlation_id=cid, timestamp=100.0 + n)
        for n, event in enumerate(told)
    ]


def seen(events: list[ev.Event], *, contents: bool = False) -> Seen:
    tracer = Seen()
    spans = TurnSpans(tracer, Masking([SECRET]), contents=contents)
    for event in events:
        spans.saw(event, WS)
    return tracer


def test_a_turn_is_a_tree_with_the_times_of_its_records() -> None:
    agent, chat, tool, again = seen(turn()).spans
    assert [s.name for s in (agent, chat, tool, again)] == [
        "invoke_agent turnstone",
        "chat m",
        "execute_tool bash",
        "chat m",
    ]
    assert all(s.parent is agent for s in (chat, tool, again))
    assert [(s.at, s.ended) for s in (agent, chat, tool, again)] == [
        (101.0, 107.0),
        (101.0, 102.0),
        (103.0, 104.0),
        (105.0, 106.0),
    ]
    assert [s.error for s in (agent, chat, tool, again)] == ["", "", "error", ""]
    assert chat.told["gen_ai.usage.input_tokens"] == 7
    assert agent.told["gen_ai.usage.output_tokens"] == 5
    assert chat.told["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert agent.told["turnstone.turn.outcome"] == "done"
    assert agent.told["gen_ai.conversation.id"] == "s"


def test_what_was_said_is_told_only_where_that_is_wanted_and_secrets_never() -> None:
    plain, whole = str(seen(turn()).spans), str(seen(turn(), contents=True).spans)
    for words in ("please ", "echo ", "refused ", "certainly"):
        assert words in whole
        assert words not in plain
    assert SECRET not in plain + whole


@pytest.mark.parametrize("length", range(2, 8))
@pytest.mark.parametrize(
    "last", [ev.TurnEnded(outcome="failed", reason="it said so"), ev.TurnLeft()]
)
def test_a_turn_that_breaks_off_anywhere_leaves_no_span_open(length: int, last: ev.Event) -> None:
    last = msgspec.structs.replace(last, correlation_id="c1", timestamp=200.0)
    spans = seen([*turn()[:length], last]).spans
    assert all(span.ended for span in spans)
    assert (spans[0].ended, bool(spans[0].error)) == (200.0, True)
    assert "it said so" not in str(spans)


def test_turns_without_an_end_do_not_pile_up() -> None:
    tracer = Seen()
    spans = TurnSpans(tracer, Masking())
    for n in range(MAX_OPEN):
        info = WorkstreamInfo(id=f"w{n}", name="w", state="idle", session_id="s")
        spans.saw(ev.StepStarted(model="m", timestamp=1.0), info)
    assert sum(not span.ended for span in tracer.spans) == MAX_OPEN
    spans.end_all(2.0)
    assert all(span.ended for span in tracer.spans)


async def test_the_turn_of_a_sub_agent_hangs_below_its_call(tmp_path: Path) -> None:
    tracer = Seen()
    async with local_node(tmp_path, team) as node:
        node.host.on_record = TurnSpans(tracer, Masking()).saw
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["task"]))
        cid = await send(node.host, ws.id, "sub [say it is blue]; say done")
        await ending(node.host, ws.id, cid)
        [child] = await children(node.host, ws.id)
    [below] = tracer.named("invoke_agent task")
    [call] = tracer.named("execute_tool task")
    [above] = tracer.named("invoke_agent turnstone")
    assert (below.parent, call.parent, above.parent) == (call, above, None)
    assert below.told["gen_ai.agent.id"] == child.id
    assert all(span.ended >= span.at for span in tracer.spans)

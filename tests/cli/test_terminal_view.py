"""What a terminal shows of a workstream, as a fold of its events."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from turnstone.cli.terminal import printed
from turnstone.cli.terminal.live import SYMBOLS, Numbers, Tab, live, status
from turnstone.cli.terminal.paint import gap, paint, strip
from turnstone.cli.terminal.theme import Theme
from turnstone.cli.terminal.view import View, fold, known
from turnstone.cli.terminal.view_turn import OUTPUT_KEPT
from turnstone.core import events as ev

TURNS = st.sampled_from(["m1", "m2", "m3"])
CALLS = st.sampled_from(["c1", "c2"])
TEXTS = st.text(alphabet="ab \n`#-\x1b\u202e漢", max_size=30)


@st.composite
def any_event(draw: st.DrawFn) -> ev.Event:
    """An event of some turn, in no order that makes sense."""
    item = ev.ToolItem(call_id=draw(CALLS), name="bash", func_name="bash", header=draw(TEXTS))
    made: list[ev.Event] = [
        ev.MessageAccepted(message=draw(TEXTS), steer=draw(st.booleans())),
        ev.StepStarted(steered=draw(st.lists(TURNS, max_size=1))),
        ev.Content(text=draw(TEXTS)),
        ev.Reasoning(text=draw(TEXTS)),
        ev.StreamReset(),
        ev.StepFailed(error="x"),
        ev.StepFinished(text=draw(TEXTS)),
        ev.ApprovalAsked(request_id=draw(CALLS), items=[item]),
        ev.PlanAsked(request_id=draw(CALLS)),
        ev.ApprovalAnswered(request_id=draw(CALLS), approved=draw(st.booleans())),
        ev.CallsDecided(),
        ev.ToolStarted(call_id=item.call_id, name="bash"),
        ev.ToolOutput(call_id=item.call_id, text=draw(TEXTS)),
        ev.AgentProgress(call_id=item.call_id),
        ev.ToolFinished(call_id=item.call_id, name="bash", output=draw(TEXTS)),
        ev.CancelRequested(),
        ev.TurnEnded(outcome=draw(st.sampled_from(["done", "failed", "cancelled"]))),
        ev.Status(),
        ev.Info(message="note"),
        ev.ClearUi(),
        ev.History(messages=[ev.HistoryMessage(role="user", content=draw(TEXTS))]),
        ev.WsClosed(),
    ]
    event = draw(st.sampled_from(made))
    return replaced(event, correlation_id=draw(TURNS), timestamp=draw(st.floats(0, 100)))


def replaced(event: ev.Event, **changes: Any) -> ev.Event:

    return msgspec.structs.replace(event, **changes)


def folded(*events: ev.Event, view: View | None = None) -> tuple[View, list[printed.Printed]]:
    view = view or View()
    out: list[printed.Printed] = []
    for event in events:
        view, items = fold(view, event)
        out += items
    return view, out


def of(turn: str, *events: ev.Event) -> list[ev.Event]:
    return [replaced(event, correlation_id=turn) for event in events]


def answer_of(items: list[printed.Printed]) -> str:
    return "\n".join(item.block.text for item in items if isinstance(item, printed.Answer))


@given(st.lists(any_event(), max_size=40))
def test_any_events_are_folded_and_drawn_and_nothing_outlives_its_turn(
    events: list[ev.Event],
) -> None:
    view, out = folded(*events)
    for width in (1, 20, 80):
        for item in out:
            for line in paint(item, width, Theme()):
                assert "\x1b" not in strip(line)
        assert len(live(view, width, 10, 100.0)) <= 10
    ended, _ = fold(view, ev.TurnEnded(correlation_id="m1"))
    assert not (ended.tools or ended.questions or ended.turn)
    assert ended.blocks.empty and not ended.reasoning


@given(st.lists(any_event(), max_size=30))
def test_the_same_events_give_the_same_view(events: list[ev.Event]) -> None:
    assert folded(*events) == folded(*events)


@given(st.lists(TEXTS, max_size=12), st.integers(0, 12))
def test_an_answer_is_printed_the_same_however_much_of_it_streamed(
    pieces: list[str], streamed: int
) -> None:
    whole = ev.StepFinished(text="".join(pieces))
    live_pieces = [ev.Content(text=piece) for piece in pieces[:streamed]]
    _, in_pieces = folded(*of("m", *live_pieces, whole))
    _, at_once = folded(*of("m", whole))
    assert in_pieces == at_once


@given(st.permutations(range(4)), st.integers(1, 4))
def test_every_message_is_said_once_whatever_waits(order: list[int], taken: int) -> None:
    accepted = [ev.MessageAccepted(message=f"m{n}", correlation_id=f"m{n}") for n in order]
    begun = [ev.StepStarted(correlation_id=f"m{n}") for n in order[:taken]]
    view, out = folded(*accepted, *begun)
    said = [item.text for item in out if isinstance(item, printed.Said)]
    assert said == [f"m{n}" for n in order[:taken]]
    assert [message.text for message in view.queued] == [f"m{n}" for n in order[taken:]]


def test_a_message_is_said_at_once_where_nothing_runs_and_later_where_a_turn_does() -> None:
    view, out = folded(*of("a", ev.MessageAccepted(message="first", sender="ann")))
    assert out == [printed.Said("first", "ann")] and view.state == "thinking"
    view, out = folded(*of("b", ev.MessageAccepted(message="second", steer=True)), view=view)
    assert out == [] and view.queued[0].steer
    view, out = folded(*of("a", ev.StepStarted(step=2, steered=["b"])), view=view)
    assert out == [printed.Said("second", "somebody else", steered=True)]


def test_the_files_of_a_message_are_told_whenever_it_is_said() -> None:
    files = [ev.Attached(name="cat.png"), ev.Attached(name="notes.md")]
    at_once = ev.MessageAccepted(correlation_id="a", message="one", attachments=files)
    later = ev.MessageAccepted(correlation_id="b", message="two", attachments=files)
    _, out = folded(at_once, later, ev.TurnEnded(correlation_id="a"), *of("b", ev.StepStarted()))
    before = ev.HistoryMessage(role="user", content="zero", shown=ev.Shown(attachments=files))
    _, past = folded(ev.History(messages=[before]))
    said = [item for item in [*past, *out] if isinstance(item, printed.Said)]
    assert [(item.text, item.files) for item in said] == [
        (text, ("cat.png", "notes.md")) for text in ("zero", "one", "two")
    ]


def test_a_message_that_ends_without_a_step_waits_no_more() -> None:
    waiting = [*of("a", ev.MessageAccepted()), *of("b", ev.MessageAccepted(message="x"))]
    view, _ = folded(*waiting)
    back, out = folded(*of("b", ev.TurnEnded(begun=False)), view=view)
    assert back.queued == () and out == [printed.Note("A message that waited was taken back.")]
    over, out = folded(*of("b", ev.TurnEnded(outcome="over_budget")), view=view)
    assert over.queued == () and out[0] == printed.Said("x", "somebody else")


def test_who_joins_in_the_middle_of_a_turn_knows_that_one_runs() -> None:
    view, _ = folded(ev.Connected(ws_id="w", name="one", state="thinking"))
    assert view.state == "thinking"
    view, out = folded(*of("b", ev.MessageAccepted(message="next")), view=view)
    assert out == [] and view.queued[0].text == "next"
    view, _ = folded(*of("a", ev.Content(text="x"), ev.TurnEnded()), view=view)
    assert view.state == "idle"
    assert folded(ev.Connected(state="error"))[0].state == "error"


def test_own_messages_answers_and_commands_are_not_told_as_somebody_elses() -> None:
    view = known(known(View(), "a"), "r")
    view, out = folded(
        *of("a", ev.MessageAccepted(message="mine", sender="x"), ev.Info(message="my command")),
        ev.ApprovalAnswered(request_id="r", approved=True),
        ev.ApprovalAnswered(request_id="s", approved=False, by="ann", feedback="no"),
        view=view,
    )
    assert out == [printed.Said("mine"), printed.Note("refused by ann: no")]


def test_reasoning_is_printed_when_the_answer_begins_with_the_time_it_took() -> None:
    events = of(
        "a", ev.Reasoning(text="hm", timestamp=5.0), ev.Reasoning(text=" so", timestamp=6.0)
    )
    view, out = folded(*events)
    assert out == [] and view.reasoning == "hm so"
    _, out = folded(*of("a", ev.Content(text="Yes", timestamp=9.0)), view=view)
    assert out == [printed.Thought("hm so", 4.0)]


def test_an_answer_that_breaks_off_is_kept_and_told() -> None:
    view, out = folded(*of("a", ev.Content(text="One.\n\nTw"), ev.StreamReset()))
    assert answer_of(out) == "One.\nTw"
    _, again = folded(*of("a", ev.Content(text="One.")), view=view)
    assert again[0] == printed.Note("The answer broke off; the model is asked again.")
    _, stopped = folded(*of("a", ev.TurnEnded(outcome="cancelled")), view=view)
    assert stopped[0] == printed.Note("The answer broke off.")


def test_a_call_is_alive_until_it_ends_and_then_a_card_with_its_time() -> None:
    item = ev.ToolItem(call_id="c", name="bash", func_name="bash", header="bash: make", preview="p")
    started = ev.ToolStarted(call_id="c", name="bash", item=item, timestamp=10.0)
    outputs = [ev.ToolOutput(call_id="c", text=f"row {n}\n") for n in range(5000)]
    view, out = folded(*of("a", started, *outputs))
    assert out == [] and view.state == "running"
    assert len(view.tools[0].output) <= OUTPUT_KEPT
    shown = [strip(line) for line in live(view, 60, 12, 14.0)]
    assert shown[1] == "▸ bash: make  4.0 s" and shown[-1] == "    row 4999"
    ended = ev.ToolFinished(call_id="c", name="bash", output="all", timestamp=12.5)
    view, out = folded(*of("a", ended), view=view)
    assert out == [printed.Card("bash", "bash: make", "ok", "all", "p", 2.5)]
    assert view.state == "thinking"


def test_questions_of_sub_agents_wait_on_when_the_calls_above_were_decided() -> None:
    below = ev.ApprovalAsked(request_id="below", origin=ev.Origin(name="task"))
    own = ev.ApprovalAsked(request_id="own")
    view, _ = folded(*of("a", ev.MessageAccepted()), *of("b", below), *of("a", own))
    assert view.turn == "a" and view.state == "attention"
    view, _ = folded(*of("a", ev.CallsDecided()), view=view)
    assert [asked.request_id for asked in view.questions] == ["below"]


def test_a_history_is_shown_from_its_end() -> None:
    messages = [ev.HistoryMessage(role="user", content=f"m{n}") for n in range(40)]
    _, out = folded(ev.History(messages=messages))
    assert out[0] == printed.Note("… 10 earlier messages: /history shows them …")
    assert out[1] == printed.Said("m10") and out[-1] == printed.Said("m39")


def test_the_status_bar_keeps_to_the_width_and_shows_this_workstream_and_those_that_ask() -> None:
    tabs = [Tab(n, f"name {n}", "idle", here=n == 3) for n in range(1, 10)]
    tabs[7] = Tab(8, "name 8", "attention")
    numbers = Numbers("model", "L3 (bubblewrap)", 12.3, 12_345, 0.5)
    for width in (30, 60, 80, 200):
        line = strip(status(tabs, numbers, width))
        assert len(line) <= width and "3 name 3" in line and "model" in line
    assert "◆ 8 name 8" in strip(status(tabs, numbers, 80))
    wide = strip(status(tabs, numbers, 200))
    assert wide.endswith("model · 12% ctx · 12k tok · cost 0.5000 · L3")
    assert all(SYMBOLS["idle"] in wide for _ in tabs)


def test_a_blank_line_stands_between_things_and_not_inside_them() -> None:
    said, note = printed.Said("x"), printed.Note("n")
    card = printed.Card("bash", "bash", "ok")
    assert not gap(None, said) and gap(note, said)
    assert not gap(card, card) and gap(said, card)

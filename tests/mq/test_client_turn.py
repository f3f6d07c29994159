"""What a client makes of a turn's events: the answer, whatever was taken back or missed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from turnstone.core import events as ev
from turnstone.mq.client_turn import TurnReader
from turnstone.mq.results import StoredResult


def numbered(events: list[ev.Event]) -> list[ev.Event]:
    """With ids as a live log gives them (all of one record), for the message c1."""
    return [
        type(event)(
            **{name: getattr(event, name) for name in event.__struct_fields__}
            | {"id": f"2-{n}", "ws_id": "0badc0de", "correlation_id": "c1"}
        )
        for n, event in enumerate(events)
    ]


def turn(*steps: list[str], taken_back: str = "") -> list[ev.Event]:
    happened: list[ev.Event] = [ev.MessageAccepted(message="go")]
    for number, pieces in enumerate(steps, 1):
        happened.append(ev.StepStarted(step=number))
        if taken_back:
            happened += [ev.Content(text=taken_back), ev.StreamReset(step=number)]
        happened += [ev.Content(text=piece) for piece in pieces]
        happened.append(ev.StepFinished(step=number, text="".join(pieces)))
    return numbered([*happened, ev.TurnEnded(text="".join(steps[-1]))])


def read(events: list[ev.Event]) -> TurnReader:
    reader = TurnReader("c1", "0badc0de", fresh=True)
    for event in events:
        reader.read(event)
    return reader


pieces = st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=8)


@given(st.lists(pieces, min_size=1, max_size=4), st.text(max_size=5))
def test_the_answer_is_the_text_of_all_steps_and_nothing_that_was_taken_back(
    steps: list[list[str]], taken_back: str
) -> None:
    reader = read(turn(*steps, taken_back=taken_back))

    assert reader.ended
    assert not reader.missed
    assert reader.result.content == "\n\n".join("".join(step) for step in steps)


@given(st.lists(pieces, min_size=1, max_size=4), st.data())
def test_a_piece_that_was_missed_is_noticed_and_its_step_is_whole_all_the_same(
    steps: list[list[str]], data: st.DataObject
) -> None:
    events = turn(*steps)
    streamed = [n for n, event in enumerate(events) if isinstance(event, ev.Content)]
    gone = data.draw(st.sampled_from(streamed))
    reader = read([event for n, event in enumerate(events) if n != gone])

    assert reader.missed
    assert reader.result.content == "\n\n".join("".join(step) for step in steps)


def test_the_events_of_another_message_are_left_out() -> None:
    other = ev.Content(text="not mine", correlation_id="c0", ws_id="0badc0de", id="1-9")
    reader = read([other, *turn(["mine"])])

    assert reader.result.content == "mine"
    assert not reader.missed


def test_the_stored_result_stands_in_where_no_event_came() -> None:
    reader = TurnReader("c1", "0badc0de", fresh=True)
    told = reader.close(StoredResult(correlation_id="c1", ws_id="0badc0de", content=["kept"]))

    assert (reader.ended, reader.result.content, reader.result.ok) == (True, "kept", True)
    assert [event.type for event in told] == ["info", "turn_complete"]
    assert "were missed" in str(told[0].to_json())


def test_a_turn_that_was_cancelled_has_no_answer() -> None:
    accepted, *_ = turn(["x"])
    ended = ev.TurnEnded(outcome="cancelled", correlation_id="c1", ws_id="0badc0de", id="3-0")
    reader = read([accepted, ended])

    assert reader.result.errors == ["The turn was cancelled."]


def test_a_step_that_says_nothing_makes_no_blank_line() -> None:
    reader = read(turn([], ["one"], [], ["two"], []))
    stored = StoredResult(content=["", "one", "", "two", ""]).turn_result()

    assert reader.result.content == stored.content == "one\n\ntwo"
    assert "".join(stored.content_parts) == stored.content


@given(st.lists(pieces, min_size=1, max_size=4))
def test_an_answer_is_the_same_live_and_stored(steps: list[list[str]]) -> None:
    stored = StoredResult(content=["".join(step) for step in steps])

    assert read(turn(*steps)).result.content == stored.turn_result().content


def test_what_was_seen_is_not_taken_for_all_where_the_turn_ends_without_its_events() -> None:
    reader = read(turn(["half", " of it"])[:3])
    assert not reader.missed
    told = reader.close(StoredResult(correlation_id="c1", ws_id="0badc0de", content=["half of it"]))

    assert reader.whole
    assert [event.type for event in told] == ["info", "turn_complete"]
    assert reader.result.content == "half of it"


def test_what_was_seen_of_a_message_that_is_dead_is_kept_with_its_error() -> None:
    reader = read(turn(["half", " of it"])[:3])
    told = reader.close(StoredResult(outcome="dead", error="It was tried five times."))

    assert (reader.result.content, reader.result.ok) == ("half", False)
    assert [event.type for event in told] == ["error", "turn_complete"]


def test_a_reader_that_was_sent_a_snapshot_has_missed_something() -> None:
    events = turn(["one"])
    snapshot = ev.Truncated(id=events[1].id, ws_id="0badc0de")
    reader = read([*events[:2], snapshot, *events[2:]])

    assert reader.missed
    assert (reader.ended, reader.whole) == (True, False)

"""Which messages are archived, and what is kept of them word for word."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.strict import faults
from support.transcripts import conversation, steps
from turnstone.core import events as ev
from turnstone.core import tokens
from turnstone.core.carried import LONG, Carried, cut, filled, fitted, gather, levelled, stand_in
from turnstone.core.compaction import due_at, next_part, places, plan, stretch
from turnstone.core.conversation import Conversation
from turnstone.core.events import Compacted, HistoryMessage
from turnstone.core.prompts import text as prompt
from turnstone.core.transcript import Transcript

conversations = st.builds(
    lambda done, open_calls: conversation([("person", "the goal"), *done], open_calls=open_calls),
    st.lists(steps, max_size=25),
    st.booleans(),
)
rooms = st.sampled_from([50.0, 300.0, 1_500.0, 6_000.0])


def compact(made: Conversation, room: float, *requests: str) -> bool:
    """Compact it once, as the engine does; False if there was nothing to gain."""
    found = plan(made.messages, made.history, requests, room=room, compacted=made.compactions > 0)
    if found is None:
        return False
    message = stand_in(
        found.carried, "an account", prompt("compacted"), {"recall": "", "unsummarised": ""}
    )
    made.compact(
        Compacted(
            archived=found.archived,
            messages=[message] if found.archived else [],
            shortened=list(found.shortened),
            summary="an account",
        )
    )
    return True


def open_faults(made: Conversation) -> list[str]:
    """Of a strict provider, but for calls at the end that have no results yet."""
    messages = list(made.messages)
    while messages and messages[-1].get("tool_calls"):
        messages.pop()
    return faults(messages)


@given(conversations, rooms)
def test_no_call_is_ever_parted_from_its_results(made: Conversation, room: float) -> None:
    was_open = bool(made.messages[-1].get("tool_calls"))
    for _ in range(3):
        compact(made, room)
        assert open_faults(made) == []
        assert bool(made.messages and made.messages[-1].get("tool_calls")) == was_open


@given(conversations, rooms)
def test_a_compaction_makes_it_shorter_or_is_none(made: Conversation, room: float) -> None:
    before = tokens.of_messages(made.messages)
    found = plan(made.messages, made.history, (), room=room)
    if found is not None:
        assert found.kept + (found.carried.size() if found.archived else 0) < before
        assert 0 <= found.archived <= len(made.messages)
        assert all(one.at >= found.archived for one in found.shortened)


@given(st.lists(steps, min_size=1, max_size=30), st.integers(0, 29))
def test_every_word_of_the_person_is_still_sent_where_there_is_room(
    done: list[Any], at: int
) -> None:
    made = conversation([("person", "the goal"), *done])
    said = [message.content for message in made.history if message.role == "user"]
    request = said[at % len(said)]
    for _ in range(3):
        compact(made, 30_000.0, request)
    sent = "\n".join(str(message["content"]) for message in made.messages)
    assert all(text in sent for text in said)


@given(conversations)
def test_each_message_finds_its_place_in_the_history(made: Conversation) -> None:
    where = places(made.messages, made.history)
    found = [at for at in where if at is not None]
    assert found == list(range(len(made.history)))


@given(conversations, rooms)
def test_what_is_summed_up_is_told_in_parts_that_fit(made: Conversation, room: float) -> None:
    left = stretch(made.messages, made.history, len(made.messages), known=False)
    told = len(left)
    while left:
        part, count = next_part(left, room)
        assert tokens.of_text(part) <= room + 20
        left = left[count:]
        told -= count
    assert told == 0


@given(
    st.lists(st.sampled_from(["", "short", "w" * 900, "日本" * 200]), max_size=8), st.floats(5, 900)
)
def test_levelled_texts_fit_and_the_short_ones_are_whole(texts: list[str], room: float) -> None:
    shorter = levelled(texts, room)
    cut_ones = [s for s, t in zip(shorter, texts, strict=True) if s != t]
    marks = 25 * len(cut_ones)  # what is left of a text is its mark, at least
    short = sum(tokens.of_text(t) for t in texts if t == "short")  # no mark is shorter
    assert sum(map(tokens.of_text, shorter)) <= max(room, short) + marks
    assert all(s == t or len(t) > len("short") for s, t in zip(shorter, texts, strict=True))


@given(
    st.builds(lambda part, n: part * n, st.text(min_size=1, max_size=9), st.integers(1, 300)),
    st.floats(0, 300),
)
def test_a_cut_text_says_how_much_is_missing(text: str, size: float) -> None:
    shorter = cut(text, size)
    mark = re.search(r"\[… ([0-9,]+) characters are left out here …\]", shorter)
    if mark is None:
        assert shorter == text
    else:
        head, tail = shorter[: mark.start()], shorter[mark.end() :]
        missing = int(mark[1].replace(",", ""))
        kept = len(head.removesuffix("\n")) + len(tail.removeprefix("\n"))
        assert kept + missing == len(text)
        assert text.startswith(head.removesuffix("\n"))
        assert text.endswith(tail.removeprefix("\n"))


def test_the_oldest_of_the_long_remarks_are_cut_first_and_short_ones_stay() -> None:
    carried = Carried(goal="g", remarks=("a" * 2_000, "short", "b" * 2_000), requests=("r",))
    room = carried.size() - 100
    kept = fitted(carried, room)
    assert "left out here" in kept.remarks[0]
    assert len(kept.remarks[0]) <= LONG
    assert kept.remarks[1:] == ("short", "b" * 2_000)
    assert (kept.goal, kept.requests, kept.left_out) == ("g", ("r",), 0)


def test_remarks_that_do_not_fit_at_all_are_counted() -> None:
    kept = fitted(Carried(goal="g", remarks=tuple(f"remark {n}" for n in range(500))), 200)
    assert kept.left_out > 0
    assert kept.remarks[-1] == "remark 499"
    assert len(kept.remarks) + kept.left_out == 500
    shown = stand_in(kept, "", prompt("compacted"), {"recall": "", "unsummarised": ""})["content"]
    assert f"({kept.left_out} older remarks" in shown
    assert "<plan>" not in shown


#: Tokens that a window of 8,192 leaves for messages, beside the prompt and all tools.
SMALL = 0.8 * 8_192 - 3_156


def carried_of(*said: str, room: float = SMALL) -> Carried:
    """What is carried of these words of a person, each with a long answer behind it."""
    made = conversation(
        [step for text in said for step in (("person", text), ("answer", "x " * 400))]
    )
    found = plan(made.messages, made.history, (), room=room)
    assert found is not None
    return found.carried


def test_in_a_small_window_a_long_goal_and_many_corrections_are_whole() -> None:
    rules = " ".join(f"Rule {n}: never touch module_{n}." for n in range(112))
    goal = f"Repair the nightly build; heed each of these rules. {rules}"
    assert 1_000 < tokens.of_text(goal) < 1_180
    assert carried_of(goal, "go on", "and on") == Carried(goal=goal, remarks=("go on", "and on"))
    corrections = tuple(
        f"Correction {n}: in module_{n} keep the old interface, for the tests rely on it."
        for n in range(66)
    )
    kept = carried_of("Repair it.", *corrections)  # the newest are still sent as they were said
    assert len(kept.remarks) > 55
    assert kept == Carried(goal="Repair it.", remarks=corrections[: len(kept.remarks)])


def test_what_a_person_said_and_is_not_kept_whole_is_counted() -> None:
    goal = "Repair it: heed all of these rules. " * 300
    kept = carried_of(goal, *(f"Correction {n}: keep the interface." * 3 for n in range(200)))
    assert "left out here" in kept.goal
    assert kept.cut == 1
    assert kept.left_out > 100


def test_the_newest_plan_and_the_files_in_work_are_carried() -> None:
    calls = [("plan", "ok", "the first plan"), ("read_file", "ok", "x")]
    later = [("plan", "ok", "the plan that holds"), ("write_file", "ok", "x")]
    refused = [("plan", "denied", "no plan"), ("write_file", "denied", "no")]
    made = conversation([("person", "go"), ("calls", calls), ("calls", later), ("calls", refused)])
    carried = gather(made.history, len(made.history), ["go"])
    assert carried.plan == "the plan that holds"
    assert carried.read == ("src/file1.py",)
    assert carried.written == ("src/file3.py",)
    assert (carried.goal, carried.requests) == ("", ("go",))


def test_a_huge_result_at_the_end_is_shortened_and_not_archived() -> None:
    made = conversation([("person", "go"), ("calls", [("bash", "ok", "0123456789\n" * 9_000)])])
    assert compact(made, 2_000.0, "go")
    assert made.messages[-1]["role"] == "tool"
    assert "characters are left out here" in made.messages[-1]["content"]
    assert tokens.of_messages(made.messages) < 2_000
    assert made.history[-1].content == "0123456789\n" * 9_000


def test_calls_that_are_long_themselves_are_archived_with_their_results() -> None:
    made = conversation([("person", "go"), ("calls", [("bash", "ok", "done")] * 900)])
    assert compact(made, 2_000.0, "go")
    assert tokens.of_messages(made.messages) < 2_000
    assert faults(made.messages) == []


def test_what_stands_for_an_earlier_stretch_is_summed_up_where_its_account_is_not_known() -> None:
    made = conversation([("person", "go"), ("answer", "x" * 700)] * 20)
    assert compact(made, 1_000.0)
    told = stretch(made.messages, made.history, len(made.messages), known=False)
    known = stretch(made.messages, made.history, len(made.messages), known=True)
    assert told[0].startswith("FROM EARLIER: ")
    assert told[1:] == known


def test_what_a_person_writes_is_never_taken_for_a_name_in_a_template() -> None:
    carried = Carried(goal="{goal} {nothing} %s {", requests=("{0}",))
    shown = stand_in(carried, "{account}", prompt("compacted"), {"recall": "", "unsummarised": ""})
    assert "{goal} {nothing} %s {" in shown["content"]
    assert filled("a {x}\n\nb {y}", {"x": "", "y": "{x}"}) == "b {x}"


@pytest.mark.parametrize(
    ("window", "answer", "due"),
    [(0, 4096, 0), (8_192, 4_096, 6_144), (131_072, 32_768, 98_304), (131_072, 0, 104_857)],
)
def test_room_is_kept_for_the_answer(window: int, answer: int, due: int) -> None:
    assert due_at(window, answer, 0.8) == due


def test_history_that_does_not_match_takes_nothing_away() -> None:
    messages = [{"role": "user", "content": "something else"}] * 3
    history = [HistoryMessage(role="user", content="what was said")]
    found = plan(messages, history, ["what was said"], room=10.0)
    assert found is None or found.carried.requests == ("what was said",)


def test_a_remark_on_an_older_plan_is_kept_and_that_on_the_newest_is_with_the_plan() -> None:
    transcript = Transcript()
    transcript.apply(ev.WsCreated())
    transcript.apply(ev.MessageAccepted(message="plan it", correlation_id="c"))
    for number, remark in enumerate(["smaller steps", "reject", "use the old tool"]):
        call = ev.ToolCallRecord("same", "plan", "{}")  # ids may come again
        asked = ev.PlanAsked(request_id=str(number), call_id="same", correlation_id="c")
        answered = ev.PlanAnswered(request_id=str(number), feedback=remark, correlation_id="c")
        for event in (
            ev.StepStarted(step=number + 1, correlation_id="c"),
            ev.StepFinished(step=number + 1, tool_calls=[call], correlation_id="c"),
            ev.ToolStarted(call_id="same", name="plan", correlation_id="c"),
            asked,
            answered,
            ev.ToolFinished(call_id="same", output=f"{number}: {remark}", correlation_id="c"),
        ):
            transcript.apply(event)
    carried = gather(transcript.history, len(transcript.history), ["plan it"])
    assert carried.remarks == ("smaller steps",)
    assert carried.plan == "2: use the old tool"

"""The fold of a journal: the same records give the same transcript, and one that providers take."""

from __future__ import annotations

import msgspec
import pytest

from turnstone.core.events import (
    AnyEvent,
    ApprovalAnswered,
    ApprovalAsked,
    BudgetReserved,
    BudgetSettled,
    CallDecision,
    CallsDecided,
    Compacted,
    Event,
    Grant,
    GrantRevoked,
    MessageAccepted,
    PromptSet,
    Shortened,
    StepFinished,
    StepStarted,
    ToolCallRecord,
    ToolFinished,
    ToolItem,
    ToolStarted,
    TurnEnded,
    Usage,
    WsCreated,
    WsRename,
)
from turnstone.core.transcript import Transcript


def fold(*events: Event) -> Transcript:
    transcript = Transcript()
    for event in events:
        transcript.apply(event)
    return transcript


def said(text: str, cid: str = "c1") -> MessageAccepted:
    return MessageAccepted(message=text, correlation_id=cid)


def called(*ids: str, cid: str = "c1") -> StepFinished:
    calls = [ToolCallRecord(i, "bash", '{"command": "ls"}') for i in ids]
    return StepFinished(tool_calls=calls, correlation_id=cid)


def test_a_journal_from_before_messages_had_times_is_read_as_it_was() -> None:
    old = b"""{"type": "conversation_set", "id": "2-0", "why": "forked", "history": [
        {"role": "user", "content": "go", "tool_calls": [], "tool_call_id": "", "status": ""}]}"""

    transcript = fold(msgspec.json.decode(old, type=AnyEvent))

    [message] = transcript.history
    assert (message.content, message.correlation_id, message.timestamp) == ("go", "", 0.0)


def test_a_message_sent_during_a_turn_comes_after_it() -> None:
    transcript = fold(
        said("one", "c1"),
        StepStarted(correlation_id="c1"),
        said("two", "c2"),
        StepFinished(text="first answer", correlation_id="c1"),
        TurnEnded(correlation_id="c1"),
        StepStarted(correlation_id="c2"),
    )

    assert [m["content"] for m in transcript.messages] == ["one", "first answer", "two"]
    assert transcript.turn is not None
    assert transcript.turn.message.message == "two"
    assert transcript.waiting == []


def test_results_enter_together_in_the_order_of_the_calls() -> None:
    begun = [said("go"), StepStarted(correlation_id="c1"), called("a", "b")]
    second = ToolFinished(call_id="b", output="B", correlation_id="c1")
    first = ToolFinished(call_id="a", output="A", correlation_id="c1")

    assert [m["role"] for m in fold(*begun, second).messages] == ["user", "assistant"]
    messages = fold(*begun, second, first).messages
    assert [(m["tool_call_id"], m["content"]) for m in messages[2:]] == [("a", "A"), ("b", "B")]


def test_broken_arguments_never_go_back_to_a_provider() -> None:
    broken = StepFinished(
        tool_calls=[ToolCallRecord("a", "bash", '{"comm'), ToolCallRecord("b", "bash", "[1]")],
        correlation_id="c1",
    )

    [_, assistant] = fold(said("go"), StepStarted(correlation_id="c1"), broken).messages

    assert [c["function"]["arguments"] for c in assistant["tool_calls"]] == ["{}", "{}"]


@pytest.mark.parametrize(
    ("arguments", "finish", "sent"),
    [
        ('{"a": NaN}', "tool_calls", "{}"),
        ('{"a": 1,}', "tool_calls", '{"a": 1}'),
        ('{"a": "b"', "tool_calls", '{"a": "b"}'),
        ('{"a": "b"', "length", "{}"),
        ('{"a":1}', "tool_calls", '{"a":1}'),
    ],
)
def test_what_goes_back_to_a_provider_is_what_the_call_was_read_as(
    arguments: str, finish: str, sent: str
) -> None:
    answer = StepFinished(
        tool_calls=[ToolCallRecord("a", "bash", arguments)], finish=finish, correlation_id="c1"
    )

    [_, assistant] = fold(said("go"), StepStarted(correlation_id="c1"), answer).messages

    assert assistant["tool_calls"][0]["function"]["arguments"] == sent


def test_a_question_waits_until_it_is_answered_and_an_answer_grants_what_it_says() -> None:
    item = ToolItem(
        call_id="a", name="bash", func_name="bash", header="bash: ls", needs_approval=True
    )
    asked = [
        said("go"),
        StepStarted(correlation_id="c1"),
        called("a"),
        ApprovalAsked(request_id="r1", items=[item], correlation_id="c1"),
    ]
    answer = ApprovalAnswered(
        request_id="r1",
        approved=True,
        always=True,
        granted=[Grant("bash")],
        feedback="be quick",
        correlation_id="c1",
    )
    after = [
        CallsDecided(decisions=[CallDecision(call_id="a", verdict="allow")], correlation_id="c1"),
        ToolStarted(call_id="a", name="bash", item=item, correlation_id="c1"),
        ToolFinished(call_id="a", name="bash", output="x", correlation_id="c1"),
        StepStarted(step=2, correlation_id="c1"),
    ]

    waiting = fold(*asked)
    assert waiting.question is not None
    assert waiting.summary.state == "attention"
    assert waiting.summary.activity == "bash: ls"
    assert waiting.readable()[-1].pending

    answered = fold(*asked, answer)
    assert answered.question is None
    assert answered.granted == {Grant("bash")}
    assert fold(*asked, answer, GrantRevoked(grant=Grant("bash"))).granted == set()

    done = fold(*asked, answer, *after)
    assert [m["content"] for m in done.messages[2:]] == ["x", "be quick"]
    assert done.messages[3]["role"] == "user"


def test_an_answer_to_another_question_changes_nothing() -> None:
    asked = ApprovalAsked(request_id="r1", correlation_id="c1")
    stray = ApprovalAnswered(
        request_id="r0", approved=True, granted=[Grant("bash")], correlation_id="c1"
    )

    transcript = fold(said("go"), StepStarted(correlation_id="c1"), asked, stray)

    assert transcript.question == asked
    assert transcript.granted == set()


def test_costs_and_states_are_folded() -> None:
    transcript = fold(
        WsCreated(name="logs"),
        said("go"),
        StepStarted(correlation_id="c1"),
        StepFinished(text="a", usage=Usage(10, 5, 15), correlation_id="c1"),
        TurnEnded(outcome="failed", correlation_id="c1"),
    )

    assert transcript.summary.name == "logs"
    assert transcript.summary.state == "error"
    assert (transcript.summary.tokens, transcript.summary.last_tokens) == (15, 15)


def test_a_turn_that_ends_before_it_asked_still_has_its_message() -> None:
    transcript = fold(said("never mind"), TurnEnded(outcome="cancelled", correlation_id="c1"))

    assert [m["content"] for m in transcript.messages] == ["never mind"]
    assert transcript.turn is None
    assert transcript.summary.state == "idle"


def test_a_compaction_replaces_what_is_sent_and_nothing_that_is_shown() -> None:
    long = "0123456789 " * 500
    result = ToolFinished(call_id="a", output=long, correlation_id="c1")
    compacted = Compacted(
        archived=1,
        messages=[{"role": "user", "content": "what stands for it"}],
        shortened=[Shortened(2, "0123…")],
        summary="an account",
        tokens_after=700,
        window=8_192,
        model_key="small",
    )
    transcript = fold(
        said("go"), StepStarted(correlation_id="c1"), called("a"), result, PromptSet(), compacted
    )

    assert [m["content"] for m in transcript.messages] == ["what stands for it", "", "0123…"]
    assert [m.content for m in transcript.history] == ["go", "", long]
    assert transcript.conversation.account == "an account"
    assert transcript.learnt.windows == {"small": 8_192}
    assert transcript.summary.last_tokens == 700
    transcript.apply(Compacted(window=4_096, model_key="smaller"))
    transcript.apply(Compacted(window=2_048))  # as it was recorded before models had keys
    assert transcript.conversation.account == "an account"
    assert transcript.learnt.windows == {"small": 8_192, "smaller": 4_096}


def test_what_is_recorded_between_the_records_of_a_turn_takes_no_time_from_it() -> None:
    transcript = fold(
        said("go"),
        StepStarted(correlation_id="c1", timestamp=100.0, elapsed=0.0),
        BudgetReserved(reservation="r", tokens=5, timestamp=101.0, elapsed=1.0),
        BudgetSettled(reservation="r", tokens=5, timestamp=109.0, elapsed=8.0),
        Compacted(timestamp=112.0, elapsed=3.0),
        WsRename(name="another", timestamp=114.0, elapsed=2.0),
        StepFinished(text="done", correlation_id="c1", timestamp=115.0, elapsed=1.0),
    )
    assert transcript.worked == 15.0

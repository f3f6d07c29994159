"""Conversations that outgrow their model's window: what is still sent, and what becomes of a turn."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, error, hold, text
from support.crashing.harness import size
from support.long_talk import LongTalk, Prints, is_summary, sent
from support.nodes import local_node
from support.teams import Touch, team
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core import tokens
from turnstone.core.host import Answer, CreateWorkstream
from turnstone.core.local_host import LocalHost
from turnstone.tools.task import Task

GOAL = "Find out why the nightly build breaks, and {repair} it: not the tests, the build. " * 3
PLAN = "\n".join(f"{n}. step {n}: look at part {n} of the build" for n in range(1, 13))
PAGE = "12:00:01 INFO step finished in 0.31 s, 4 warnings\n" * 40


def tools(page: str = PAGE) -> dict[str, Any]:
    return {"read_file": Prints("read_file", page), "plan": Prints("plan", PLAN)}


def remark(number: int) -> str:
    return f"Remark {number}: leave the file part{number}.py as it is. Now read 2 of them."


async def records(host: LocalHost, ws_id: str) -> list[ev.AnyEvent]:
    return await host._store.records(ws_id)


async def compactions(host: LocalHost, ws_id: str) -> list[ev.Compacted]:
    return [e for e in await records(host, ws_id) if isinstance(e, ev.Compacted)]


async def compact(host: LocalHost, ws_id: str) -> str:
    """What a person is told who asks for it."""
    return (await host.command(ws_id, "/compact")).text


async def turn(host: LocalHost, ws_id: str, message: str, cid: str) -> ev.TurnEnded:
    await send(host, ws_id, message, cid)
    return await ending(host, ws_id, cid)


#: Windows, the share at which they are compacted by themselves, and the compactions that makes.
FILLED = [(131_072, 0.03, 20), (8_192, 0.3, 30), *([(8_192, 0.8, 20)] if size() == "long" else [])]


@pytest.mark.parametrize(("window", "share", "least"), FILLED)
async def test_after_twenty_compactions_the_persons_words_and_the_plan_are_still_sent(
    tmp_path: Path, window: int, share: float, least: int
) -> None:
    talk = LongTalk(window)
    settings = {"context_window": window, "auto_compact": share, "params": {"max_tokens": 512}}
    async with local_node(tmp_path, talk, tools=tools(), **settings) as node:
        ws = await node.host.create(CreateWorkstream())
        assert (await turn(node.host, ws.id, GOAL, "goal")).outcome == "done"
        assert (await turn(node.host, ws.id, "make a plan", "plan")).outcome == "done"
        for number in range(20):
            assert (await turn(node.host, ws.id, remark(number), f"c{number}")).outcome == "done"
            await compact(node.host, ws.id)
        last = "And now the last of it: read 6"
        first_of_last = len(node.model.requests)
        assert (await turn(node.host, ws.id, last, "last")).outcome == "done"
        done = await compactions(node.host, ws.id)

    assert len(done) >= least
    assert talk.refused == []
    assert talk.too_long == 0
    asked = [body for body in node.model.requests[first_of_last:] if not is_summary(body)]
    assert len(asked) == 7
    for body in asked:
        said = sent(body)
        for words in (GOAL, PLAN, last, *map(remark, range(20))):
            assert words in said
    assert {one.why for one in done} >= {"asked"}
    assert all(one.tokens_after < one.tokens_before for one in done)


async def test_a_turn_whose_tools_print_more_than_the_window_holds_ends_well(
    tmp_path: Path,
) -> None:
    talk = LongTalk(8_192)
    settings = {"context_window": 8_192, "params": {"max_tokens": 4_096}}
    async with local_node(tmp_path, talk, tools=tools(PAGE * 8), **settings) as node:
        ws = await node.host.create(CreateWorkstream())
        ended = await turn(node.host, ws.id, f"{GOAL} read 5", "c1")
        done = await compactions(node.host, ws.id)
        shown, _ = await until(node.host, ws.id, ev.History, after=None)

    assert ended.outcome == "done"
    assert talk.refused == []
    assert talk.too_long == 0
    assert {one.why for one in done} == {"full"}
    assert any(one.shortened for one in done)
    assert sum(m.content == PAGE * 8 for m in shown.messages) == 10  # readers have all of it


async def test_an_answer_gets_what_the_conversation_leaves_of_the_window(tmp_path: Path) -> None:
    settings = {"context_window": 8_192, "params": {"max_tokens": 4_096}}
    async with local_node(tmp_path, LongTalk(), tools=tools(), **settings) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, "hello", "c1")
        await turn(node.host, ws.id, "word " * 4_800, "c2")

    first, second = (body["max_tokens"] for body in node.model.requests)
    assert first == 4_096
    assert 256 < second < 4_000


@pytest.mark.parametrize(
    ("known", "says"), [(0, True), (131_072, True), (0, False), (131_072, False)]
)
async def test_a_refusal_as_too_long_compacts_and_asks_again(
    tmp_path: Path, known: int, says: bool
) -> None:
    talk = LongTalk(8_192, says_window=says)
    settings = {"context_window": known, "params": {"max_tokens": 512}}
    async with local_node(tmp_path, talk, tools=tools(), **settings) as node:
        ws = await node.host.create(CreateWorkstream())
        ended = await turn(node.host, ws.id, f"{GOAL} read 8", "c1")
        _, seen = await until(node.host, ws.id, ev.TurnEnded)
        done = await compactions(node.host, ws.id)

    assert ended.outcome == "done"
    assert talk.refused == []
    assert done[0].why == "refused"
    told = [e.message for e in seen if isinstance(e, ev.Info)]
    assert any("too long" in message for message in told)
    if says:
        assert done[0].window == 8_192
        assert talk.too_long == 1  # from then on the window is known
        assert {one.why for one in done[1:]} <= {"full"}


async def test_what_cannot_be_made_shorter_fails_with_the_providers_sentence(
    tmp_path: Path,
) -> None:
    refusal = error(400, "maximum context length is 900 tokens")
    async with local_node(tmp_path, lambda body: refusal, context_window=0) as node:
        ws = await node.host.create(CreateWorkstream())
        ended = await turn(node.host, ws.id, "hello", "c1")

    assert ended.outcome == "failed"
    assert "maximum context length is 900 tokens" in ended.reason
    assert len(node.model.requests) == 2  # once more, for the window was news


async def test_what_is_refused_as_too_long_is_made_shorter_until_it_fits_and_that_is_remembered(
    tmp_path: Path,
) -> None:
    talk = LongTalk(says_window=False)
    settings = {"context_window": 0, "params": {"max_tokens": 512}}
    async with local_node(tmp_path, talk, tools=tools(), **settings) as node:
        ws = await node.host.create(CreateWorkstream())
        for number in range(24):
            await turn(node.host, ws.id, "many words " * 300, f"c{number}")
        talk.window = 4_000
        ended = await turn(node.host, ws.id, "go on", "last")
        refusals = talk.too_long
    async with local_node(tmp_path, talk, tools=tools(), **settings) as node:  # the next process
        later = [await turn(node.host, ws.id, "more " * 200, f"d{n}") for n in range(20)]
        done = await compactions(node.host, ws.id)

    assert ended.outcome == "done"
    assert {end.outcome for end in later} == {"done"}
    assert talk.refused == []
    assert [one.why for one in done].count("refused") > 1
    assert {one.why for one in done[-2:]} == {"full"}
    assert talk.too_long == refusals


async def test_the_next_process_knows_how_far_the_estimates_are_off(tmp_path: Path) -> None:
    """A model counts twice as much as we estimate: what seems to fit the window does not."""
    seen: list[int] = []

    def plan(body: dict[str, Any]) -> Reply:
        if is_summary(body):
            return text("They said words.")
        estimate = tokens.of_messages(body["messages"]) + tokens.of_tools(body["tools"])
        seen.append(round(2 * estimate))
        used = {"prompt_tokens": seen[-1], "completion_tokens": 1, "total_tokens": seen[-1] + 1}
        return replace(text("ok"), usage=used)

    window = 8_192
    async with local_node(tmp_path, plan, tools=tools(), context_window=window) as node:
        ws = await node.host.create(CreateWorkstream())
        number = 0
        while number < 5 or seen[-1] < 0.6 * window:
            await turn(node.host, ws.id, "word " * 100, f"c{number}")
            number += 1
        assert await compactions(node.host, ws.id) == []
    async with local_node(tmp_path, plan, tools=tools(), context_window=window) as node:
        await turn(node.host, ws.id, "word " * 1_500, "next")
        [done] = await compactions(node.host, ws.id)

    assert done.why == "full"
    assert max(seen[:-1]) / 2 + 2_000 < 0.8 * window  # by the estimate alone there was room


@pytest.mark.parametrize("answer", [text(""), error(403, "no account for you")])
async def test_without_an_account_what_is_kept_word_for_word_stands_alone(
    tmp_path: Path, answer: Reply
) -> None:
    talk = LongTalk(8_192, answer_summary=answer)
    settings = {"context_window": 8_192, "params": {"max_tokens": 512}}
    async with local_node(tmp_path, talk, tools=tools(), **settings) as node:
        ws = await node.host.create(CreateWorkstream())
        ended = await turn(node.host, ws.id, f"{GOAL} read 8", "c1")
        _, seen = await until(node.host, ws.id, ev.TurnEnded)
        done = await compactions(node.host, ws.id)

    assert ended.outcome == "done"
    assert done[0].unsummarised
    assert GOAL in done[0].messages[0]["content"]
    assert "No account could be made" in done[0].messages[0]["content"]
    told = [e.message for e in seen if isinstance(e, ev.Info)]
    assert any("could not be summed up" in message for message in told)


async def test_a_cancel_while_it_is_summed_up_leaves_the_conversation_as_it_was(
    tmp_path: Path,
) -> None:
    gate, begun = threading.Event(), threading.Event()
    talk = LongTalk(8_192)

    def plan(body: dict[str, Any]) -> Reply:
        if is_summary(body):
            begun.set()
            return hold(text("too late"), gate)
        return talk(body)

    settings = {"context_window": 8_192, "params": {"max_tokens": 512}}
    async with local_node(tmp_path, plan, tools=tools(), **settings) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, f"{GOAL} read 8", "c1")
        assert await asyncio.to_thread(begun.wait, 20)
        assert await node.host.cancel(ws.id)
        ended = await ending(node.host, ws.id, "c1")
        done = await compactions(node.host, ws.id)
        prompts_set = [e for e in await records(node.host, ws.id) if isinstance(e, ev.PromptSet)]
        gate.set()
        talk.answer_summary = None

    assert ended.outcome == "cancelled"
    assert done == []
    assert len(prompts_set) == 1


async def test_a_compaction_between_turns_can_be_cancelled_and_says_so(tmp_path: Path) -> None:
    gate, begun = threading.Event(), threading.Event()
    talk = LongTalk()

    def plan(body: dict[str, Any]) -> Reply:
        if is_summary(body):
            begun.set()
            return hold(text("too late"), gate)
        return talk(body)

    async with local_node(tmp_path, plan, tools=tools(), context_window=32_768) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, f"{GOAL} read 3", "c1")
        asked = asyncio.create_task(compact(node.host, ws.id))
        assert await asyncio.to_thread(begun.wait, 20)
        assert await node.host.cancel(ws.id)
        said = await asked
        done = await compactions(node.host, ws.id)
        gate.set()
        ended = await turn(node.host, ws.id, "read 1", "c2")

    assert "stopped" in said
    assert done == []
    assert ended.outcome == "done"


async def test_a_compaction_of_what_became_another_conversation_is_dropped_and_that_is_said(
    tmp_path: Path,
) -> None:
    gate, begun = threading.Event(), threading.Event()
    talk = LongTalk()

    def plan(body: dict[str, Any]) -> Reply:
        if is_summary(body):
            begun.set()
            return hold(text("an account"), gate)
        return talk(body)

    async with local_node(tmp_path, plan, tools=tools(), context_window=32_768) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, f"{GOAL} read 3", "c1")
        asked = asyncio.create_task(compact(node.host, ws.id))
        assert await asyncio.to_thread(begun.wait, 20)
        assert not (await node.host.command(ws.id, "/clear")).error
        gate.set()
        said = await asked
        await turn(node.host, ws.id, "hello", "c2")

        assert "became another one" in said
        assert await compactions(node.host, ws.id) == []
    assert [m["content"] for m in node.model.requests[-1]["messages"][1:]] == ["hello"]


async def test_a_person_is_told_how_many_of_their_words_are_not_kept(tmp_path: Path) -> None:
    long = "Repair it: heed all of these rules. " * 300
    async with local_node(tmp_path, LongTalk(), context_window=8_192) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, long, "c1")
        await turn(node.host, ws.id, "go on", "c2")
        said = await compact(node.host, ws.id)

    assert "There was no room for every word of yours: 1 text cut." in said


async def test_a_compaction_asked_for_in_a_turn_comes_before_its_next_request(
    tmp_path: Path,
) -> None:
    gate, begun = threading.Event(), threading.Event()
    talk = LongTalk()

    def plan(body: dict[str, Any]) -> Reply:
        answer = talk(body)
        if not is_summary(body) and len([m for m in body["messages"] if m["role"] == "tool"]) == 4:
            begun.set()
            return hold(answer, gate)
        return answer

    async with local_node(tmp_path, plan, tools=tools(), context_window=32_768) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, f"{GOAL} read 3", "c1")
        assert await asyncio.to_thread(begun.wait, 20)
        asked = asyncio.create_task(compact(node.host, ws.id))
        await asyncio.sleep(0)  # it has asked
        gate.set()
        said = await asked
        ended = await ending(node.host, ws.id, "c1")
        written = await records(node.host, ws.id)

    assert ended.outcome == "done"
    assert "Compacted" in said
    kinds = [type(e).__name__ for e in written]
    assert kinds.index("Compacted") < kinds.index("TurnEnded")
    assert talk.refused == []


async def test_a_cancel_of_a_turn_stops_the_compaction_that_was_asked_for_in_it(
    tmp_path: Path,
) -> None:
    gate, begun, summing = threading.Event(), threading.Event(), threading.Event()
    talk = LongTalk()

    def plan(body: dict[str, Any]) -> Reply:
        if is_summary(body):
            summing.set()
            return hold(text("too late"), threading.Event())
        answer = talk(body)
        if sum(m["role"] == "tool" for m in body["messages"]) == 4:
            begun.set()
            return hold(answer, gate)
        return answer

    async with local_node(tmp_path, plan, tools=tools(), context_window=32_768) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, f"{GOAL} read 3", "c1")
        assert await asyncio.to_thread(begun.wait, 20)
        asked = asyncio.create_task(compact(node.host, ws.id))
        await asyncio.sleep(0)  # it has asked
        gate.set()
        assert await asyncio.to_thread(summing.wait, 20)
        assert await node.host.cancel(ws.id)
        ended = await ending(node.host, ws.id, "c1")
        said = await asked
        done = await compactions(node.host, ws.id)

    assert ended.outcome == "cancelled"
    assert "stopped" in said
    assert done == []


async def test_whoever_asks_for_it_while_a_person_is_waited_for_is_answered_at_once(
    tmp_path: Path,
) -> None:
    asking = Touch()
    talk = LongTalk()

    def plan(body: dict[str, Any]) -> Reply:
        last = body["messages"][-1]
        if last["role"] == "user" and "ask" in last["content"]:
            return calls(call("touch", key="one"))
        return talk(body)

    known = {**tools(), "touch": asking}
    async with local_node(tmp_path, plan, tools=known, context_window=32_768) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, f"{GOAL} read 3", "c1")
        await send(node.host, ws.id, "ask", "c2")
        question, _ = await until(node.host, ws.id, ev.ApprovalAsked)
        async with asyncio.timeout(10):
            said = await compact(node.host, ws.id)
        assert await compactions(node.host, ws.id) == []
        no = Answer(ws_id=ws.id, request_id=question.request_id, approved=False)
        await node.host.approve(no)
        assert (await ending(node.host, ws.id, "c2")).outcome == "done"
        written = [type(e).__name__ for e in await records(node.host, ws.id)]

    assert "waits for a person" in said
    assert written.count("Compacted") == 1
    assert written[-1] == "TurnEnded"


async def test_so_is_whoever_asks_before_a_sub_agent_does(tmp_path: Path) -> None:
    gate, begun = threading.Event(), threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        if body["messages"][-1]["content"] != "ask one; say it":
            return team(body)
        begun.set()
        return hold(team(body), gate, 0)

    known = {"task": Task(), "touch": Touch()}
    async with local_node(tmp_path, plan, tools=known) as node:
        ws = await node.host.create(CreateWorkstream(auto_approve_tools=["task"]))
        await send(node.host, ws.id, "sub [ask one; say it]; say done", "c1")
        assert await asyncio.to_thread(begun.wait, 20)
        asked = asyncio.create_task(compact(node.host, ws.id))
        await asyncio.sleep(0)  # it has asked
        gate.set()
        async with asyncio.timeout(10):
            said = await asked
        question, _ = await until(node.host, ws.id, ev.ApprovalAsked)
        no = Answer(ws_id=ws.id, request_id=question.request_id, approved=False)
        await node.host.approve(no)
        assert (await ending(node.host, ws.id, "c1")).outcome == "done"

    assert "waits for a person" in said


async def test_whoever_asks_for_it_is_told_when_another_process_takes_it_over(
    tmp_path: Path,
) -> None:
    gate, begun = threading.Event(), threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        begun.set()
        return hold(text("late"), gate)

    async with local_node(tmp_path, plan, tools=tools()) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "hello", "c1")
        assert await asyncio.to_thread(begun.wait, 20)
        asked = asyncio.create_task(compact(node.host, ws.id))
        await asyncio.sleep(0)  # it has asked
        row = await node.host._store.row(ws.id)
        assert row is not None
        await node.host._store.acquire(ws.id, "another", row.epoch)
        gate.set()
        async with asyncio.timeout(10):
            said = await asked

    assert "another" in said


async def test_what_was_said_with_a_refusal_is_still_sent_when_the_call_is_archived(
    tmp_path: Path,
) -> None:
    talk = LongTalk()
    why = "Never touch that one: {use} the other folder."

    def plan(body: dict[str, Any]) -> Reply:
        last = body["messages"][-1]
        if last["role"] == "user" and last["content"] == "ask":
            return calls(call("touch", key="one"), call("touch", key="two"))
        return talk(body)

    known = {**tools(), "touch": Touch()}
    async with local_node(tmp_path, plan, tools=known, context_window=32_768) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, "hello", "c0")
        await send(node.host, ws.id, "ask", "c1")
        question, _ = await until(node.host, ws.id, ev.ApprovalAsked)
        no = Answer(ws_id=ws.id, request_id=question.request_id, approved=False, feedback=why)
        await node.host.approve(no)
        assert (await ending(node.host, ws.id, "c1")).outcome == "done"
        for number in range(3):
            await turn(node.host, ws.id, f"read {number + 2}", f"d{number}")
            await compact(node.host, ws.id)
    async with local_node(tmp_path, plan, tools=known, context_window=32_768) as node:
        await turn(node.host, ws.id, "go on", "last")
        said = sent(node.model.requests[-1])

    assert "They said" not in said  # the result of the call is archived
    assert said.count(why) == 1


async def test_there_may_be_nothing_to_compact(tmp_path: Path) -> None:
    async with local_node(tmp_path, LongTalk(), tools=tools(), context_window=32_768) as node:
        ws = await node.host.create(CreateWorkstream())
        assert "nothing to compact" in await compact(node.host, ws.id)
        await turn(node.host, ws.id, f"{GOAL} read 3", "c1")
        assert "Compacted" in await compact(node.host, ws.id)
        for _ in range(3):
            said = await compact(node.host, ws.id)

    assert "nothing to compact" in said


async def test_a_compacted_conversation_is_the_same_after_a_restart(tmp_path: Path) -> None:
    talk = LongTalk()
    async with local_node(tmp_path, talk, tools=tools(), context_window=32_768) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, f"{GOAL} read 3", "c1")
        await compact(node.host, ws.id)
        await turn(node.host, ws.id, "read 1", "c2")
        before = node.model.requests[-1]["messages"]
    async with local_node(tmp_path, talk, tools=tools(), context_window=32_768) as node:
        await turn(node.host, ws.id, "read 0", "c3")
        after = node.model.requests[0]["messages"]

    assert after[: len(before)] == before


async def test_nothing_is_compacted_where_the_window_is_unknown(tmp_path: Path) -> None:
    talk = LongTalk()
    async with local_node(tmp_path, talk, tools=tools(PAGE * 8), context_window=0) as node:
        ws = await node.host.create(CreateWorkstream())
        ended = await turn(node.host, ws.id, f"{GOAL} read 8", "c1")
        assert await compactions(node.host, ws.id) == []

    assert ended.outcome == "done"


async def test_a_window_that_prompt_and_tools_fill_is_told_and_not_compacted_in_vain(
    tmp_path: Path,
) -> None:
    talk = LongTalk()
    async with local_node(tmp_path, talk, tools=tools(), context_window=100) as node:
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, "read 2", "c1")
        _, seen = await until(node.host, ws.id, ev.TurnEnded)
        assert await compactions(node.host, ws.id) == []

    told = [e.message for e in seen if isinstance(e, ev.Info) and "tools alone" in e.message]
    assert len(told) == 1


async def test_an_account_is_paid_for_out_of_the_budget(tmp_path: Path) -> None:
    talk = LongTalk()
    budget = ev.Budget(tokens=1_000_000)
    async with local_node(tmp_path, talk, tools=tools(), context_window=32_768) as node:
        ws = await node.host.create(CreateWorkstream(budget=budget))
        await turn(node.host, ws.id, f"{GOAL} read 3", "c1")
        before = len(
            [e for e in await records(node.host, ws.id) if isinstance(e, ev.BudgetSettled)]
        )
        await compact(node.host, ws.id)
        settled = [e for e in await records(node.host, ws.id) if isinstance(e, ev.BudgetSettled)]

    assert len(settled) == before + 1
    assert settled[-1].tokens > 100

"""Faults of a program's own tools, policies and callbacks: each is that call's failure."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_session import LONG, PATIENCE, Echo, Session, kinds, resolve, scripted, tool_contents
from oturn import Oturn
from oturn.tools.precheck import STATUS_NEEDS_APPROVAL, ToolPrecheckResult
from oturn.transport.scripted import ScriptedCall, call, call_tools, say
from tools_for_tests import SmallTool


class CancelsItsOwnWork(SmallTool):
    name = "broken"

    @staticmethod
    async def execute() -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        await task


class CancelsInACheck(CancelsItsOwnWork):
    @classmethod
    def validate_arguments(cls, args: dict[str, Any]) -> str | None:
        raise asyncio.CancelledError


class CancelsInTheHook(CancelsItsOwnWork):
    @classmethod
    def user_input_hook(cls) -> Any:
        raise asyncio.CancelledError

    @classmethod
    def get_preview(cls, args: dict[str, Any]) -> str | None:
        raise asyncio.CancelledError

    @classmethod
    def on_denial(cls, args: dict[str, Any]) -> dict[str, Any]:
        raise asyncio.CancelledError


@pytest.mark.parametrize("tool", [CancelsItsOwnWork, CancelsInACheck, CancelsInTheHook])
async def test_a_cancelled_error_of_a_tools_own_is_the_failure_of_its_call(tool: Any) -> None:
    agent = scripted(call_tools(call("broken")), say("ok"), tools=[tool])
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
        (content,) = tool_contents(session.context)
        assert session.nothing_more()
        assert not session.run.done()
    assert str(content.error).startswith("CancelledError: something that the tool waited for")
    assert events[-1]["text"] == "ok"
    assert kinds(events).count("assistant_final") == 1


async def cancelled(name: str, args: dict[str, Any]) -> bool:
    raise asyncio.CancelledError


async def raises(name: str, args: dict[str, Any]) -> bool:
    raise RuntimeError("the policy broke")


def says_no_in_words(name: str, args: dict[str, Any]) -> Any:
    return "no"


@pytest.mark.parametrize("policy", [cancelled, raises, says_no_in_words])
async def test_a_policy_that_fails_or_gives_no_bool_is_a_no_to_that_call_alone(
    policy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def for_the_first(name: str, args: dict[str, Any]) -> Any:
        return policy(name, args) if args["words"] == "1" else True

    calls = call_tools(call("echo", words="1"), call("echo", words="2"))
    agent = scripted(calls, say("ok"), tools=[Echo], policy=for_the_first)
    async with Session(agent, resolve(None)) as session:
        assert (await session.ask())[-1]["text"] == "ok"
        contents = tool_contents(session.context)
    by_status = {content.status: content for content in contents}
    assert "not allowed" in str(by_status["failure"].error)
    assert by_status["success"].data == "2"
    assert "the tool policy" in caplog.text


@pytest.mark.parametrize(("allowed", "status"), [(True, "success"), (False, "failure")])
async def test_a_plain_function_will_do_as_policy(allowed: bool, status: str) -> None:
    agent = scripted(
        call_tools(call("echo", words="x")), say("ok"), tools=[Echo], policy=lambda n, a: allowed
    )
    async with Session(agent, resolve(None)) as session:
        await session.ask()
        (content,) = tool_contents(session.context)
    assert content.status == status


@pytest.mark.parametrize("name", ["tool_policy", "approval_callback", "choice_callback"])
def test_what_cannot_be_called_is_refused_where_it_is_set(name: str) -> None:
    agent = scripted()
    with pytest.raises(TypeError, match=f"{name} must be a function, or None, not 'yes'"):
        getattr(agent, f"set_{name}")("yes")


class Guarded(Echo):
    name = "guarded"

    @classmethod
    def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:
        return ToolPrecheckResult(STATUS_NEEDS_APPROVAL, "may I?")


class Chooser(SmallTool):
    name = "chooser"

    @staticmethod
    async def execute(event_publish: Any) -> Any:
        return await Chooser._request_choice(event_publish, "Which?", ["a", "b"])


def after(said: Any) -> Callable[[dict[str, Any]], Any]:
    async def answer(event: dict[str, Any]) -> Any:
        if isinstance(said, BaseException):
            raise said
        return said

    return answer


@pytest.mark.parametrize(
    ("callback", "runs"),
    [
        (lambda e: True, True),
        (lambda e: {"approved": True}, True),
        (after({"approved": False}), False),
        (after("no"), False),
        (after("yes"), False),
        (after(1), False),
        (after(None), False),
        (after({"approve": True}), False),
        (after({"approved": "no"}), False),
        (after(asyncio.CancelledError()), False),
    ],
)
async def test_only_a_plain_yes_of_a_callback_approves(callback: Any, runs: bool) -> None:
    agent = scripted(call_tools(call("guarded", words="x")), say("ok"), tools=[Guarded])
    agent.set_approval_callback(callback)
    async with Session(agent, resolve(None)) as session:
        await session.ask()
        (content,) = tool_contents(session.context)
    assert (content.data == "x") == runs


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("a", ("a", True)),
        ({"selected": "b", "confirmed": True}, ("b", True)),
        ({"selected": "b"}, ("b", False)),
        ({"selected": None, "confirmed": False}, (None, False)),
        (None, (None, False)),
        (False, (None, False)),
        ("zzz", (None, False)),
        ({"selected": "zzz", "confirmed": True}, (None, False)),
        ({"select": "a"}, (None, False)),
    ],
)
@pytest.mark.parametrize("plain", [True, False])
async def test_a_choice_callback_gives_a_choice_or_none(
    said: Any, chosen: Any, plain: bool
) -> None:
    agent = scripted(call_tools(call("chooser")), say("ok"), tools=[Chooser])
    agent.set_choice_callback((lambda e: said) if plain else after(said))
    async with Session(agent, resolve(None)) as session:
        await session.ask()
        (content,) = tool_contents(session.context)
    assert content.data == chosen


@pytest.mark.parametrize("value", ["no", "yes", 0, 1, None, [], {}, {"approved": 1}])
@pytest.mark.parametrize("kind", ["tool_call", "approval_request"])
async def test_an_answer_that_is_neither_yes_nor_no_is_refused(kind: str, value: Any) -> None:
    agent = scripted(call_tools(call("guarded", words="x")), say("ok"), tools=[Guarded], grace=LONG)

    def react(event: Any) -> None:
        if event["type"] in ("tool_call", "approval_request"):
            if event["type"] == kind:
                with pytest.raises(ValueError, match="is neither yes nor no: give True"):
                    agent.answer(event.request_id, value)
            assert agent.answer(event.request_id, True)

    async with Session(agent, react) as session:
        assert (await session.ask())[-1]["text"] == "ok"


async def test_what_a_tool_raises_reaches_its_author_once_with_the_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(SmallTool):
        name = "broken"

        @staticmethod
        def execute() -> Any:
            return {"a": 1}["x"]

    agent = scripted(call_tools(call("broken")), say("ok"), tools=[Broken])
    async with Session(agent, resolve(None)) as session:
        await session.ask()
        (content,) = tool_contents(session.context)
    assert content.error == "KeyError: 'x'"
    (record,) = [r for r in caplog.records if r.name == "oturn.tools"]
    assert record.levelno == logging.WARNING
    assert "the tool broken failed: KeyError: 'x'" in record.getMessage()
    assert "in execute" in caplog.text


async def test_calls_are_announced_in_their_order_also_when_one_is_broken() -> None:
    calls = call_tools(
        call("echo", words="0"), ScriptedCall("guess", '{"words": '), call("nothing")
    )
    agent = scripted(calls, say("ok"), tools=[Echo])
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
    told = [e for e in events if e["type"] in ("tool_call", "tool_call_debug")]
    assert [e["delta_id"] for e in told[:3]] == ["idx:0", "idx:1", "idx:2"]
    assert [e.get("stage") for e in told] == [None, None, None, "invalid_arguments"]


async def test_several_broken_calls_are_announced_before_anything_is_said_about_them() -> None:
    calls = call_tools(ScriptedCall("echo", "{"), ScriptedCall("echo", "["))
    agent = scripted(calls, say("ok"), tools=[Echo])
    async with Session(agent, resolve(None)) as session:
        events = await session.ask()
    kinds_told = [kind for kind in kinds(events) if kind.startswith("tool_call")]
    assert kinds_told[-4:] == ["tool_call", "tool_call", "tool_call_debug", "tool_call_debug"]


class WantsAnInstance(Echo):
    def execute(self, words: str = "") -> str:  # type: ignore[override] # the fault
        return words


class ChecksAnInstance(Echo):
    def validate_arguments(self, args: dict[str, Any]) -> str | None:  # type: ignore[override] # the fault
        return None


@pytest.mark.parametrize(
    ("tool", "sentence"),
    [
        (WantsAnInstance, "WantsAnInstance.execute takes an instance.*@staticmethod"),
        (ChecksAnInstance, "ChecksAnInstance.validate_arguments takes .*@classmethod"),
    ],
)
def test_a_forgotten_decorator_is_told_when_the_tool_is_registered(
    tool: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        scripted(tools=[tool])


async def test_a_function_that_takes_no_instance_needs_no_decorator() -> None:
    class Bare(Echo):
        def execute(words: str = "") -> str:  # type: ignore[override,misc] # works on the class
            return words

    agent = scripted(call_tools(call("echo", words="x")), say("ok"), tools=[Bare])
    async with Session(agent, resolve(None)) as session:
        await session.ask()
        (content,) = tool_contents(session.context)
    assert content.data == "x"


def test_a_tool_that_hangs_does_not_keep_the_program_from_its_end() -> None:
    program = """
        import asyncio, threading

        from oturn.tools.threads import in_thread

        def hang():
            threading.Event().wait()

        async def main():
            task = asyncio.create_task(in_thread("hang", hang, {}))
            await asyncio.wait({task}, timeout=0.05)

        asyncio.run(main())
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], timeout=PATIENCE * 4, check=False
    )
    assert done.returncode == 0


def test_tools_given_as_one_class_are_told_how_to_be_given() -> None:
    with pytest.raises(TypeError, match="tools must be a list of classes"):
        Oturn(Path.cwd(), scripted().cfg, tools=Echo)  # type: ignore[arg-type] # the fault

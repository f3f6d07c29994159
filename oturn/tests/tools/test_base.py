"""Tools by themselves: registration, the sequence of a run, and what `execute` may ask for."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from oturn import BaseToolRegistry, ToolResult
from oturn.tools.base import BaseTool, ToolExecutionError
from oturn.tools.precheck import STATUS_DENY, STATUS_NEEDS_APPROVAL, ToolPrecheckResult
from tools_for_tests import SmallTool


class Adder(SmallTool):
    name = "adder"
    properties = {"a": {"type": "integer"}, "b": {"type": "integer"}}  # noqa: RUF012
    required = ["a"]  # noqa: RUF012

    @classmethod
    def validate_arguments(cls, args: dict[str, Any]) -> str | None:
        return "too large" if args["a"] > 100 else None

    @staticmethod
    def execute(a: int, b: int = 1) -> int:
        return a + b


async def test_what_execute_returns_is_a_success() -> None:
    assert await Adder.run({"a": 1}) == ToolResult("success", 2)


async def test_the_schema_is_checked_before_the_tool_is_asked() -> None:
    result = await Adder.run({"b": "x"})
    assert result.status == "failure"
    assert result.error == "'a' is missing. 'b' must be a whole number, not a string."


async def test_the_tools_own_check_comes_after_the_schema() -> None:
    assert await Adder.run({"a": 101}) == ToolResult("failure", error="too large")


async def test_a_sync_tool_runs_in_a_thread_and_an_async_one_on_the_loop() -> None:
    class Where(SmallTool):
        name = "where"

        @staticmethod
        def execute() -> int:
            return threading.get_ident()

    class Here(SmallTool):
        name = "here"

        @staticmethod
        async def execute() -> int:
            return threading.get_ident()

    assert (await Where.run({})).content != threading.get_ident()
    assert (await Here.run({})).content == threading.get_ident()


async def test_execute_gets_what_it_names_and_not_what_the_model_sends_under_that_name() -> None:
    class Curious(SmallTool):
        name = "curious"

        @staticmethod
        async def execute(cancel_event: Any, event_loop: Any, emit_event: Any) -> Any:
            return cancel_event, event_loop, callable(emit_event)

    told = asyncio.Event()
    result = await Curious.run({"cancel_event": "from the model"}, cancel_event=told)
    assert result.content == (told, asyncio.get_running_loop(), True)


async def test_an_argument_of_the_tools_own_keeps_its_name() -> None:
    class Own(SmallTool):
        name = "own"
        properties = {"event_loop": {"type": "string"}}  # noqa: RUF012

        @staticmethod
        def execute(event_loop: str) -> str:
            return event_loop

    assert (await Own.run({"event_loop": "mine"})).content == "mine"


async def test_a_tool_may_fail_with_more_than_a_message() -> None:
    class Failing(SmallTool):
        name = "failing"

        @staticmethod
        def execute() -> None:
            raise ToolExecutionError("no", metadata={"k": 1}, needs_user_input=True, content="c")

    assert await Failing.run({}) == ToolResult("failure", "c", "no", {"k": 1}, True)


async def test_arguments_that_execute_does_not_take_are_a_failure() -> None:
    result = await Adder.run({"a": 1, "c": 2})
    assert result.status == "failure"
    assert "unexpected keyword argument 'c'" in str(result.error)


class Checked(Adder):
    name = "checked"

    @classmethod
    def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:
        statuses = {1: STATUS_DENY, 2: STATUS_NEEDS_APPROVAL}
        return ToolPrecheckResult(statuses.get(args["a"], "whatever"), None, ["r"])


async def test_a_precheck_denies_or_needs_a_publisher_and_other_statuses_allow() -> None:
    denied = await Checked.run({"a": 1})
    assert (denied.status, denied.needs_user_input) == ("denied", False)
    unasked = await Checked.run({"a": 2})
    assert (unasked.status, unasked.needs_user_input) == ("denied", True)
    assert unasked.metadata == {"reasons": ["r"]}
    assert (await Checked.run({"a": 3})).success


@pytest.mark.parametrize("answer", [True, False, {"approved": True}, LookupError("no")])
async def test_an_approval_is_asked_through_the_publisher(answer: Any) -> None:
    async def publish(event: dict[str, Any]) -> None:
        if isinstance(answer, Exception):
            event["future"].set_exception(answer)
        else:
            event["future"].set_result(answer)

    result = await Checked.run({"a": 2}, approval_publish=publish)
    assert result.success == (answer in (True, {"approved": True}))


async def test_everything_a_tool_emits_is_published_before_its_run_is_over() -> None:
    seen: list[int] = []

    async def publish(event: int) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    class Talker(SmallTool):
        name = "talker"

        @staticmethod
        def execute(emit_event: Any) -> None:
            for number in range(20):
                emit_event(number)

    await Talker.run({}, event_publish=publish)
    assert seen == list(range(20))


def test_the_first_tool_of_a_name_stays_and_order_is_kept() -> None:
    class Again(Adder):
        pass

    registry = BaseToolRegistry()
    for tool in (Checked, Adder, Again):
        registry.auto_register_tool(tool)
    assert registry.list_tools() == ["checked", "adder"]
    assert registry.get_tool_class("adder") is Adder
    assert registry.get_tool_class("nobody") is None
    assert [s["function"]["name"] for s in registry.get_schemas()] == ["checked", "adder"]


def test_classes_that_are_no_whole_tools_are_refused_by_name() -> None:
    class Nameless(Adder):
        name = ""

    class Odd:
        pass

    registry = BaseToolRegistry()
    for tool in (Nameless, BaseTool, Odd):
        with pytest.raises(ValueError, match=tool.__name__):
            registry.auto_register_tool(tool)  # type: ignore[arg-type]


def test_a_tool_whose_schema_cannot_be_made_is_not_offered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Schemaless(Adder):
        name = "schemaless"

        @classmethod
        def get_schema(cls) -> dict[str, Any]:
            raise LookupError("no schema")

    registry = BaseToolRegistry()
    registry.auto_register_tool(Schemaless)
    assert registry.get_schemas() == []
    assert "schemaless" in caplog.text


def test_results_are_shown_as_json_or_text() -> None:
    assert Adder().format_result(ToolResult("success", {"a": 1})) == '{\n  "a": 1\n}'
    assert Adder().format_result(ToolResult("success", 3)) == "3"
    assert '"error": "bad"' in Adder().format_result(ToolResult("failure", error="bad"))

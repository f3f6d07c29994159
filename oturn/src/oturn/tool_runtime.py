"""Carries out the tool calls of one answer, for programs that ask the model themselves.

An `Oturn` does not go through here; both drive the same turn (`oturn.driver`), and what is kept
and published is the same. No model is asked, and no ending is published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oturn.agent_stream_state import tool_call
from oturn.driver import Report, TurnDriver
from oturn.effects import CallModel, DecideCalls, RunTool
from oturn.gate import AnswerRaised, Gate, Rules
from oturn.questions import Publish
from oturn.runtime_config import ANSWER_GRACE
from oturn.signals import AssistantMessage, CallsDecided, Signal, StepFinished, ToolFinished
from oturn.tool_debug import ToolDebug
from oturn.tools.base import BaseToolRegistry, ToolResult
from oturn.turn import TurnEnded
from oturn.turn_calls import CallHandler


@dataclass(slots=True)
class ToolRuntime:
    """`execute_remote_tool(ctx, name, arguments)` is called for what `ctx` knows to be remote."""

    tool_registry: BaseToolRegistry
    publish: Publish
    execute_remote_tool: Callable[[Any, str, dict[str, Any]], Awaitable[ToolResult]] | None
    cancel_event: asyncio.Event
    debug_tools: bool = False

    async def process_tool_records(
        self,
        *,
        ctx: Any,
        tool_records: Sequence[Mapping[str, Any]],
        final: str,
        reasoning: str,
        reasoning_details: list[dict[str, Any]] | None,
        usage_data: dict[str, Any] | None,
        model_name: str | None,
    ) -> bool:
        """Append the answer, run its calls, append their results.

        `tool_records`: `{"index", "id", "function": {"name", "arguments"}}`, arguments as text.
        True when a call that did not succeed wants new input from the person. Raises what a
        subscriber sets as the exception of a `tool_call` future.
        """
        calls = CallHandler(
            context=ctx,
            tools=self.tool_registry,
            publish=self.publish,
            gate=Gate(self.publish, Rules(grace=ANSWER_GRACE)),
            remote=None if self.execute_remote_tool is None else _Remote(self.execute_remote_tool),
            debug=ToolDebug(self.publish) if self.debug_tools else None,
            cancel_event=self.cancel_event,
        )
        answer = AssistantMessage(
            text=final,
            reasoning=reasoning,
            tool_calls=tuple(
                tool_call(
                    str(record.get("id") or ""),
                    record["function"]["name"],
                    record["function"].get("arguments") or "",
                )
                for record in tool_records
            ),
            usage=usage_data,
        )
        places = [int(record["index"]) for record in tool_records]
        extra = {"reasoning_details": reasoning_details} if reasoning_details else None
        turn = TurnDriver(_OneAnswer(calls, answer, places, model_name, extra), max_steps=1)
        try:
            return (await turn.run()).outcome == "needs_input"
        except asyncio.CancelledError:
            calls.abandon(turn.state)
            raise
        except AnswerRaised as answered:
            calls.abandon(turn.state)
            raise answered.problem from None
        finally:
            calls.close()


@dataclass
class _OneAnswer:
    """An `EffectHandler` whose model has answered already."""

    calls: CallHandler
    answer: AssistantMessage
    places: list[int]
    model: str | None
    extra: dict[str, Any] | None

    async def record(self, signal: Signal | TurnEnded) -> None:
        self.calls.check()
        match signal:
            case StepFinished(message):
                self.calls.keep_answer(message, self.places, self.model, self.extra)
            case ToolFinished():
                await self.calls.finished(signal)

    async def call_model(self, effect: CallModel) -> StepFinished:
        return StepFinished(self.answer)

    async def decide(self, effect: DecideCalls, report: Report) -> CallsDecided:
        return await self.calls.decide(effect.calls)

    async def run_tool(self, effect: RunTool) -> ToolFinished:
        return await self.calls.run(effect.call)


@dataclass(frozen=True)
class _Remote:
    """A function of its own, where `Oturn` has an adapter."""

    execute: Callable[[Any, str, dict[str, Any]], Awaitable[ToolResult]]

    def merge_tool_schemas(self, ctx: Any, local: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return local

    async def execute_remote_tool(self, ctx: Any, name: str, args: dict[str, Any]) -> ToolResult:
        return await self.execute(ctx, name, args)

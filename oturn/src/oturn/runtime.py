"""`Oturn`: user inputs in, events out, one turn after another on the turn driver.

How a turn goes is decided in `oturn.turn`; what a turn does is in `oturn.turn_handler`. Here
is only what lives longer than a turn: the queue of inputs, subscribers, tools and settings.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from oturn.context import Context
from oturn.driver import TurnDriver
from oturn.errors import OturnError
from oturn.events import ErrorEvent, ev_assistant_final, ev_debug_latency, ev_error
from oturn.gate import AnswerRaised, Gate, Rules, ToolPolicy
from oturn.history import ApiMessages
from oturn.inputs import InputQueue, UserInput
from oturn.mcp_adapter import MCPAdapter
from oturn.model import MessageTextRenderable
from oturn.nucleus import Subscriber
from oturn.questions import AnswerCallback, OpenQuestions, Question
from oturn.remote_tools import RemoteTools, has_notebook
from oturn.runtime_config import OturnConfig
from oturn.subscribers import Subscribers
from oturn.tool_debug import ToolDebug
from oturn.tool_deltas import ToolCallDeltas
from oturn.tools.base import BaseTool, BaseToolRegistry
from oturn.transport.base import ModelRequest, ModelTransport
from oturn.transport.choose import sent_model, transport_for
from oturn.transport.openai import DEFAULT_TIMEOUT
from oturn.turn import Phase
from oturn.turn_calls import CallHandler
from oturn.turn_handler import TurnHandler
from oturn.usage import newest_usage, records_of
from oturn.user_message import notices_of, user_message

#: How many pending events the notebook for user interfaces keeps.
PENDING_EVENTS = 200


class Oturn:
    """An agent: `enqueue_user_input_nowait(text)` asks, `subscribe(queue)` hears, and
    `await run_queues(context)` works until it is cancelled.

    Raises ValueError for a blank model or a tool class that is not whole. `transport`
    replaces the one that the configuration describes. The callbacks answer approvals and
    choices, beside the subscribers: whoever is first.
    """

    def __init__(
        self,
        work_dir: Path,
        config: OturnConfig,
        tool_policy: ToolPolicy | None = None,
        tools: list[type[BaseTool]] | None = None,
        *,
        transport: ModelTransport | None = None,
        approval_callback: AnswerCallback | None = None,
        choice_callback: AnswerCallback | None = None,
        remote_tools: RemoteTools | None = None,
    ) -> None:
        self.work_dir = work_dir.absolute()
        self.cfg = config
        self.model = config.model.strip()
        if not self.model:
            raise ValueError("OturnConfig.model is blank: name a model, like openai/gpt-4o.")
        self.api_base = (config.provider.api_base or "").strip()
        self.api_key = config.provider.api_key
        self.max_tokens = config.model_config.max_output_tokens
        self.temperature = config.model_config.temperature
        self.extra_body = config.model_config.extra_body
        self.timeout = float(config.model_config.timeout or DEFAULT_TIMEOUT)
        self._policy = tool_policy
        self._approval = approval_callback
        self._choice = choice_callback
        self._remote = MCPAdapter() if remote_tools is None else remote_tools
        self._tools = BaseToolRegistry()
        for tool in tools or ():
            self._tools.auto_register_tool(tool)
        self._given_transport = transport
        self._own_transport: ModelTransport | None = None
        self._events = Subscribers(config.agent_config.event_backlog)
        self._questions = OpenQuestions()
        self._inputs = InputQueue()
        self._deltas = ToolCallDeltas()
        self._turns: dict[TurnDriver, asyncio.Event] = {}  # what runs, and how its tools are told
        self._cancel_next = False
        self._runs = 0
        self._pending: list[dict[str, Any]] = []

    @property
    def client(self) -> ModelTransport:
        """The transport, for requests of a program's own. Raises ConfigError without a server,
        and MissingExtraError where only LiteLLM would know one."""
        if self._given_transport is not None:
            return self._given_transport
        if self._own_transport is None:
            self._own_transport = transport_for(self.cfg)
        return self._own_transport

    def subscribe(self, queue: Subscriber | None) -> bool:
        """Send every event from now on to this queue, or anything with an awaitable `put`.

        No subscriber slows a turn. One that falls too far behind (a full bounded queue, or
        `OturnAgentConfig.event_backlog` events) loses fragments, and finds
        `{"type": "lagged", "missed": n}` in their place; questions and endings are kept.
        """
        return self._events.subscribe(queue)

    def unsubscribe(self, queue: Subscriber | None) -> bool:
        return self._events.unsubscribe(queue)

    def answer(self, request_id: str, value: Any = True) -> bool:
        """Answer a question by the `id` of its event, or the `request_id` of a `tool_call` (its
        `delta_id` will do while one such call is open). On the loop's thread.

        An approval and a tool call take a bool or `{"approved": bool}`; a choice takes one of
        its choices, None, or `{"selected": …, "confirmed": bool}`, and raises ValueError for
        what is no choice. False when no question is open under this id: it is unknown, has
        been answered or given up, or its turn is over.
        """
        return self._questions.answer(request_id, value)

    def get_tool_class(self, name: str) -> type[BaseTool] | None:
        return self._tools.get_tool_class(name)

    def set_tool_policy(self, policy: ToolPolicy | None) -> None:
        """Asked before each tool call from now on; where it says no, the model is told so."""
        self._policy = policy

    def set_approval_callback(self, callback: AnswerCallback | None) -> None:
        """Asked with each `approval_request` from now on; gives a bool or `{"approved": bool}`."""
        self._approval = callback

    def set_choice_callback(self, callback: AnswerCallback | None) -> None:
        """Asked with each `choice_request` from now on; gives `{"selected": …, "confirmed": bool}`."""
        self._choice = callback

    def enqueue_user_input_nowait(
        self,
        text: Any = None,
        status: str = "agent",
        input_type: str = "default",
        *,
        content: Any = None,
        channel_headers: dict[str, str] | None = None,
        platform_event_id: str | None = None,
    ) -> bool:
        """Queue an input: a text, or something with `to_message_text`; True when it is queued.

        `content` is the later name of `text`. Anything else is made a text under the old name
        and refused (False) under the new one, as each of the two versions did. Raises
        TypeError for both names at once.
        """
        if text is not None and content is not None:
            raise TypeError("Give the input as text or as content, not as both.")
        said = text if content is None else content
        if isinstance(said, MessageTextRenderable):
            said = said.to_message_text()
        if content is not None and not isinstance(said, str):
            return False
        item = UserInput(
            str(said) if said else "",
            status or "agent",
            input_type or "default",
            channel_headers,
            platform_event_id,
        )
        self._inputs.put(item)
        return True

    def pending_input_count(self) -> int:
        return len(self._inputs)

    def get_input_queue_snapshot(self, limit: int = 100) -> list[dict[str, Any]]:
        return [item.to_dict() for item in self._inputs.snapshot(limit)]

    def dequeue_user_input_nowait(self) -> dict[str, Any] | None:
        item = self._inputs.withdraw()
        return None if item is None else item.to_dict()

    def clear_user_input_queue(self) -> int:
        return self._inputs.clear()

    def request_cancel_tool(self) -> None:
        """Stop what runs, at once; when nothing runs, the next turn instead."""
        running = [turn for turn in self._turns if turn.state.phase is not Phase.ENDED]
        self._cancel_next = not running
        for turn in running:
            self._turns[turn].set()
            turn.cancel()

    async def run_queues(self, ctx: Context) -> None:
        """Take up inputs one after another; never returns, ends by being cancelled.

        Raises what a subscriber sets as the exception of a `tool_call` future; every other
        failure is told by an `error` event and an `assistant_final`, and the next input waits.
        """
        if hasattr(ctx, "set_tool_registry"):
            ctx.set_tool_registry(self._tools)
        sent = ApiMessages()
        self._runs += 1
        try:
            while True:
                item = await self._inputs.take()
                if item.status == "agent" and item.text.strip():
                    await self._take_up(ctx, item, sent)
        except AnswerRaised as answer:
            raise answer.problem from None
        finally:
            self._runs -= 1
            if not self._runs:
                await self._close_own_transport()

    async def aclose(self) -> None:
        """Let go of connections; they are opened again when needed."""
        await self._close_own_transport()

    def get_last_usage(self, ctx: Any) -> dict[str, Any] | None:
        """The usage of the newest answer that has one: the stored dict. None for a bad `ctx`."""
        return newest_usage(ctx)

    def get_last_total_tokens(self, ctx: Any) -> int | None:
        total = (newest_usage(ctx) or {}).get("total_tokens")
        return total if isinstance(total, int) else None

    def get_tool_call_deltas(self) -> list[dict[str, Any]]:
        """The tool calls of the current step, as far as they have been streamed."""
        return self._deltas.all()

    def get_tool_call_delta(self, delta_id: str) -> dict[str, Any] | None:
        return self._deltas.get(delta_id)

    async def add_pending_event(self, payload: Any) -> None:
        """Note an event that has a `future_id`, for a user interface; the newest are kept."""
        if isinstance(payload, dict) and "future_id" in payload:
            self._pending = [*self._pending, payload][-PENDING_EVENTS:]

    async def resolve_pending_future_id(self, future_id: Any) -> None:
        self._pending = [event for event in self._pending if event["future_id"] != future_id]

    async def get_pending_events(self) -> list[dict[str, Any]]:
        return list(self._pending)

    async def _take_up(self, ctx: Context, item: UserInput, sent: ApiMessages) -> None:
        latency = self._stopwatch()
        try:
            if hasattr(ctx, "aensure_persisted"):
                await ctx.aensure_persisted()
            notices = notices_of(self._tools)
            await latency("hooks")
            ctx.append_message(user_message(item, self.cfg.agent_config, notices))
            await latency("append")
            await self._run_turn(ctx, sent, latency)
        except AnswerRaised:
            raise
        except OturnError as problem:
            await self._failed(ev_error(str(problem), exception_type=type(problem).__name__))
        except Exception as problem:
            trace = "".join(traceback.format_exception(problem))
            kind = type(problem).__name__
            event = ev_error(str(problem) or kind, exception_type=kind, traceback_text=trace)
            await self._failed(event)

    async def _failed(self, event: ErrorEvent) -> None:
        await self._publish(event)
        await self._publish(ev_assistant_final(f"Error: {event['error']}"))

    def _stopwatch(self) -> Callable[[str], Awaitable[None]]:
        """Tells with `debug_loop` how long after this moment a stage is reached."""
        begun = time.perf_counter()

        async def reached(stage: str) -> None:
            if self.cfg.debug_loop:
                ms = round((time.perf_counter() - begun) * 1000, 1)
                await self._publish(ev_debug_latency(stage=stage, ms=ms))

        return reached

    async def _run_turn(
        self, ctx: Context, sent: ApiMessages, latency: Callable[[str], Awaitable[None]]
    ) -> None:
        rules = Rules(
            self._policy, self.cfg.agent_config.answer_grace, self._approval, self._choice
        )
        calls = CallHandler(
            context=ctx,
            tools=self._tools,
            publish=self._publish,
            gate=Gate(self._publish, rules),
            deltas=self._deltas,
            remote=self._remote,
            debug=ToolDebug(self._publish) if self.cfg.provider.debug_tools else None,
        )
        handler = TurnHandler(
            calls=calls,
            transport=self.client,
            publish=self._publish,
            latency=latency,
            deltas=self._deltas,
            request=lambda: self._request(ctx, sent),
        )
        turn = TurnDriver(
            handler,
            max_steps=self.cfg.agent_config.max_steps,
            max_broken=self.cfg.agent_config.max_broken_answers,
        )
        self._turns[turn] = calls.cancel_event
        if self._cancel_next:
            self.request_cancel_tool()
        try:
            await turn.run()
        except (asyncio.CancelledError, AnswerRaised):
            calls.abandon(turn.state)
            raise
        finally:
            calls.close()
            del self._turns[turn]

    def _request(self, ctx: Context, sent: ApiMessages) -> ModelRequest:
        tools = self._tools.get_schemas()
        if has_notebook(ctx):
            tools = self._remote.merge_tool_schemas(ctx, tools)
        params: dict[str, Any] = {}
        if self.max_tokens:
            params["max_tokens"] = int(self.max_tokens)
        if self.temperature is not None:
            params["temperature"] = float(self.temperature)
        if tools and self.cfg.tool_choice is not None:
            params["tool_choice"] = self.cfg.tool_choice
        params |= self.extra_body or {}
        return ModelRequest(self._model_as_sent(), sent.of(records_of(ctx)), tools, params)

    def _model_as_sent(self) -> str:
        if self._given_transport is not None and not self.api_base:
            return self.model  # a transport that was given knows models by their whole name
        return sent_model(self.cfg)

    async def _publish(self, event: Any) -> None:
        if self.cfg.debug_loop:
            print(event, flush=True)  # noqa: T201 what debug_loop is for
        if isinstance(event, Question) and event.open:
            self._questions.add(event)
        await self._events.publish(event)

    async def _close_own_transport(self) -> None:
        transport, self._own_transport = self._own_transport, None
        if transport is not None:
            await transport.aclose()

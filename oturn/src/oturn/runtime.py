"""`Oturn`: user inputs in, events out, one turn after another on the turn driver.

How a turn goes is decided in `oturn.turn`; what a turn does is in `oturn.turn_handler`. Here
is only what lives longer than a turn: the queue of inputs, subscribers, tools and settings.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any

from oturn.context import Context
from oturn.driver import TurnDriver
from oturn.errors import OturnError
from oturn.events import ErrorEvent, ev_assistant_final, ev_error
from oturn.inputs import InputQueue, UserInput
from oturn.model import Message, MessageTextRenderable, UserContent
from oturn.nucleus import AsyncPubSub, Subscriber
from oturn.runtime_config import OturnConfig
from oturn.tool_deltas import ToolCallDeltas
from oturn.tools.base import BaseTool, BaseToolRegistry
from oturn.transport.base import ModelRequest, ModelTransport
from oturn.transport.openai import DEFAULT_TIMEOUT, OpenAITransport
from oturn.transport.routing import server_and_model
from oturn.turn_handler import AnswerRaised, ToolPolicy, TurnHandler

#: How many pending events the notebook for user interfaces keeps.
PENDING_EVENTS = 200

_log = logging.getLogger(__name__)


class Oturn:
    """An agent: `enqueue_user_input_nowait(text)` asks, `subscribe(queue)` hears, and
    `await run_queues(context)` works until it is cancelled.

    Raises ValueError for a blank model or a tool class that is not whole. `transport`
    replaces the one that the configuration describes.
    """

    def __init__(
        self,
        work_dir: Path,
        config: OturnConfig,
        tool_policy: ToolPolicy | None = None,
        tools: list[type[BaseTool]] | None = None,
        *,
        transport: ModelTransport | None = None,
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
        self._tools = BaseToolRegistry()
        for tool in tools or ():
            self._tools.auto_register_tool(tool)
        self._given_transport = transport
        self._own_transport: OpenAITransport | None = None
        self._events: AsyncPubSub[Any] = AsyncPubSub()
        self._inputs = InputQueue()
        self._deltas = ToolCallDeltas()
        self._turns: dict[TurnDriver, asyncio.Event] = {}  # what runs, and how its tools are told
        self._cancel_next = False
        self._runs = 0
        self._pending: list[dict[str, Any]] = []

    @property
    def client(self) -> ModelTransport:
        """The transport, for requests of a program's own. Raises ConfigError without a server."""
        if self._given_transport is not None:
            return self._given_transport
        if self._own_transport is None:
            base_url, _ = server_and_model(self.model, self.api_base)
            provider = self.cfg.provider
            self._own_transport = OpenAITransport(
                base_url,
                self.api_key,
                self.timeout,
                provider.extra_headers,
                query=provider.extra_query_params,
            )
        return self._own_transport

    def subscribe(self, queue: Subscriber | None) -> bool:
        return self._events.subscribe(queue)

    def unsubscribe(self, queue: Subscriber | None) -> bool:
        return self._events.unsubscribe(queue)

    def get_tool_class(self, name: str) -> type[BaseTool] | None:
        return self._tools.get_tool_class(name)

    def set_tool_policy(self, policy: ToolPolicy | None) -> None:
        """Asked before each tool call from now on; where it says no, the model is told so."""
        self._policy = policy

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
        """Queue an input: text, or something with `to_message_text`. `content` is another name
        for the first parameter. Always True."""
        said = text if content is None else content
        words = said.to_message_text() if isinstance(said, MessageTextRenderable) else said
        item = UserInput(
            str(words) if words else "",
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
        self._cancel_next = not self._turns
        for turn, tools_told in self._turns.items():
            tools_told.set()
            turn.cancel()

    async def run_queues(self, ctx: Context) -> None:
        """Take up inputs one after another; never returns, ends by being cancelled.

        Raises what a subscriber sets as the exception of a `tool_call` future; every other
        failure is told by an `error` event and an `assistant_final`, and the next input waits.
        """
        ctx.set_tool_registry(self._tools)
        self._runs += 1
        try:
            while True:
                item = await self._inputs.take()
                if item.status == "agent" and item.text.strip():
                    await self._take_up(ctx, item)
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
        """The usage of the newest answer that has one."""
        history = getattr(ctx, "history", None)
        for record in reversed(history if isinstance(history, list) else []):
            if isinstance(record, Message) and record.role == "assistant" and record.usage:
                return record.usage
        return None

    def get_last_total_tokens(self, ctx: Any) -> int | None:
        total = (self.get_last_usage(ctx) or {}).get("total_tokens")
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

    async def _take_up(self, ctx: Context, item: UserInput) -> None:
        try:
            await ctx.aensure_persisted()
            ctx.append_message(Message(role="user", content=self._said(item)))
            await self._run_turn(ctx)
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

    def _said(self, item: UserInput) -> UserContent:
        agent = self.cfg.agent_config
        return UserContent(
            user_name=agent.user_name,
            email=agent.email,
            date=datetime.now().astimezone(),
            content=item.text,
            tool_contents=self._notices() or None,
            channel_headers=item.channel_headers or None,
            platform_event_id=item.platform_event_id or None,
        )

    def _notices(self) -> list[UserContent]:
        notices = []
        for name in self._tools.list_tools():
            tool = self._tools.get_tool_class(name)
            try:
                notice = None if tool is None else tool.user_input_hook()
            except Exception:
                _log.exception("user_input_hook of the tool %r fails", name)
                continue
            if notice is not None:
                notices.append(notice)
        return notices

    async def _run_turn(self, ctx: Context) -> None:
        handler = TurnHandler(
            context=ctx,
            transport=self.client,
            tools=self._tools,
            publish=self._publish,
            deltas=self._deltas,
            request=self._request,
            policy=self._policy,
            grace=self.cfg.agent_config.answer_grace,
        )
        turn = TurnDriver(handler, max_steps=self.cfg.agent_config.max_steps)
        self._turns[turn] = handler.cancel_event
        if self._cancel_next:
            self.request_cancel_tool()
        try:
            await turn.run()
        finally:
            del self._turns[turn]

    def _request(self, messages: list[dict[str, Any]]) -> ModelRequest:
        tools = self._tools.get_schemas()
        params: dict[str, Any] = {}
        if self.max_tokens:
            params["max_tokens"] = int(self.max_tokens)
        if self.temperature is not None:
            params["temperature"] = float(self.temperature)
        if tools and self.cfg.tool_choice is not None:
            params["tool_choice"] = self.cfg.tool_choice
        params |= self.extra_body or {}
        return ModelRequest(self._model_as_sent(), messages, tools, params)

    def _model_as_sent(self) -> str:
        if not self.api_base:  # a transport that was given knows models by their whole name
            return self.model
        return server_and_model(self.model, self.api_base)[1]

    async def _publish(self, event: Any) -> None:
        if self.cfg.debug_loop:
            print(event, flush=True)  # noqa: T201 what debug_loop is for
        await self._events.publish(event)

    async def _close_own_transport(self) -> None:
        transport, self._own_transport = self._own_transport, None
        if transport is not None:
            await transport.aclose()

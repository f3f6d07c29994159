"""`TurnstoneClient`: the same client for programs without an event loop; safe in any thread.

Everything waits on an event loop in a thread of its own. Callbacks never run there: those of
`send_and_wait` run in the thread that called it, those of `subscribe` in one more, so that a
callback may use the client.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from turnstone.core.errors import UnknownRequest
from turnstone.core.timers import Missed, Timer
from turnstone.mq.client_args import TIMEOUT, IfUnavailable, Mistakes
from turnstone.mq.client_asks import Asked, Reply, answer_to, refusal_of
from turnstone.mq.client_async import AsyncTurnstoneClient
from turnstone.mq.client_timers import When
from turnstone.mq.protocol import (
    ApprovalRequestEvent,
    OutboundEvent,
    PlanFeedbackMessage,
    PlanReviewEvent,
)
from turnstone.mq.results import TurnResult

__all__ = ["OnEvent", "TurnResult", "TurnstoneClient"]

OnEvent: TypeAlias = Callable[[OutboundEvent], object]
T = TypeVar("T")


class TurnstoneClient:
    """A client of a cluster, or of one node: `TurnstoneClient()`, `TurnstoneClient(host="redis")`,
    `TurnstoneClient("http://localhost:8080")`. See `AsyncTurnstoneClient` for what is the same.

    Use it as a context manager, or `close` it. Any number of threads may use one at once.
    """

    def __init__(
        self,
        broker: object = None,
        prefix: str = "turnstone",
        *,
        url: str = "",
        token: str | None = None,
        signing_secret: str = "",
        **redis_kwargs: Any,
    ) -> None:
        self._client = AsyncTurnstoneClient(
            broker, prefix, url=url, token=token, signing_secret=signing_secret, **redis_kwargs
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="turnstone-client", daemon=True
        )
        self._thread.start()
        self._callbacks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._caller: threading.Thread | None = None
        self._closing = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(
        self,
        message: str,
        ws_id: str = "",
        name: str = "",
        auto_approve: bool = False,
        auto_approve_tools: Sequence[str] | None = None,
        target_node: str = "",
        *,
        requires: Sequence[str] | None = None,
        if_unavailable: IfUnavailable = "error",
        not_before: When = None,
        every: str = "",
        timezone: str = "UTC",
        missed: Missed = "once",
        until: When = None,
    ) -> str:
        """Send a message and do not wait. Returns its correlation id (see `result`). With
        `not_before` or `every` it is sent later (`AsyncTurnstoneClient.send`)."""
        return self._wait(
            self._client.send(
                message,
                ws_id,
                name,
                auto_approve,
                auto_approve_tools,
                target_node,
                requires=requires,
                if_unavailable=if_unavailable,
                not_before=not_before,
                every=every,
                timezone=timezone,
                missed=missed,
                until=until,
            )
        )

    def send_and_wait(
        self,
        message: str,
        ws_id: str = "",
        name: str = "",
        auto_approve: bool = True,
        auto_approve_tools: Sequence[str] | None = None,
        target_node: str = "",
        timeout: float | None = TIMEOUT,
        on_event: OnEvent | None = None,
        *,
        requires: Sequence[str] | None = None,
        if_unavailable: IfUnavailable = "error",
        on_approval: Callable[[ApprovalRequestEvent], Reply] | None = None,
        on_plan: Callable[[PlanReviewEvent], Reply] | None = None,
    ) -> TurnResult:
        """Send a message and wait for its answer (`AsyncTurnstoneClient.send_and_wait`). What
        its turn asks for is approved, unless `auto_approve=False`."""
        happened: queue.SimpleQueue[OutboundEvent | None] = queue.SimpleQueue()
        waiting = self._start(
            self._client.send_and_wait(
                message,
                ws_id,
                name,
                auto_approve,
                auto_approve_tools,
                target_node,
                timeout,
                happened.put if on_event or on_approval or on_plan else None,
                requires=requires,
                if_unavailable=if_unavailable,
            )
        )
        waiting.add_done_callback(lambda _: happened.put(None))
        mistakes, asked = Mistakes(), Asked(on_approval, on_plan)
        try:
            while (event := happened.get()) is not None:
                _call(on_event, event, mistakes)
                self._answer(asked, event, mistakes)
            return waiting.result()
        finally:
            waiting.cancel()

    def stream(
        self,
        message: str,
        ws_id: str = "",
        name: str = "",
        auto_approve: bool = False,
        auto_approve_tools: Sequence[str] | None = None,
        target_node: str = "",
        *,
        requires: Sequence[str] | None = None,
        if_unavailable: IfUnavailable = "error",
        timeout: float | None = None,
        on_approval: Callable[[ApprovalRequestEvent], Reply] | None = None,
        on_plan: Callable[[PlanReviewEvent], Reply] | None = None,
    ) -> Iterator[OutboundEvent]:
        """Send a message and follow its turn, event by event; `turn_complete` is the last. Raises
        TurnTimedOut (`AsyncTurnstoneClient.stream`)."""
        events = self._client.stream(
            message,
            ws_id,
            name,
            auto_approve,
            auto_approve_tools,
            target_node,
            requires=requires,
            if_unavailable=if_unavailable,
            timeout=timeout,
        )
        yield from self._iterated(events, Asked(on_approval, on_plan))

    def follow(
        self,
        correlation_id: str,
        after: str = "",
        *,
        ws_id: str = "",
        timeout: float | None = None,
        on_approval: Callable[[ApprovalRequestEvent], Reply] | None = None,
        on_plan: Callable[[PlanReviewEvent], Reply] | None = None,
    ) -> Iterator[OutboundEvent]:
        """The turn of a message that was sent earlier, behind the event whose `cursor` is
        `after`. Raises UnknownMessage and TurnTimedOut (`AsyncTurnstoneClient.follow`)."""
        events = self._client.follow(correlation_id, after, ws_id=ws_id, timeout=timeout)
        yield from self._iterated(events, Asked(on_approval, on_plan))

    def cancel(self, correlation_id: str = "", ws_id: str = "") -> bool:
        """Stop the turn of a message, or what runs in a workstream; False: there is nothing to
        stop (`AsyncTurnstoneClient.cancel`)."""
        return self._wait(self._client.cancel(correlation_id, ws_id))

    def result(self, correlation_id: str, ws_id: str = "") -> TurnResult | None:
        """What came of a message that was sent earlier; None while it has not ended, or where
        nobody remembers it. One node needs `ws_id` for a workstream that is closed."""
        return self._wait(self._client.result(correlation_id, ws_id))

    def create_workstream(
        self,
        name: str = "",
        auto_approve: bool = False,
        auto_approve_tools: Sequence[str] | None = None,
        target_node: str = "",
        *,
        requires: Sequence[str] | None = None,
    ) -> str:
        """Returns the correlation id; a `ws_created` event with it names the workstream."""
        return self._wait(
            self._client.create_workstream(
                name, auto_approve, auto_approve_tools, target_node, requires=requires
            )
        )

    def close_workstream(self, ws_id: str) -> str:
        """End a workstream, and the turn that runs in it."""
        return self._wait(self._client.close_workstream(ws_id))

    def command(self, ws_id: str, command: str) -> str:
        return self._wait(self._client.command(ws_id, command))

    def list_workstreams(self) -> str:
        """Returns the correlation id; a `ws_list` event with it has those of one node."""
        return self._wait(self._client.list_workstreams())

    def health(self) -> str:
        """Returns the correlation id; a `health_response` event with it is of one node."""
        return self._wait(self._client.health())

    def list_nodes(self) -> list[dict[str, object]]:
        """The nodes that live: what each says of itself, and its `node_id`."""
        return self._wait(self._client.list_nodes())

    def timers(self) -> list[Timer]:
        """Messages that are to be sent later, by their next time, paused ones last."""
        return self._wait(self._client.timers())

    def cancel_timer(self, timer_id: str) -> None:
        """End a timer. Raises UnknownTimer; InvalidRequest if it has ended by itself."""
        self._wait(self._client.cancel_timer(timer_id))

    def pause_timer(self, timer_id: str, paused: bool = True) -> None:
        """Pause a timer, or let it go on. Raises UnknownTimer, InvalidRequest."""
        self._wait(self._client.pause_timer(timer_id, paused))

    def approve(
        self,
        request_id: str,
        ws_id: str = "",
        approved: bool = True,
        feedback: str | None = None,
        always: bool = False,
    ) -> None:
        """Answer a question; its id is the correlation id of the `approval_request`."""
        self._wait(self._client.approve(request_id, ws_id, approved, feedback, always))

    def plan_feedback(self, request_id: str, ws_id: str = "", feedback: str = "") -> None:
        """Answer the review of a plan; empty feedback accepts it."""
        self._wait(self._client.plan_feedback(request_id, ws_id, feedback))

    def subscribe(self, callback: OnEvent, ws_id: str = "") -> None:
        """Call `callback`, in a thread of the client's, with what happens in a workstream, or
        beside all of them, until `unsubscribe`. If it raises, that is logged the first time, and
        it is called again."""
        self._start_caller()
        put, mistakes = self._callbacks.put, Mistakes()
        self._wait(
            self._client.subscribe(
                lambda event: put(lambda: _call(callback, event, mistakes)), ws_id
            )
        )

    def unsubscribe(self, ws_id: str = "") -> None:
        self._wait(self._client.unsubscribe(ws_id))

    def close(self) -> None:
        """Let go of everything. Idempotent; who waits in another thread is told."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._caller is not None:
            self._callbacks.put(None)
            if self._caller is not threading.current_thread():
                self._caller.join()

    def _iterated(
        self, events: AsyncGenerator[OutboundEvent, None], asked: Asked
    ) -> Iterator[OutboundEvent]:
        happened: queue.SimpleQueue[OutboundEvent | None] = queue.SimpleQueue()
        mistakes = Mistakes()
        waiting = self._start(_fill(events, happened))
        waiting.add_done_callback(lambda _: happened.put(None))
        try:
            while (event := happened.get()) is not None:
                yield event
                self._answer(asked, event, mistakes)
            waiting.result()
        finally:
            waiting.cancel()

    def _answer(self, asked: Asked, event: OutboundEvent, mistakes: Mistakes) -> None:
        """Answer a question as a callback says, which is called in this thread."""
        if not asked.wants(event):
            return
        answer = refusal_of(event)
        with mistakes.logged(event):
            answer = answer_to(event, asked.of(event))  # type: ignore[arg-type]  # it says if it is to be awaited
        with contextlib.suppress(UnknownRequest):  # somebody else was faster
            if isinstance(answer, PlanFeedbackMessage):
                self.plan_feedback(answer.request_id, answer.ws_id, answer.feedback)
            elif answer is not None:
                self.approve(answer.request_id, answer.ws_id, answer.approved, answer.feedback)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        waiting = self._start(work)
        try:
            return waiting.result()
        finally:
            waiting.cancel()

    def _start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        if self._closed:
            work.close()
            raise RuntimeError("This TurnstoneClient is closed.")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _leave(self) -> None:
        await self._client.aclose()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()

    def _start_caller(self) -> None:
        with self._closing:
            if self._caller is None:
                self._caller = threading.Thread(
                    target=self._run_callbacks, name="turnstone-callbacks", daemon=True
                )
                self._caller.start()

    def _run_callbacks(self) -> None:
        while (call := self._callbacks.get()) is not None:
            call()


async def _fill(
    events: AsyncGenerator[OutboundEvent, None],
    happened: queue.SimpleQueue[OutboundEvent | None],
) -> None:
    async with contextlib.aclosing(events):
        async for event in events:
            happened.put(event)


def _call(on_event: OnEvent | None, event: OutboundEvent, mistakes: Mistakes) -> None:
    if on_event is not None:
        with mistakes.logged(event):
            on_event(event)

"""Events that carry a `future` for a subscriber to resolve, and how long to wait for one.

Once any subscriber has taken the future, it is waited for without limit. When nobody has
within a grace, the question is given up and the asker goes on by policy; the future is left
as it is, so that a late answer does no harm. `answer` may be called from any thread; all else
belongs to the loop's. No question is asked or judged here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import uuid
from collections.abc import Awaitable, Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any, NoReturn, TypeAlias

from oturn.answers import selection, verdict
from oturn.cancelling import being_cancelled
from oturn.events import UnansweredEvent, ev_unanswered

Publish: TypeAlias = Callable[[Any], Awaitable[None]]

AnswerCallback: TypeAlias = Callable[[dict[str, Any]], Any]
"""Answers a question, given its event without the future; a coroutine function, or a plain one
that does not block. What it raises is a no, and so is what is no answer; both are logged."""

QUESTIONS = frozenset({"tool_call", "approval_request", "choice_request"})

#: Seconds that a future which somebody took may stay open before a warning is logged.
REMINDER = 30.0

_log = logging.getLogger(__name__)


class QuestionCancelled(asyncio.CancelledError):
    """A subscriber has cancelled the future of a question, which cancels the whole run."""


class Question(dict[str, Any]):
    """An event dict that notes when its `future` is taken: by `[]`, `get`, `pop`, `popitem`,
    `setdefault`, `values`, `items`, `match`, or copied as a whole (`dict()`, `copy()`,
    `copy.copy()`, `**`, `|`). Printing it is no taking.

    A logger that copies events therefore takes every question, and a turn with nobody else to
    answer then waits without end; let it leave the future out: `{key: event[key] for key in
    event if key != "future"}`. A question that was taken and not answered for `reminder`
    seconds is named in a logged warning.

    `grace` in seconds; None waits without limit from the start. `hidden` keys can be read like
    others but are not listed, printed or copied: what later versions of an event have, for
    programs that compare it with an earlier one.
    """

    def __init__(
        self,
        event: Mapping[str, Any],
        grace: float | None = None,
        *,
        hidden: Mapping[str, Any] | None = None,
        reminder: float = REMINDER,
    ) -> None:
        super().__init__(event)
        self.grace = grace
        self.callback: AnswerCallback | None = None
        self.request_id = str(event.get("id") or new_id("tool"))
        self.open = True
        self.refused = False  # a tool_call that was answered with a no
        self.was_settled = False  # answered or given up, and not cut off before
        self._hidden = {"request_id": self.request_id, **(hidden or {})}
        self._reminder = reminder
        self._future: asyncio.Future[Any] = event["future"]
        self._taken = False
        self._lock = threading.Lock()  # for `open` and `_answered`
        self._answered: tuple[Any] | None = None  # what `answer` took, before the loop knows it
        # An answer that comes after the question was given up may be an exception: it is seen.
        self._future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def settled(self) -> asyncio.Future[Any] | None:
        """The future, done; None when the question was given up. Never raises its exception."""
        try:
            if self.callback is not None:
                if await self._called_back(self.callback):
                    self.was_settled = True
                    return self._outcome()
            elif self.grace is not None and await self._left_alone(self.grace):
                self.was_settled = True
                return None
            await self._answer_or_reminder()
            self.was_settled = True
            return self._outcome()
        finally:
            with self._lock:
                self.open = False

    def answer(self, value: Any) -> bool:
        """Resolve the future, from any thread; False when it is too late. Raises ValueError for
        what is no answer to this question.

        An approval and a `tool_call` take a bool, or a dict with `approved`; a choice takes one
        of its choices, a dict with `selected` and `confirmed`, or None.
        """
        if self._too_late():
            return False
        kind = self._peek("type")
        if kind == "choice_request":
            value = selection(value, self._peek("choices"))
        else:
            yes = verdict(value)
        with self._lock:
            if self._too_late():
                return False
            self._answered = (value,)
            self.refused = kind == "tool_call" and not yes
        return self._tell_the_loop(value)

    def about(self, delta_id: str) -> bool:
        """Whether this is the open question about the tool call streamed under this id."""
        return self.open and self._peek("type") == "tool_call" and self._is_of(delta_id)

    def given_up(self, decision: str) -> UnansweredEvent:
        """The event that tells how policy decided in the place of an answer."""
        asked_id = self._peek("delta_id") or self._peek("id") or self.request_id
        return ev_unanswered(
            request=self._peek("type"),
            id=asked_id,
            tool=self._peek("tool") or "",
            decision=decision,
        )

    def without_future(self) -> dict[str, Any]:
        """A plain dict of the rest of the event. This is no taking."""
        return {key: self._peek(key) for key in self if key != "future"}

    def _peek(self, key: str) -> Any:
        return super().get(key)

    def _is_of(self, delta_id: str) -> bool:
        return bool(self._peek("delta_id") == delta_id)

    def _too_late(self) -> bool:
        return not self.open or self._answered is not None or self._future.done()

    def _tell_the_loop(self, value: Any) -> bool:
        loop = self._future.get_loop()
        if on_loop(loop):
            self._resolve(value)
            return True
        try:
            loop.call_soon_threadsafe(self._resolve, value)
        except RuntimeError:
            return False  # the loop was closed: nobody waits
        return True

    def _resolve(self, value: Any) -> None:
        if not self._future.done():
            self._future.set_result(value)

    def _outcome(self) -> asyncio.Future[Any]:
        """The future; but an answer that was taken before it was set has been first."""
        if self._answered is None:
            return self._future
        first: asyncio.Future[Any] = self._future.get_loop().create_future()
        first.set_result(self._answered[0])
        return first

    async def _called_back(self, callback: AnswerCallback) -> bool:
        """Take the callback's answer, unless another is quicker; whether it was taken. The
        future is left open: a subscriber that sets it later is too late, and no error."""
        asking = asyncio.ensure_future(self._said_by(callback))
        try:
            await asyncio.wait({asking, self._future}, return_when=asyncio.FIRST_COMPLETED)
            with self._lock:
                if self._answered is not None or self._future.done():
                    return False
                self._answered = (asking.result(),)
                return True
        finally:
            asking.cancel()

    async def _said_by(self, callback: AnswerCallback) -> Any:
        event = self.without_future()
        try:
            said = callback(event)
            if inspect.isawaitable(said):
                said = await said
            if event["type"] == "choice_request":
                return selection(None if said is False else said, event.get("choices"))
            return verdict(said)
        except (Exception, asyncio.CancelledError) as problem:
            if isinstance(problem, asyncio.CancelledError) and being_cancelled():
                raise
            _log.exception("the callback for %s fails: taken as a no", event["type"])
            return False

    async def _left_alone(self, grace: float) -> bool:
        """Whether it was given up and closed. Not when an answer is on its way to the loop."""
        await asyncio.wait({self._future}, timeout=grace)
        with self._lock:
            claimed = self._taken or self._future.done() or self._answered is not None
            self.open = claimed
        return not claimed

    async def _answer_or_reminder(self) -> None:
        done, _ = await asyncio.wait({self._future}, timeout=self._reminder)
        if not done:
            _log.warning(
                "%s of %s (%s) has been open for %g seconds: something has taken its future (a "
                "logger that copies events does), and nobody has answered. Set a result on the "
                "future, or call Oturn.answer(%r, True or False, or a choice).",
                self._peek("type"),
                self._peek("tool") or "a tool",
                self.request_id,
                self._reminder,
                self.request_id,
            )
            await asyncio.wait({self._future})

    def __getitem__(self, key: str) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def __missing__(self, key: str) -> Any:
        return self._hidden[key]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._hidden

    def get(self, key: str, default: Any = None, /) -> Any:
        self._note(key)
        return super().get(key, self._hidden.get(key, default))

    def pop(self, key: str, *default: Any) -> Any:
        self._note(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        key, value = super().popitem()
        self._note(key)
        return key, value

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        self._note(key)
        return super().setdefault(key, default)

    def values(self) -> ValuesView[Any]:  # type: ignore[override] # a view, as dict's own is
        self._taken = True
        return dict.values(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override] # a view, as dict's own is
        self._taken = True
        return dict.items(self)

    def copy(self) -> dict[str, Any]:
        self._taken = True
        return super().copy()

    __copy__ = copy

    def __iter__(self) -> Iterator[str]:
        # Defined so that dict(event), {**event} and | copy by way of __getitem__ above.
        return super().__iter__()

    def __repr__(self) -> str:
        # Defined so that pprint does not go through items().
        return super().__repr__()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A question cannot be pickled: leave its 'future' out.")

    def _note(self, key: str) -> None:
        if key == "future":
            self._taken = True


class OpenQuestions:
    """The questions that have been published and not settled, by their ids."""

    def __init__(self) -> None:
        self._questions: dict[str, Question] = {}

    def add(self, question: Question) -> None:
        """Remember an open question; those that were closed are forgotten."""
        still_open = {id_: q for id_, q in self._questions.items() if q.open}
        # A new dict each time: another thread may be reading the one before.
        self._questions = {**still_open, question.request_id: question}

    def answer(self, request_id: str, value: Any) -> bool:
        """Answer one; False when none is open under this id. Raises ValueError as it does."""
        question = self._questions.get(request_id) or self._only_one_about(request_id)
        return question is not None and question.answer(value)

    def _only_one_about(self, delta_id: str) -> Question | None:
        questions = self._questions
        found = [question for question in questions.values() if question.about(delta_id)]
        return found[0] if len(found) == 1 else None


def new_future() -> asyncio.Future[Any]:
    """A future of the running loop."""
    return asyncio.get_running_loop().create_future()


def new_id(prefix: str) -> str:
    """`prefix` and 32 hexadecimal digits."""
    return f"{prefix}_{uuid.uuid4().hex}"


def on_loop(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the caller runs on this loop, now."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False

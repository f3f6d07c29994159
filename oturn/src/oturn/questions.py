"""Events that carry a `future` for a subscriber to resolve, and how long to wait for one.

Once any subscriber has taken the future, it is waited for without limit. When nobody has
within a grace, the question is given up and the asker goes on by policy; the future is left
as it is, so that a late answer does no harm. No question is asked or judged here.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any, NoReturn, TypeAlias

from oturn.events import UnansweredEvent, ev_unanswered

Publish: TypeAlias = Callable[[Any], Awaitable[None]]

AnswerCallback: TypeAlias = Callable[[dict[str, Any]], Awaitable[Any]]
"""Answers a question, given its event without the future; what it raises is a no."""

QUESTIONS = frozenset({"tool_call", "approval_request", "choice_request"})

_log = logging.getLogger(__name__)


class Question(dict[str, Any]):
    """An event dict that notes when its `future` is taken: by `[]`, `get`, `pop`, `popitem`,
    `setdefault`, `values`, `items`, `match`, or copied as a whole (`dict()`, `**`, `|`).
    Printing it is no taking.

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
    ) -> None:
        super().__init__(event)
        self.grace = grace
        self.callback: AnswerCallback | None = None
        self.request_id = str(event.get("id") or new_id("tool"))
        self.open = True
        self.refused = False  # a tool_call that was answered with a no
        self._hidden = {"request_id": self.request_id, **(hidden or {})}
        self._future: asyncio.Future[Any] = event["future"]
        self._taken = asyncio.Event()
        # An answer that comes after the question was given up may be an exception: it is seen.
        self._future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def settled(self) -> asyncio.Future[Any] | None:
        """The future, done; None when the question was given up. Never raises its exception."""
        try:
            if self.callback is not None:
                await self._called_back(self.callback)
            elif self.grace is not None and not await self._claimed(self.grace):
                return None
            await asyncio.wait({self._future})
            return self._future
        finally:
            self.open = False

    def answer(self, value: Any) -> bool:
        """Resolve the future; False when it is too late. Raises ValueError for no such choice.

        A `tool_call` is refused by False, or a dict that is not `approved`; a choice is
        answered by one of the choices, a dict with `selected` and `confirmed`, or None.
        """
        if not self.open or self._future.done():
            return False
        kind = self._peek("type")
        if kind == "choice_request" and not isinstance(value, dict):
            value = self._selected(value)
        self.refused = kind == "tool_call" and not approves(value)
        self._future.set_result(value)
        return True

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
        return {key: self._peek(key) for key in self if key != "future"}

    def _peek(self, key: str) -> Any:
        return super().get(key)

    def _is_of(self, delta_id: str) -> bool:
        return bool(self._peek("delta_id") == delta_id)

    def _selected(self, value: Any) -> dict[str, Any]:
        choices = self._peek("choices")
        if value is None:
            return {"selected": None, "confirmed": False}
        if value not in choices:
            raise ValueError(f"{value!r} is no choice here: give one of {choices!r}, or None.")
        return {"selected": value, "confirmed": True}

    async def _called_back(self, callback: AnswerCallback) -> None:
        """Resolve the future by the callback, unless a subscriber is quicker."""
        asking = asyncio.ensure_future(_said_by(callback, self.without_future()))
        try:
            await asyncio.wait({asking, self._future}, return_when=asyncio.FIRST_COMPLETED)
            if not self._future.done():
                self._future.set_result(False if asking.cancelled() else asking.result())
        finally:
            asking.cancel()

    async def _claimed(self, grace: float) -> bool:
        taken = asyncio.ensure_future(self._taken.wait())
        try:
            await asyncio.wait(
                {taken, self._future}, timeout=grace, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            taken.cancel()
        return self._taken.is_set() or self._future.done()

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
        self._taken.set()
        return dict.values(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override] # a view, as dict's own is
        self._taken.set()
        return dict.items(self)

    def copy(self) -> dict[str, Any]:
        self._taken.set()
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
            self._taken.set()


class OpenQuestions:
    """The questions that have been published and not settled, by their ids."""

    def __init__(self) -> None:
        self._questions: dict[str, Question] = {}

    def add(self, question: Question) -> None:
        self._questions = {id_: q for id_, q in self._questions.items() if q.open}
        self._questions[question.request_id] = question

    def answer(self, request_id: str, value: Any) -> bool:
        """Answer one; False when none is open under this id. Raises ValueError as it does."""
        question = self._questions.get(request_id) or self._only_one_about(request_id)
        return question is not None and question.answer(value)

    def _only_one_about(self, delta_id: str) -> Question | None:
        found = [question for question in self._questions.values() if question.about(delta_id)]
        return found[0] if len(found) == 1 else None


def approves(value: Any) -> bool:
    """Whether an answer lets a tool call go on: all do but False, and a dict that says no."""
    if isinstance(value, dict):
        return bool(value.get("approved"))
    return value is not False


def new_future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def new_id(prefix: str) -> str:
    """`prefix` and 32 hexadecimal digits."""
    return f"{prefix}_{uuid.uuid4().hex}"


async def _said_by(callback: AnswerCallback, event: dict[str, Any]) -> Any:
    try:
        return await callback(event)
    except Exception:
        _log.exception("the callback for %s fails: taken as a no", event["type"])
        return False

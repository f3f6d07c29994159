"""What the request of the next step costs after a short and after a long conversation."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle

from sessions import conversation

from oturn.history import ApiMessages, to_api_messages
from support.measure import fastest_of, machine, table, times, us

COUNTS = (100, 1_000, 10_000)
STEPS = 5
ROUNDS = 5


class Conversation:
    """A history that grows by the two records of a step before each request."""

    def __init__(self, length: int) -> None:
        self._records: list[object] = list(conversation(length))
        self._more = cycle(conversation(4)[1:3])
        self._followed = ApiMessages()
        self._followed.of(self._records)

    def steps(self) -> None:
        """As `Oturn` makes its requests."""
        for _ in range(STEPS):
            self._grow()
            self._followed.of(self._records)

    def anew(self) -> None:
        """The whole history converted for each request."""
        for _ in range(STEPS):
            self._grow()
            to_api_messages(self._records)

    def written(self) -> None:
        """The body as JSON, which every client has to send whole."""
        sent = self._followed.of(self._records)
        for _ in range(STEPS):
            json.dumps(sent)

    def _grow(self) -> None:
        for message, _ in zip(self._more, range(2), strict=False):
            self._records.append(message)


def main() -> None:
    machine()
    rows = []
    first: dict[str, float] = {}
    for length in COUNTS:
        contenders: dict[str, Callable[[], object]] = {
            "messages of the next request": Conversation(length).steps,
            "the whole history converted": Conversation(length).anew,
            "the messages written as JSON": Conversation(length).written,
        }
        for name, cost in fastest_of(contenders, ROUNDS).items():
            each = cost.cpu / STEPS
            first.setdefault(name, each)
            rows.append((f"{length:,}", name, us(each), times(each / first[name])))
    head = ("records", "", "CPU a step", f"beside {COUNTS[0]:,}")
    table("The request of the next step", head, rows)


if __name__ == "__main__":
    main()

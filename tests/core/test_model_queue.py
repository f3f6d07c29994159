"""The line before an endpoint is fair, and its back-off lets nobody ask too early."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from oturn.errors import ModelError
from turnstone.core.model_queue import BackOff, Line, Ticket

holders = st.sampled_from("abcd")


def busy(retry_after: float | None = None) -> ModelError:
    return ModelError("rate_limited", "slow down", 429, retry_after)


def drained(line: Line) -> list[Ticket]:
    return [line.take() for _ in range(len(line))]


def test_holders_take_turns_and_each_is_served_in_order() -> None:
    line = Line()
    for holder in "aaabbc":
        line.join(holder)
    taken = drained(line)
    assert "".join(t.holder for t in taken) == "abcaba"
    assert [t.number for t in taken if t.holder == "a"] == [1, 2, 3]


@given(st.lists(holders))
def test_nobody_is_served_twice_while_another_waits(asked: list[str]) -> None:
    line = Line()
    for holder in asked:
        line.join(holder)
    served, left = Counter[str](), Counter(asked)
    for ticket in drained(line):
        served[ticket.holder] += 1
        left[ticket.holder] -= 1
        waiting = [holder for holder in left if left[holder]]
        assert all(served[ticket.holder] - served[holder] <= 1 for holder in waiting)
    assert served == Counter(asked)


@given(st.lists(st.tuples(holders, st.booleans())))
def test_who_leaves_the_line_leaves_nothing_behind(asked: list[tuple[str, bool]]) -> None:
    line = Line()
    tickets = [(line.join(holder), leaves) for holder, leaves in asked]
    for ticket, leaves in tickets:
        if leaves:
            line.leave(ticket)
    stay = [ticket for ticket, leaves in tickets if not leaves]
    assert len(line) == len(stay)
    assert set(map(id, drained(line))) == set(map(id, stay))
    assert line == Line(_numbers=len(asked))


def test_a_refused_request_goes_before_all_that_were_never_sent_in_the_old_order() -> None:
    line = Line()
    first, second = line.join("a"), line.join("b")
    assert [line.take(), line.take()] == [first, second]
    third = line.join("a")
    line.back(second)
    line.back(first)
    assert drained(line) == [first, second, third]


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=1), st.floats(0, 1))
def test_nobody_asks_before_the_longest_time_that_was_told(
    told: list[float | None], chance: float
) -> None:
    back_off = BackOff()
    for number, seconds in enumerate(told):
        back_off.refused(busy(seconds), sent=0.0, now=number * 0.001, chance=chance)
    ends = [number * 0.001 + seconds for number, seconds in enumerate(told) if seconds is not None]
    if ends:
        assert not back_off.admits(0, max(ends) - 0.0001) or max(ends) <= 0.0001
    assert back_off.admits(0, back_off.until)
    assert not back_off.admits(1, back_off.until)


def test_requests_that_were_refused_together_are_one_refusal() -> None:
    together, alone = BackOff(), BackOff()
    for _ in range(20):
        together.refused(busy(), sent=0.0, now=1.0, chance=0.0)
    alone.refused(busy(), sent=0.0, now=1.0, chance=0.0)
    assert together.until == alone.until == 2.0


def test_without_a_time_waits_grow_and_a_time_that_did_not_help_is_not_believed_for_ever() -> None:
    for told in (None, 0.0):
        back_off, waits, now = BackOff(), [], 10.0
        for _ in range(8):
            back_off.refused(busy(told), sent=now, now=now + 0.5, chance=0.0)
            waits.append(back_off.until - now - 0.5)
            now = back_off.until
        assert waits == sorted(waits)
        assert waits[-1] == 30.0


def test_after_a_refusal_twice_as_many_ask_in_each_round() -> None:
    back_off = BackOff()
    back_off.refused(busy(1.0), sent=0.0, now=0.0, chance=0.0)
    rounds, now = [], back_off.until
    for _ in range(5):
        asking = 0
        while back_off.admits(asking, now) and asking < 100:
            asking += 1
        rounds.append(asking)
        now += 1.0
        for _ in range(asking):
            back_off.answered(sent=now)
    assert rounds == [1, 2, 4, 8, 16]


def test_an_answer_to_what_was_sent_before_the_refusal_opens_nothing() -> None:
    back_off = BackOff()
    back_off.refused(busy(1.0), sent=0.5, now=1.0, chance=0.0)
    back_off.answered(sent=0.5)
    assert not back_off.admits(1, 10.0)

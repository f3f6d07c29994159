"""The live log: one order for all readers, and none of them can harm another."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.core.events import (
    Content,
    ConversationSet,
    Event,
    EventId,
    History,
    HistoryMessage,
    Info,
    MessageAccepted,
    Reasoning,
    StepFinished,
    StepStarted,
    ToolFinished,
    ToolOutput,
)
from turnstone.core.livelog import MAX_BYTES, MAX_STREAMED, Lagged, LiveLog


def stamp(event: Event, event_id: EventId) -> Event:
    return msgspec.structs.replace(event, id=str(event_id))


def a_log(capacity: int = 100, seq: int = 0) -> LiveLog:
    return LiveLog(EventId(seq), stamp, capacity=capacity, gather=0.0)


def record(seq: int, event: Event | None = None) -> Event:
    return stamp(event or StepStarted(), EventId(seq))


async def take(log: LiveLog, after: EventId, count: int) -> list[Event]:
    taken: list[Event] = []
    if not count:
        return taken
    async with asyncio.timeout(5):
        async for event in log.read(after):
            taken.append(event)
            if len(taken) == count:
                break
    return taken


async def test_ids_count_live_events_behind_the_last_record() -> None:
    log = a_log(seq=7)
    log.publish(Info(message="a"))
    log.record(record(8))
    log.publish(Info(message="b"))
    log.publish(Info(message="c"))

    assert [e.id for e in await take(log, EventId(7), 4)] == ["7-1", "8-0", "8-1", "8-2"]


async def test_pieces_of_one_stream_become_one_event_and_keep_their_order() -> None:
    log = a_log()
    for piece in ("Hel", "lo"):
        log.piece(Content(text=piece))
    log.piece(Reasoning(text="hm"))
    log.piece(ToolOutput(call_id="1", text="x"))
    log.piece(ToolOutput(call_id="2", text="y"))
    log.record(record(1))

    events = await take(log, EventId(0), 5)

    assert [getattr(e, "text", e.type) for e in events] == [
        "Hello",
        "hm",
        "x",
        "y",
        "step_started",
    ]


async def test_gathered_pieces_come_out_by_themselves() -> None:
    log = a_log()
    log.piece(Content(text="now"))

    [event] = await take(log, EventId(0), 1)

    assert isinstance(event, Content)


async def test_readers_take_nothing_from_each_other_and_a_late_one_goes_on_where_it_left() -> None:
    log = a_log()
    early = asyncio.create_task(take(log, EventId(0), 6))
    for n in range(1, 7):
        log.record(record(n))
        await asyncio.sleep(0)

    late = await take(log, EventId(3), 3)

    assert [e.id for e in await early] == [f"{n}-0" for n in range(1, 7)]
    assert [e.id for e in late] == ["4-0", "5-0", "6-0"]


async def test_a_reader_that_falls_behind_the_ring_is_told_and_the_ring_stays_bounded() -> None:
    log = a_log(capacity=10)
    reader = log.read(EventId(0))
    log.record(record(1))
    assert (await anext(reader)).id == "1-0"
    for n in range(2, 50):
        log.record(record(n))

    with pytest.raises(Lagged):
        await anext(reader)
    assert len(await take(log, EventId(39), 10)) == 10
    with pytest.raises(Lagged):
        await anext(log.read(EventId(38)))


async def test_an_id_from_the_future_is_not_covered() -> None:
    log = a_log(seq=3)

    assert log.covers(EventId(3))
    assert not log.covers(EventId(3, 1))
    assert not log.covers(EventId(2))


async def test_a_cursor_from_before_a_restart_goes_on_once_a_record_is_written() -> None:
    """The reader saw pieces that died with the old process; the record voids them."""
    log = a_log(seq=12)
    log.record(record(13))

    assert [e.id for e in await take(log, EventId(12, 7), 1)] == ["13-0"]


async def test_what_a_step_has_streamed_is_known_until_the_step_ends() -> None:
    log = a_log()
    log.record(record(1))
    log.piece(Reasoning(text="think"))
    log.piece(Content(text="ab"))
    log.flush()
    log.piece(Content(text="cd"))

    assert [getattr(e, "text", "") for e in log.streamed()] == ["think", "abcd"]
    log.record(record(2, StepFinished(text="abcd")))
    assert log.streamed() == []


async def test_of_a_long_stream_the_end_is_known_and_that_there_was_more() -> None:
    log = a_log()
    log.record(record(1))
    size = MAX_STREAMED // 4
    for number in range(10):
        log.publish(Content(text=str(number) * size))
        log.publish(ToolOutput(call_id="a", text=str(number) * size))
        assert log.cut == (number > 3)

    shown = "".join(str(number) * size for number in (6, 7, 8, 9))
    for [event] in (log.streamed(), log.printed("a")):
        assert getattr(event, "text", "") == shown
    log.record(record(2, StepFinished(text="all of it")))
    still = log.cut  # the call prints on
    log.record(record(3, ToolFinished(call_id="a")))
    assert [still, log.cut] == [True, False]
    assert log.streamed() == log.printed("a") == []


@given(st.lists(st.sampled_from(["record", "live", "piece"]), min_size=1, max_size=60), st.data())
def test_every_cursor_gives_exactly_the_events_behind_it(
    makes: list[str], data: st.DataObject
) -> None:
    async def run() -> None:
        log = a_log()
        seq = 0
        for make in makes:
            if make == "record":
                seq += 1
                log.record(record(seq))
            elif make == "live":
                log.publish(Info(message="i"))
            else:
                log.piece(Content(text="t"))
                log.flush()
        everything = await take(log, EventId(0), len(makes))
        ids = [EventId.parse(e.id) for e in everything]
        assert ids == sorted(set(ids))
        cut = data.draw(st.integers(0, len(makes) - 1))
        assert await take(log, ids[cut], len(makes) - cut - 1) == everything[cut + 1 :]

    asyncio.run(run())


async def test_a_few_huge_events_do_not_stay_in_memory_either() -> None:
    log = a_log(capacity=100)
    huge = "x" * (MAX_BYTES // 4)
    for _ in range(20):
        log.publish(Info(message="a small one"))
        log.piece(ToolOutput(call_id="1", text=huge))
        log.flush()

    kept = [e for e in log._ring if isinstance(e, ToolOutput)]
    assert len(kept) <= 4
    assert not log.covers(EventId(0))
    assert len(await take(log, log._floor, 1)) == 1


@pytest.mark.parametrize(
    "event",
    [
        History(messages=[HistoryMessage(role="user", content="x" * (MAX_BYTES // 4))]),
        ConversationSet(messages=[{"role": "user", "content": "x" * (MAX_BYTES // 4)}]),
        MessageAccepted(message="x" * (MAX_BYTES // 4)),
    ],
)
async def test_nor_do_huge_events_of_any_other_kind(event: Event) -> None:
    log = a_log(capacity=100)
    for _ in range(20):
        log.publish(event)

    assert len(log._ring) <= 4
    assert not log.covers(EventId(0))


makes = st.sampled_from(["record", "live", "piece", "flush", "leave", "return"])


@given(st.lists(makes, max_size=80), st.integers(3, 40))
def test_a_reader_that_leaves_and_returns_gets_what_one_that_stayed_got(
    steps: list[str], capacity: int
) -> None:
    """Each id once and in order; what was missed is told, and nothing is missed untold."""

    async def run() -> None:
        log = a_log(capacity=capacity)
        stayed: list[Event] = []
        seen: list[Event] = []
        snapshots = [EventId(0)]  # places up to which a snapshot told everything
        seq, place, here = 0, EventId(0), True
        for step in [*steps, "flush", "return"]:
            match step:
                case "record":
                    seq += 1
                    log.record(record(seq))
                case "live":
                    log.publish(Info(message="i"))
                case "piece":
                    log.piece(Content(text="t"))
                case "flush":
                    log.flush()
                case _:
                    here = step == "return"
            stayed += await up_to_now(log, id_of(stayed[-1]) if stayed else EventId(0))
            if here:
                if log.covers(place):
                    seen += await up_to_now(log, place)
                else:
                    snapshots.append(log.last)
                place = log.last

        ids = [id_of(e) for e in stayed]
        assert ids == sorted(set(ids))
        assert [e for e in stayed if e in seen] == seen
        missed = [e for e in stayed if e not in seen]
        assert all(id_of(e) <= snapshots[-1] for e in missed)
        assert len(missed) >= capacity * (len(snapshots) - 1)  # a snapshot only where one must

    asyncio.run(run())


async def up_to_now(log: LiveLog, after: EventId) -> list[Event]:
    """Everything behind `after` that is there already."""
    taken: list[Event] = []
    if after < log.last:
        async for event in log.read(after):
            taken.append(event)
            if id_of(event) == log.last:
                break
    return taken


def id_of(event: Event) -> EventId:
    return EventId.parse(event.id)


async def test_ids_go_on_behind_those_that_an_earlier_process_gave_out() -> None:
    log = a_log(seq=41)

    assert log.meet(EventId(41, 1))
    log.publish(Info(message="new"))

    assert [e.id for e in await take(log, EventId(41, 1), 1)] == ["41-2"]
    assert [e.id for e in await take(log, EventId(41), 1)] == ["41-2"]


async def test_a_reader_that_has_seen_more_than_was_told_here_gets_a_later_place() -> None:
    log = a_log(seq=41)
    log.publish(Info(message="told here"))

    assert not log.meet(EventId(41, 3))

    assert log.last == EventId(41, 3)
    log.publish(Info(message="next"))
    assert [e.id for e in await take(log, EventId(41, 1), 1)] == ["41-4"]


async def test_a_reader_ahead_of_all_records_is_not_followed() -> None:
    log = a_log(seq=41)

    assert not log.meet(EventId(42))
    assert not log.meet(EventId(42, 7))
    assert not log.meet(EventId(41, 10**30))

    assert log.last == EventId(41)


async def test_a_new_record_begins_a_count_of_its_own() -> None:
    log = a_log(seq=41)
    log.publish(Info(message="told here"))
    log.record(record(42))

    assert log.meet(EventId(42, 5))
    assert log.last == EventId(42, 5)


@given(
    start=st.integers(0, 3),
    steps=st.lists(
        st.one_of(
            st.just("live"), st.just("record"), st.integers(0, 6).map(lambda n: EventId(0, n))
        )
    ),
)
async def test_ids_never_go_back_for_any_reader(start: int, steps: list[str | EventId]) -> None:
    log = a_log(seq=start)
    seen = [EventId(start)]  # what each reader has seen last, and goes on from
    for step in steps:
        before = log.last
        if step == "live":
            log.publish(Info(message="live"))
        elif step == "record":
            log.record(record(log.last.seq + 1))
        elif isinstance(step, EventId):
            after = EventId(log.last.seq, step.n)
            if not log.meet(after):
                after = log.last
            seen.append(after)
        assert log.last >= before
    assert all(place <= log.last for place in seen)
    end = log.last
    log.publish(Info(message="end"))
    for place in seen:
        if not log.covers(place):
            continue
        *_, last = await take(log, place, len([e for e in await all_of(log) if e > place]))
        assert EventId.parse(last.id) > end


async def all_of(log: LiveLog) -> list[EventId]:
    """The ids of what the log holds."""
    first = EventId(0)
    while not log.covers(first):
        first = EventId(first.seq + 1)
    found: list[EventId] = []
    reading = log.read(first)
    while not found or found[-1] < log.last:
        found.append(EventId.parse((await anext(reading)).id))
    return found

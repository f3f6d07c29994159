"""When a timer is due: cron lines, time zones, clocks that are set, and runs that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstone.core import timers as module
from turnstone.core.errors import InvalidRequest
from turnstone.core.timers import (
    LATE,
    MOST_MISSED,
    NewTimer,
    Timer,
    altered,
    fire,
    first_after,
    passed_times,
    run_id,
    set_up,
)

#: Clocks set by an hour, by half of one, at midnight, in the south, often, and never.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "UTC",
)
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
YEARS = 3 * 366 * 86_400

PLACES = st.sampled_from(ZONES)
MOMENTS = st.floats(START, START + YEARS).map(lambda at: round(at, 3))
#: Moments around the days on which clocks are set somewhere.
CHANGES = st.builds(
    lambda day, seconds: day.timestamp() + seconds,
    st.sampled_from(
        [datetime(2026, *day, tzinfo=UTC) for day in ((3, 8), (3, 29), (4, 4), (4, 24), (10, 25))]
        + [datetime(2026, *day, tzinfo=UTC) for day in ((9, 6), (10, 3), (10, 29), (11, 1))]
    ),
    st.integers(-86_400, 2 * 86_400),
)
LINES = st.builds(
    lambda *fields: " ".join(fields),
    st.sampled_from(("*", "0", "30", "*/7", "5,35", "10-20")),
    st.sampled_from(("*", "0", "1", "2", "2,3", "*/6", "0-3", "23")),
    st.sampled_from(("*", "1", "L", "13", "*/2", "28-31")),
    st.sampled_from(("*", "3", "OCT", "1-12/3")),
    st.sampled_from(("*", "0", "SUN", "1-5", "MON#2", "7", "5L")),
)


def times(line: str, zone: str, after: float, count: int) -> list[float]:
    return list(islice(module._times(line, zone, after), count))


def timer(**fields: object) -> Timer:
    wanted = msgspec.convert({"timer_id": "t", "message": "hello"} | fields, NewTimer)
    return set_up(wanted, START)


@given(PLACES, st.integers(0, 23), st.integers(0, 59), st.one_of(MOMENTS, CHANGES))
def test_a_time_of_day_comes_once_a_day_wherever_clocks_are_set(
    zone: str, hour: int, minute: int, after: float
) -> None:
    place = ZoneInfo(zone)
    found = [
        datetime.fromtimestamp(at, UTC).astimezone(place)
        for at in times(f"{minute} {hour} * * *", zone, after, 40)
    ]
    for before, here in pairwise(found):
        assert here.date() - before.date() == timedelta(days=1)
    for here in found:
        if (here.hour, here.minute) != (hour, minute):
            # The time was left out; a moment ago, it had not come yet.
            asked = here.replace(hour=hour, minute=minute, fold=0)
            earlier = (here.astimezone(UTC) - timedelta(minutes=1)).astimezone(place)
            assert earlier.replace(tzinfo=None) < asked.replace(tzinfo=None)
            assert asked.replace(tzinfo=None) < here.replace(tzinfo=None)
            assert earlier.utcoffset() != here.utcoffset()
        else:
            assert here.fold == 0


@given(PLACES, st.sampled_from((1, 5, 15, 30)), st.one_of(MOMENTS, CHANGES))
def test_a_line_of_minutes_goes_on_through_every_change_of_clocks(
    zone: str, step: int, after: float
) -> None:
    found = times(f"*/{step} * * * *", zone, after, 200)
    assert 0 < found[0] - after <= step * 60
    assert {b - a for a, b in pairwise(found)} == {step * 60.0}


@given(LINES, PLACES, st.one_of(MOMENTS, CHANGES), st.floats(0, 3 * 86_400))
@settings(deadline=None)
def test_the_times_of_a_line_are_the_same_from_wherever_one_looks(
    line: str, zone: str, after: float, skip: float
) -> None:
    try:
        found = times(line, zone, after, 60)
    except InvalidRequest:
        return
    assert found == sorted(set(found))
    assert all(at > after for at in found)
    later = after + skip
    assert [at for at in found if at > later] == times(line, zone, later, 60)[
        : sum(at > later for at in found)
    ]


@pytest.mark.parametrize(
    ("line", "zone", "after", "expected"),
    [
        # Berlin, 2026-03-29: 02:00 becomes 03:00; 2026-10-25: 03:00 becomes 02:00.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00+01:00", "2026-03-29T03:00+02:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00+02:00", "2026-10-25T02:30+02:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T02:10+01:00", "2026-10-26T02:30+01:00"),
        ("30 * * * *", "Europe/Berlin", "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"),
        ("0 9 * * 1-5", "America/New_York", "2026-11-20T15:00+00:00", "2026-11-23T14:00+00:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00+00:00", "2028-02-29T00:00+00:00"),
        ("0 12 L * *", "UTC", "2026-02-01T00:00+00:00", "2026-02-28T12:00+00:00"),
    ],
)
def test_a_line_names_its_next_time(line: str, zone: str, after: str, expected: str) -> None:
    found = first_after(line, zone, datetime.fromisoformat(after).timestamp())
    assert found == datetime.fromisoformat(expected).timestamp()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"every": "61 * * * *"}, "every: the minute of '61 * * * *' is wrong: '61'."),
        ({"every": "* 24 * * *"}, "every: the hour of"),
        ({"every": "* * 32 * *"}, "every: the day of the month of"),
        ({"every": "* * * foo *"}, "every: the month of '* * * foo *' is wrong: 'foo'."),
        ({"every": "* * * * MOO"}, "every: the day of the week of"),
        ({"every": "* * * *"}, "has 4 of the five fields"),
        ({"every": "0 * * * * *"}, "has 6 of the five fields"),
        ({"every": "0 0 30 2 *"}, "a day that its months do not have"),
        ({"every": "0 0 29 2 MON#5", "until": 1.77e9}, "until: the first run would be at"),
        ({"every": "* * * * *", "timezone": "Mars/Base"}, "timezone: 'Mars/Base' is not known"),
        ({"every": "* * * * *", "timezone": "../etc"}, "timezone: '../etc' is not known"),
        ({"every": "* * * * *", "timezone": ""}, "timezone: '' is not known"),
        ({"every": "* * * * *", "until": 5.0}, "until: the first run would be at"),
        ({"not_before": 5.0, "until": 5.0}, "until: it is for timers with every"),
        ({"not_before": 1.8e12}, "not_before: 1800000000000.0 is not a time before the year 2200"),
        ({}, "not_before: a timer needs this"),
        ({"not_before": 5.0, "message": " "}, "message: a timer needs a text"),
        ({"not_before": 5.0, "timer_id": "a b"}, "timer_id: 'a b' is not"),
        ({"not_before": 5.0, "timer_id": ""}, "timer_id: '' is not"),
    ],
)
def test_what_is_wrong_with_a_timer_is_said_with_its_field(
    fields: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        timer(**fields)
    assert said in str(refused.value)


def test_an_unknown_policy_is_refused() -> None:
    wanted = NewTimer(timer_id="t", message="m", not_before=5.0, missed="never")  # type: ignore[arg-type]  # what anybody may send
    with pytest.raises(InvalidRequest, match="missed: 'never' is none of skip, once, all"):
        set_up(wanted, START)


@given(st.text("0123456789*/-,#L W?MONJANfeb", max_size=30), PLACES)
def test_no_line_raises_anything_but_a_sentence(line: str, zone: str) -> None:
    try:
        first_after(line, zone, START)
    except InvalidRequest as refused:
        assert refused.message.startswith("every: ")


@given(st.text(max_size=20), st.floats(allow_nan=True))
def test_no_zone_and_no_time_raises_anything_but_a_sentence(zone: str, at: float) -> None:
    try:
        timer(every="0 0 * * *", timezone=zone)
    except InvalidRequest as refused:
        assert refused.message.startswith("timezone: ")
    try:
        found = timer(not_before=at)
    except InvalidRequest as refused:
        assert refused.message.startswith("not_before: ")
    else:
        assert found.due > 0


def test_a_time_in_the_past_is_due_at_once_and_runs_once() -> None:
    made = timer(not_before=START - 1e6, missed="skip")
    assert made.due == START - 1e6
    runs, after = fire(made, START + 1)
    assert runs == [START - 1e6]
    assert (after.state, after.due, after.runs, after.last) == (
        "ended",
        0.0,
        1,
        f"t:{START - 1e6:.0f}",
    )


def test_a_timer_of_its_own_time_that_was_missed_is_skipped_only_if_it_says_so() -> None:
    at = START + 3_600
    for missed, made in (("once", [at]), ("all", [at]), ("skip", [])):
        runs, after = fire(timer(not_before=at, missed=missed), at + LATE + 1)
        assert (runs, after.state) == (made, "ended")
    assert fire(timer(not_before=at, missed="skip"), at + LATE)[0] == [at]


def test_what_becomes_of_missed_runs_is_for_the_policy_to_say() -> None:
    late = START + 5 * 3_600 + 1_800
    hours = [START + n * 3_600 for n in range(1, 6)]
    expected = {"skip": [], "once": hours[-1:], "all": hours}
    for missed, runs in expected.items():
        made, after = fire(timer(every="0 * * * *", missed=missed), late)
        assert made == runs
        assert after.due == START + 6 * 3_600
        assert after.revision == 2
    # One that is not late is none that was missed.
    assert fire(timer(every="0 * * * *", missed="skip"), hours[-1] + 5)[0] == hours[-1:]


def test_a_year_of_missed_minutes_is_bounded_and_quick() -> None:
    made, after = fire(timer(every="* * * * *", missed="all"), START + 366 * 86_400)
    assert len(made) == MOST_MISSED
    assert made[-1] == START + 366 * 86_400
    assert after.due == made[-1] + 60
    assert passed_times("* * * * *", "UTC", START, START + 366 * 86_400) == made


def test_a_rare_line_finds_what_was_missed_long_ago() -> None:
    assert fire(timer(every="0 0 1 2 *", missed="once"), START + 300 * 86_400)[0] == [
        datetime(2026, 2, 1, tzinfo=UTC).timestamp()
    ]


@given(
    LINES,
    PLACES,
    st.lists(st.floats(0, 90_000), min_size=1, max_size=8),
    st.sampled_from(("skip", "once", "all")),
)
@settings(deadline=None)
def test_however_it_is_looked_at_no_time_is_run_twice_and_none_comes_early(
    line: str, zone: str, pauses: list[float], missed: str
) -> None:
    try:
        made = timer(every=line, timezone=zone, missed=missed)
    except InvalidRequest:
        return
    now, ran = START, []
    for pause in pauses:
        now += pause
        if made.state == "active" and made.due <= now:
            runs, made = fire(made, now)
            ran += runs
        assert made.due > now
    assert ran == sorted(set(ran))
    assert all(at <= now for at in ran)
    everything = passed_times(line, zone, START, now)
    if missed == "all" and len(everything) < MOST_MISSED:
        assert ran == [at for at in everything if at > START]


def test_until_is_the_last_time_that_may_come() -> None:
    made = timer(every="0 * * * *", until=START + 7_200, missed="all")
    runs, after = fire(made, START + 3_600)
    assert (runs, after.due, after.state) == ([START + 3_600], START + 7_200, "active")
    runs, after = fire(after, START + 9_000)
    assert (runs, after.due, after.state) == ([START + 7_200], 0.0, "ended")


def test_a_line_with_a_beginning_comes_first_at_or_after_it() -> None:
    at = START + 86_400
    assert timer(every="0 0 * * *", not_before=at).due == at
    assert timer(every="0 0 * * *", not_before=at + 1).due == at + 86_400
    assert timer(every="0 0 * * *", not_before=START - 86_400).due == at


def test_what_passes_while_a_timer_is_paused_is_not_made_up_for() -> None:
    made = timer(every="0 * * * *", missed="all")
    paused = altered(made, "pause", START)
    assert (paused.state, paused.revision) == ("paused", 2)
    assert altered(paused, "pause", START) == paused
    again = altered(paused, "resume", START + 9_000)
    assert (again.state, again.due) == ("active", START + 10_800)
    over = altered(timer(every="0 * * * *", until=START + 3_600), "pause", START)
    assert altered(over, "resume", START + 9_000).state == "ended"


def test_a_time_of_its_own_that_passed_in_a_pause_is_due_at_once() -> None:
    paused = altered(timer(not_before=START + 60, missed="skip"), "pause", START)
    again = altered(paused, "resume", START + 9_000)
    assert fire(again, START + 9_001)[0] == [START + 60]


def test_what_is_over_stays_over() -> None:
    gone = altered(timer(not_before=START), "cancel", START)
    assert (gone.state, gone.due) == ("cancelled", 0.0)
    assert altered(gone, "cancel", START) == gone
    with pytest.raises(InvalidRequest, match="Timer t is over: it was cancelled"):
        altered(gone, "resume", START)


def test_a_run_is_named_after_its_timer_and_its_time() -> None:
    made = timer(not_before=START)
    assert run_id(made, 1_800_000_000.0) == "t:1800000000"
    assert run_id(made, 1_800_000_000.25) == "t:1800000000.25"

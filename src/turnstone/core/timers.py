"""Messages that are sent later, once or again and again: what a timer is, and when it is due.

Decides only: it is told what time it is. Times are Unix seconds. Each run of a timer is an
ordinary message, under a correlation id of the timer and the time for which it was due, so that
whoever sends it, and however often, it is run once. Where timers are kept is for `Timers`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from math import inf
from typing import Literal, Protocol, TypeAlias
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from turnstone.core.errors import InvalidRequest, UnknownTimer

#: What becomes of runs for which nothing was there in time: none of them, one for all, or each.
Missed: TypeAlias = Literal["skip", "once", "all"]
MISSED: tuple[Missed, ...] = ("skip", "once", "all")

TimerState: TypeAlias = Literal["active", "paused", "ended", "cancelled"]
TimerAction: TypeAlias = Literal["pause", "resume", "cancel"]
ACTIONS: tuple[TimerAction, ...] = ("pause", "resume", "cancel")
_BECOMES: dict[TimerAction, TimerState] = {
    "pause": "paused",
    "resume": "active",
    "cancel": "cancelled",
}

#: Seconds after its time at which a run counts as missed: a restart takes less.
LATE = 60.0

#: Runs that are made up for after an outage, at most, with `missed="all"`: the newest.
MOST_MISSED = 100

#: No time beyond this is meant: who sends milliseconds is told.
_LAST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()

#: Seconds before now among which missed runs are looked for first; then four times as many.
_WINDOW = 2 * 3600.0

_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_IN_FIELD = ("0-59", "0-23", "1-31 or L", "1-12 or JAN-DEC", "0-7 or SUN-SAT")

#: What a timer may be called: it is part of correlation ids, and of names in Redis.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


class NewTimer(msgspec.Struct, frozen=True, kw_only=True):
    """A message, and when it is to be sent: at `not_before`, at every time of the cron line
    `every` (from then on, until `until`), or both. 0 or empty: not given."""

    timer_id: str = ""  # empty: the node makes one; the same one twice makes one timer
    message: str = ""
    ws_id: str = ""  # empty: a new workstream for each run
    name: str = ""  # what to call that
    auto_approve: bool = False
    auto_approve_tools: list[str] = []
    target_node: str = ""
    requires: list[str] = []  # labels of the node that runs it
    not_before: float = 0.0
    every: str = ""
    timezone: str = "UTC"  # of `every`
    missed: Missed = "once"
    until: float = 0.0


class Timer(NewTimer, frozen=True, kw_only=True):
    """One as it stands. `due`: its next time; 0: it has none. `last` and `last_due`: its newest
    run. `problem`: why that did not begin, where that is known. `revision` counts its changes."""

    created: float
    since: float  # when it was made, or resumed last
    state: TimerState = "active"
    due: float = 0.0
    runs: int = 0
    last: str = ""
    last_due: float = 0.0
    problem: str = ""
    revision: int = 1

    @property
    def lives(self) -> bool:
        return self.state in {"active", "paused"}


class Due(msgspec.Struct, frozen=True):
    """What is due now, by the clock of whoever keeps the timers: `now`. `next`: the first due
    time after that; 0: there is none. `left_out`: those that were looked at and cannot be read.
    `more`: there may be further ones, behind all these."""

    now: float
    timers: Sequence[Timer]
    next: float = 0.0
    left_out: int = 0
    more: bool = False


class Timers(Protocol):
    """Where timers are kept. What has returned is kept. Nothing here computes a time."""

    async def due(self, skip: int = 0) -> Due:
        """The active ones whose time has come, the earliest first, without the first `skip`;
        some of them, if many."""

    async def timers(self) -> list[Timer]:
        """All that live, by their next time, paused ones last."""

    async def timer(self, timer_id: str) -> Timer | None:
        """This one; also for some time after it has ended."""

    async def swap(self, timer: Timer, runs: Sequence[float] = ()) -> bool:
        """Keep this revision in the place of the one before it (none, for the first), and have
        `runs` sent, all in one step or by messages that are accepted once. False: another
        revision is there, and nothing of this happens."""


def set_up(wanted: NewTimer, now: float) -> Timer:
    """The timer of a request. Raises InvalidRequest with the field and what is wrong with it.

    A `not_before` in the past is due at once; a cron line first at its next time.
    """
    if not _NAME.fullmatch(wanted.timer_id):
        raise InvalidRequest(
            f"timer_id: {wanted.timer_id!r} is not 1 to 128 letters, digits, points, hyphens or"
            " underscores."
        )
    if not wanted.message.strip():
        raise InvalidRequest("message: a timer needs a text to send.")
    if wanted.missed not in MISSED:
        raise InvalidRequest(
            f"missed: {wanted.missed!r} is none of {', '.join(MISSED)}.",
        )
    start, until = (_checked(name, getattr(wanted, name)) for name in ("not_before", "until"))
    if not wanted.every and not start:
        raise InvalidRequest("not_before: a timer needs this, or every, or both.")
    if not wanted.every and until:
        raise InvalidRequest("until: it is for timers with every; this one runs once.")
    zone_of(wanted.timezone)
    due = start
    if wanted.every:
        found = first_after(wanted.every, wanted.timezone, max(now, start - 1))
        if found is None:
            raise InvalidRequest(f"every: {wanted.every!r} names a time that never comes.")
        due = found
    if until and due > until:
        raise InvalidRequest(
            f"until: the first run would be at {in_words(due, wanted.timezone)}, after"
            f" {in_words(until, wanted.timezone)}."
        )
    given = msgspec.structs.asdict(wanted) | {"not_before": start, "until": until}
    return Timer(**given, created=now, since=now, due=due)


def fire(timer: Timer, now: float, began: float = inf) -> tuple[list[float], Timer]:
    """The times for which a timer is to be run now, and the timer after that. `began`: when it
    was its turn, had there been no others: what was not late then is not missed."""
    if timer.every:
        passed = passed_times(timer.every, timer.timezone, timer.due, _ended(timer, now))
        following = first_after(timer.every, timer.timezone, max(now, timer.due)) or 0.0
        if timer.until and following > timer.until:
            following = 0.0
    else:
        passed, following = [timer.due], 0.0
    runs = _kept(timer, passed, min(began, now))
    last = {"last": run_id(timer, runs[-1]), "last_due": runs[-1], "problem": ""} if runs else {}
    after = msgspec.structs.replace(
        timer,
        due=following,
        state="active" if following else "ended",
        runs=timer.runs + len(runs),
        revision=timer.revision + 1,
        **last,
    )
    return runs, after


def altered(timer: Timer, action: TimerAction, now: float) -> Timer:
    """The timer after a person's change; the same one where that changes nothing.

    What is passed while it is paused is not missed, and not made up for; a time of its own that
    is over by then is due at once. Raises InvalidRequest for a timer that has ended.
    """
    if action not in ACTIONS:
        raise InvalidRequest(f"action: {action!r} is none of {', '.join(ACTIONS)}.")
    wanted = _BECOMES[action]
    if timer.state == wanted:
        return timer
    if not timer.lives:
        raise InvalidRequest(f"Timer {timer.timer_id} is over: it was {timer.state}.")
    due = timer.due
    if wanted == "cancelled":
        due = 0.0
    elif wanted == "active" and timer.every and due <= now:
        due = first_after(timer.every, timer.timezone, now) or 0.0
        if timer.until and due > timer.until:
            due = 0.0
        wanted = wanted if due else "ended"
    since = now if wanted == "active" else timer.since
    revision = timer.revision + 1
    return msgspec.structs.replace(timer, state=wanted, due=due, since=since, revision=revision)


def run_id(timer: Timer, due: float) -> str:
    """The correlation id of the run that was due then."""
    return f"{timer.timer_id}:{due:.3f}".rstrip("0").rstrip(".")


def first_after(every: str, timezone: str, after: float) -> float | None:
    """The first time of a cron line behind `after`; None: there is none. Raises InvalidRequest.

    Where clocks are set forward, a time that is left out comes right after the gap; where they
    are set back, a time that comes twice is the first of the two. A line whose minutes or hours
    begin with `*` goes on through both.
    """
    for at in _times(every, timezone, after):
        return at
    return None


def passed_times(every: str, timezone: str, first: float, now: float) -> list[float]:
    """The times of a cron line from `first` up to `now`: the newest, MOST_MISSED at most."""
    window = _WINDOW
    while True:
        start = max(first, now - window)
        found = []
        for at in _times(every, timezone, start - 1):
            if at > now:
                break
            found.append(at)
        if len(found) >= MOST_MISSED or start == first:
            return found[-MOST_MISSED:]
        window *= 4


def zone_of(timezone: str) -> tzinfo:
    """Raises InvalidRequest for a time zone that is not known here."""
    if timezone == "UTC":  # also where there is no database of time zones
        return UTC
    try:
        return ZoneInfo(timezone)
    except (ValueError, OSError, KeyError):
        raise InvalidRequest(
            f"timezone: {timezone!r} is not known here.",
            hint="It is a name like Europe/Berlin or America/New_York; UTC if it is not given.",
        ) from None


def in_words(at: float, timezone: str) -> str:
    """A time for a person, as that time zone has it."""
    local = datetime.fromtimestamp(round(at), UTC).astimezone(zone_of(timezone))
    return f"{local:%Y-%m-%d %H:%M:%S} {timezone}"


def described(timer: Timer) -> str:
    """One line for a person."""
    when = f"every {timer.every!r} ({timer.timezone})" if timer.every else "once"
    follows = f"next at {in_words(timer.due, timer.timezone)}" if timer.due else timer.state
    if timer.state == "paused":
        follows = "paused"
    return f"{timer.timer_id}  {when}, {follows}"


def unknown(timer_id: str) -> UnknownTimer:
    return UnknownTimer(f"There is no timer {timer_id}.", hint="/timers lists those there are.")


def _kept(timer: Timer, passed: list[float], now: float) -> list[float]:
    """Those of the passed times that are run. One that was over when the timer was made, or
    was resumed, is not missed."""
    if timer.missed == "all" or not timer.every:
        late = timer.missed == "skip" and now - max(timer.due, timer.since) > LATE
        return [] if late else passed
    if timer.missed == "skip":
        return [at for at in passed if now - at <= LATE]
    return passed[-1:]


def _ended(timer: Timer, now: float) -> float:
    return min(now, timer.until) if timer.until else now


def _times(every: str, timezone: str, after: float) -> _Times:
    return _Times(
        _line(every, datetime.fromtimestamp(after, UTC).astimezone(zone_of(timezone))), after
    )


class _Times:
    """The times of a line behind a time, each behind the one before."""

    def __init__(self, line: CronSim, after: float) -> None:
        self._line, self._last = line, after

    def __iter__(self) -> _Times:
        return self

    def __next__(self) -> float:
        while True:
            try:
                at = next(self._line).timestamp()
            except OverflowError:
                raise StopIteration from None
            # Started in an hour that comes twice, the line names that of the first again.
            if at > self._last:
                self._last = at
                return at


def _line(every: str, start: datetime) -> CronSim:
    parts = every.split()
    if len(parts) != len(_FIELDS):
        raise InvalidRequest(
            f"every: {every!r} has {len(parts)} of the five fields {', '.join(_FIELDS)}.",
            hint='"0 9 * * 1-5" is nine in the morning from Monday to Friday.',
        )
    try:
        return CronSim(every, start)
    except (CronSimError, ValueError, TypeError, AssertionError):
        raise _wrong(every, parts, start) from None


def _wrong(every: str, parts: list[str], start: datetime) -> InvalidRequest:
    """Which of its fields is wrong: the one that is so with all others open."""
    for place, (name, value, allowed) in enumerate(zip(_FIELDS, parts, _IN_FIELD, strict=True)):
        alone = ["*"] * len(parts)
        alone[place] = value
        try:
            CronSim(" ".join(alone), start)
        except (CronSimError, ValueError, TypeError, AssertionError):
            return InvalidRequest(
                f"every: the {name} of {every!r} is wrong: {value!r}.",
                hint=f"Write {allowed}, lists and ranges of them, or steps as */5.",
            )
    return InvalidRequest(
        f"every: {every!r} names a day that its months do not have.",
        hint="Look at the day of the month, and at the month.",
    )


def _checked(name: str, at: float) -> float:
    """A time in whole milliseconds; one that is before all times is the beginning of them."""
    if at != at or at > _LAST:  # noqa: PLR0124 - it is no number
        raise InvalidRequest(
            f"{name}: {at!r} is not a time before the year 2200.",
            hint="It is in Unix seconds, and not in milliseconds.",
        )
    return round(max(at, 0.001), 3) if at else 0.0

"""`turnstone queue`: what waits in the queue, who works from it, and the dead letters.

What it shows comes from `mq.inspect`, and so does what it changes, which is dead letters alone.
What it needs is imported when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click
import msgspec

from turnstone.cli.plain import plain
from turnstone.cli.tables import cut, date, json_of, span, table
from turnstone.core.config import Settings
from turnstone.core.config.flags import options_for
from turnstone.core.errors import ConfigurationError

if TYPE_CHECKING:
    from turnstone.mq.inspect import Inspector, Letter, QueueView

PROGRAM = "turnstone queue"

Flags = Mapping[str, object]
Load = Callable[[str, Flags], Settings]
Run = Callable[[Coroutine[Any, Any, int]], int]

#: Characters of a reason in a table.
_REASON = 60

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
_YES = click.option("--yes", is_flag=True, help="Do not ask whether this is meant.")


def queue_commands(load: Load, run: Run) -> click.Group:
    """The group. `load` gives the settings of a program, `run` the exit code of what it does."""

    @click.group("queue")
    def queue() -> None:
        """Look into the queue in Redis: what waits, who works, what will not be run."""

    def with_queue(flags: Flags, do: Callable[[Inspector], Coroutine[Any, Any, str]]) -> None:
        async def done() -> int:
            async with _opened(load(PROGRAM, flags)) as inspector:
                click.echo(await do(inspector))
            return 0

        sys.exit(run(done()))

    @queue.command()
    @options_for(PROGRAM)
    @_AS_JSON
    def status(flags: Flags, as_json: bool) -> None:
        """How much waits, how long, and who is there to take it."""
        with_queue(flags, lambda inspector: _status(inspector, as_json=as_json))

    @queue.command("ls")
    @options_for(PROGRAM)
    @_AS_JSON
    def list_(flags: Flags, as_json: bool) -> None:
        """Every list that is not empty: its length, and the age of the message at its head."""
        with_queue(flags, lambda inspector: _lists(inspector, as_json=as_json))

    @queue.command()
    @options_for(PROGRAM)
    @click.option("--limit", type=click.IntRange(1), default=50, help="How many.  [default: 50]")
    @click.option("--before", default="", metavar="ID", help="Those that are older than this one.")
    @_AS_JSON
    def dead(flags: Flags, limit: int, before: str, as_json: bool) -> None:
        """The dead letters, the newest first, with the reason of each."""
        with_queue(flags, lambda inspector: _dead(inspector, limit, before, as_json=as_json))

    @queue.command()
    @options_for(PROGRAM)
    @click.argument("letter")
    @_AS_JSON
    def show(flags: Flags, letter: str, as_json: bool) -> None:
        """One dead letter, with its text."""
        with_queue(flags, lambda inspector: _show(inspector, letter, as_json=as_json))

    @queue.command()
    @options_for(PROGRAM)
    @click.argument("letters", nargs=-1, required=True)
    @click.option(
        "--trust",
        is_flag=True,
        help="Also those that no secret has signed; they permit nothing beforehand then.",
    )
    def replay(flags: Flags, letters: tuple[str, ...], trust: bool) -> None:
        """Send the text of dead letters again, each as a new message with an id of its own."""
        with_queue(flags, lambda inspector: _replay(inspector, letters, trust=trust))

    @queue.command()
    @options_for(PROGRAM)
    @click.argument("letters", nargs=-1, required=True)
    @_YES
    def drop(flags: Flags, letters: tuple[str, ...], yes: bool) -> None:
        """Forget dead letters."""
        _ask_first(f"Forget {len(letters)} dead letter(s) for good?", yes=yes)
        with_queue(flags, lambda inspector: _drop(inspector, letters))

    @queue.command()
    @options_for(PROGRAM)
    @_YES
    def purge(flags: Flags, yes: bool) -> None:
        """Forget all dead letters."""
        _ask_first("Forget all dead letters for good?", yes=yes)
        with_queue(flags, _purge)

    return queue


def _ask_first(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked whether this is meant: say so with --yes.")
    click.confirm(question, abort=True)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Inspector]:
    """Raises QueueUnavailable, and ConfigurationError where there is no queue of this prefix
    and there are others."""
    from turnstone.mq.check import check_prefix
    from turnstone.mq.inspect_redis import RedisInspector
    from turnstone.mq.worker_start import keyring_of, redis_address

    address, prefix = redis_address(settings), settings.redis.prefix
    check_prefix(prefix)
    inspector = RedisInspector(address, prefix, keyring_of(settings))
    try:
        if others := await inspector.others():
            raise ConfigurationError(
                f"Redis at {address} has no queue under the prefix {prefix!r}; it has some under"
                f" {', '.join(map(repr, others))}.",
                hint="Set [redis] prefix, or TURNSTONE_REDIS_PREFIX, to the one that you mean.",
            )
        yield inspector
    finally:
        await inspector.aclose()


async def _status(inspector: Inspector, *, as_json: bool) -> str:
    view = await inspector.view()
    if as_json:
        return json_of(_whole(view))
    lines = [
        f"queue {view.prefix}",
        f"  waiting      {view.waiting}{_oldest(view)}",
        f"  in flight    {sum(view.inflight.values())}",
        f"  dead letters {view.dead}",
    ]
    lines += [f"  {line}" for line in _nodes(view)]
    if not any(lease.left > 0 for lease in view.leases):
        lines.append(
            f"  nodes        0: nobody takes work here ({inspector.place}, prefix {view.prefix})"
        )
    lines += [f"  nobody has   {labels}  for {span(since)}" for labels, since in view.unmet.items()]
    lines += [f"  no such node {node}  for {span(since)}" for node, since in view.strays.items()]
    return "\n".join(lines)


def _oldest(view: QueueView) -> str:
    return "" if view.oldest is None else f", the oldest since {span(view.oldest)}"


def _nodes(view: QueueView) -> Iterable[str]:
    for lease in view.leases:
        lives = lease.left > 0
        ends = f"lease for {span(lease.left)}" if lives else f"lease over since {span(-lease.left)}"
        held = view.inflight.get(lease.node, 0)
        labels = view.labels.get(lease.node, "")
        me = f"{lease.node}|{lease.boot}"
        seats = [name for name, holder in view.seats.items() if holder == me and name != lease.node]
        more = [f"labels {labels}"] if labels else []
        more += [f"for server {name}" for name in seats]
        yield "  ".join([f"node         {me}", ends, f"{held} in flight", *more])
    known = {lease.node for lease in view.leases}
    for node in sorted(view.inflight.keys() - known):
        yield f"node         {node}  no lease  {view.inflight[node]} in flight"


async def _lists(inspector: Inspector, *, as_json: bool) -> str:
    view = await inspector.view()
    if as_json:
        return json_of(_whole(view)["lists"])
    if not view.lists:
        return "Nothing waits."
    rows = [
        (str(one.length), "" if one.oldest is None else span(one.oldest), one.name)
        for one in view.lists
    ]
    return table(("length", "oldest", "list"), rows)


async def _dead(inspector: Inspector, limit: int, before: str, *, as_json: bool) -> str:
    found = await inspector.letters(limit, before)
    if as_json:
        return json_of([_told(letter) for letter in found])
    if not found:
        return "There are no dead letters."
    rows = [
        (
            one.id,
            date(one.time),
            one.node,
            str(one.tries),
            one.correlation_id or "-",
            cut(one.reason, _REASON),
        )
        for one in found
    ]
    return table(("id", "time", "node", "tries", "correlation id", "reason"), rows)


async def _show(inspector: Inspector, letter_id: str, *, as_json: bool) -> str:
    letter = await inspector.letter(letter_id)
    if as_json:
        return json_of(_told(letter) | {"text": letter.text})
    kept = f", of which the first {len(letter.raw)} are kept" if letter.cut else ""
    return "\n".join(
        [
            f"id             {letter.id}",
            f"time           {date(letter.time)}",
            f"reason         {plain(letter.reason)}",
            f"tries          {letter.tries}",
            f"node           {plain(letter.node)}",
            f"correlation id {plain(letter.correlation_id) or '-'}",
            f"workstream     {plain(letter.ws_id) or '-'}",
            f"bytes          {letter.size}{kept}",
            "",
            plain(letter.text),
        ]
    )


async def _replay(inspector: Inspector, letters: Sequence[str], *, trust: bool) -> str:
    return "\n".join(
        [
            f"{one} was sent again as {await inspector.replay(one, trust=trust)}"
            for one in dict.fromkeys(letters)
        ]
    )


async def _drop(inspector: Inspector, letters: Sequence[str]) -> str:
    for one in dict.fromkeys(letters):
        await inspector.drop(one)
    return f"Forgotten: {len(set(letters))}"


async def _purge(inspector: Inspector) -> str:
    return f"Forgotten: {await inspector.purge()}"


def _whole(view: QueueView) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(view)
    return found | {"waiting": view.waiting, "oldest": view.oldest}


def _told(letter: Letter) -> dict[str, Any]:
    """Without its text, which may be long."""
    found: dict[str, Any] = msgspec.to_builtins(letter)
    del found["raw"]
    return found | {"cut": letter.cut}

"""20,000 chunks of text through `Oturn`, beside plain readers of the same stream."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from oturn import EXAMPLE_TOOLS
from support.measure import Contender, Cost, fastest, machine, ms, table, times, us
from support.readers import PlainReader, at_work
from support.stream_server import PACE, serving

CHUNKS = 20_000
PACED_CHUNKS = 2_000
ROUNDS = 9
#: What the others are measured by: what one would write without a runtime.
PLAIN = "plain reader: aiter_lines, json.loads"


async def compare(base_url: str, folder: Path, model: str, rounds: int) -> dict[str, Cost]:
    plain = PlainReader(base_url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(plain.aclose)
        contenders: dict[str, Contender] = {
            PLAIN: lambda: plain.text(model),
            "the same without json.loads": lambda: plain.lines(model),
            "aiter_bytes alone": lambda: plain.bytes(model),
        }
        for title, subscribers, tools in (
            ("Oturn, one subscriber", 1, None),
            ("Oturn with tools, one subscriber", 1, EXAMPLE_TOOLS),
            ("Oturn, fifty subscribers", 50, None),
        ):
            agent = await stack.enter_async_context(
                at_work(base_url, folder, model, subscribers, tools)
            )
            contenders[title] = agent.text
        assert len({await contenders[name]() for name in contenders if "Oturn" in name}) == 1
        return await fastest(contenders, rounds)


def rows(found: dict[str, Cost], count: int) -> Sequence[Sequence[str]]:
    plain = found[PLAIN]
    return [
        (
            name,
            ms(cost.wall),
            times(cost.wall / plain.wall),
            us(cost.wall / count),
            times(cost.cpu / plain.cpu),
        )
        for name, cost in found.items()
    ]


def main() -> None:
    machine()
    head = ("reader", "wall", "beside plain", "a chunk", "CPU beside plain")
    with serving() as base_url, tempfile.TemporaryDirectory() as folder:
        for title, form, count, rounds in (
            (f"{CHUNKS:,} chunks at full speed, each an HTTP chunk", "events", CHUNKS, ROUNDS),
            (f"{CHUNKS:,} chunks at full speed, one body", "body", CHUNKS, ROUNDS),
            (f"{PACED_CHUNKS:,} chunks, {PACE:,} a second", "paced", PACED_CHUNKS, 2),
        ):
            model = f"{count}-{form}"
            found = asyncio.run(compare(base_url, Path(folder), model, rounds))
            table(title, head, rows(found, count))


if __name__ == "__main__":
    main()

"""Whether a chunk costs the same in a long answer as in a short one: 1,000 to 128,000 chunks."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from support.measure import Contender, fastest, machine, ms, table, times, us
from support.readers import PlainReader, at_work
from support.stream_server import serving

COUNTS = (1_000, 4_000, 16_000, 64_000, 128_000)
ROUNDS = 3


async def compare(base_url: str, folder: Path) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    first = 0.0
    plain = PlainReader(base_url)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(plain.aclose)
        for count in COUNTS:
            model = f"{count}-events"
            agent = await stack.enter_async_context(at_work(base_url, folder, model))
            contenders: dict[str, Contender] = {
                "plain": partial(plain.text, model),
                "oturn": agent.text,
            }
            # A short answer is over before anything else runs: more rounds, to catch it alone.
            found = await fastest(contenders, ROUNDS * max(1, 16_000 // count))
            each = found["oturn"].cpu / count
            first = first or each
            rows.append(
                (
                    f"{count:,}",
                    ms(found["plain"].wall),
                    ms(found["oturn"].wall),
                    times(found["oturn"].wall / found["plain"].wall),
                    us(each),
                    times(each / first),
                )
            )
    return rows


def main() -> None:
    machine()
    head = ("chunks", "plain", "Oturn", "beside plain", "CPU a chunk", "beside 1,000")
    with serving() as base_url, tempfile.TemporaryDirectory() as folder:
        table(
            "Cost of a chunk by the length of the answer, one subscriber",
            head,
            asyncio.run(compare(base_url, Path(folder))),
        )


if __name__ == "__main__":
    main()

"""Many turns at once on one node, against a model of 20 ms a token in another process.

    python bench/turns.py [TURNS]

Each turn has a reader that follows it to its end, as a browser would. What counts is the CPU
time of the node's process divided by the turns: all of it, and without what the HTTP client
needs to read as many answers with nothing around it, measured in the same run.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from oturn.transport.base import Failed, ModelRequest
from oturn.transport.openai import OpenAITransport
from support import report
from support.modelprocess import model_process
from support.node import start_node
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost

TOKENS, PAUSE = 40, 20.0


async def turn(host: LocalHost, ws_id: str) -> str:
    """Its outcome, once its reader has seen the whole answer."""
    await host.send(SendMessage(ws_id=ws_id, message="Go on."))
    said = 0
    async for event in host.follow(ws_id, ev.EventId(1)):
        if isinstance(event, ev.Content):
            said += event.text.count("token")
        elif isinstance(event, ev.TurnEnded):
            return event.outcome if said == TOKENS else f"{said} tokens"
    return "no ending"


async def bare(base_url: str, count: int) -> float:
    """CPU seconds of this process to read as many answers through the transport alone."""
    transport = OpenAITransport(base_url)
    request = ModelRequest("bench", [{"role": "user", "content": "Go on."}])

    async def read() -> None:
        async for item in transport.stream(request):
            assert not isinstance(item, Failed), item

    await read()  # what is loaded once
    cpu = time.process_time()
    await asyncio.gather(*(read() for _ in range(count)))
    spent = time.process_time() - cpu
    await transport.aclose()
    return spent


async def measure(folder: Path, base_url: str, count: int) -> tuple[float, float, list[str]]:
    """Seconds, CPU seconds of this process, and the outcomes."""
    host = await start_node(folder, base_url)
    try:
        made = [(await host.create(CreateWorkstream())).id for _ in range(count)]
        await turn(host, (await host.create(CreateWorkstream())).id)  # what is loaded once
        begun, cpu = time.perf_counter(), time.process_time()
        outcomes = await asyncio.gather(*(turn(host, ws_id) for ws_id in made))
        return time.perf_counter() - begun, time.process_time() - cpu, outcomes
    finally:
        await host.aclose()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    report.machine()
    with report.folder() as folder, model_process(TOKENS, PAUSE) as base_url:
        client = asyncio.run(bare(base_url, count))
        seconds, cpu, outcomes = asyncio.run(measure(folder, base_url, count))
    done = outcomes.count("done")
    alone = TOKENS * PAUSE / 1000
    print(f"{done} of {count} turns complete")
    report.line("all of them, by the clock", seconds, "s", beside=f"the model alone: {alone:.2f} s")
    report.line("CPU of the node per turn, all of it", cpu * 1000 / count, "ms", 5.0)
    report.line("  of it the model's HTTP client", client * 1000 / count, "ms")
    report.line("  and the node itself", (cpu - client) * 1000 / count, "ms", 5.0)


if __name__ == "__main__":
    main()

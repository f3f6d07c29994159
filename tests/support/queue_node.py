"""A node with a queue worker as a process of its own, for tests that kill it.

python -m support.queue_node FOLDER MODEL_URL REDIS_PORT NODE_ID LEASE GRACE [POSTGRES_URL]
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.nodes import start_host
from turnstone.mq.connection import RedisAddress
from turnstone.mq.redis_work import RedisWork
from turnstone.mq.work import GRACE, LEASE
from turnstone.mq.worker import Worker
from turnstone.mq.worker_start import WorkerFence

#: Seconds for the process to be ready; more is a failure.
PATIENCE = 60.0


class QueueNode:
    """The process, as the test that started it sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            await self.process.wait()


@asynccontextmanager
async def queue_node(
    folder: Path,
    model_url: str,
    redis_port: int,
    node_id: str = "n1",
    *,
    lease: float = LEASE,
    grace: float = GRACE,
    url: str = "",
) -> AsyncIterator[QueueNode]:
    """A node that has begun to take work. `lease` and `grace` in seconds, as for `RedisWork`;
    `url`: of the PostgreSQL that it shares with others."""
    arguments = [str(folder), model_url, str(redis_port), node_id, str(lease), str(grace), url]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.queue_node",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    node = QueueNode(process)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await process.stdout.readline()
        assert line == b"ready\n", line
        yield node
    finally:
        with contextlib.suppress(ProcessLookupError):
            await node.kill()


async def main(
    folder: str,
    model_url: str,
    redis_port: str,
    node_id: str,
    lease: str,
    grace: str,
    url: str = "",
) -> None:
    fence = WorkerFence()
    host = await start_host(
        Path(folder), model_url, fence=fence, url=url, node_id=node_id if url else ""
    )
    address = RedisAddress(host="127.0.0.1", port=int(redis_port))
    work = await RedisWork.open(address, node_id, lease=float(lease), grace=float(grace))
    worker = Worker(host, work, beat_every=float(lease) / 3, estate=host.heir)
    fence.bind(worker)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await worker.ready.wait()
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""A node with its server for benchmarks, in a process of its own, without tokens.

    python nodeprocess.py FOLDER MODEL_URL

Prints its URL; serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def node_process(folder: Path, model_url: str) -> Iterator[tuple[str, int]]:
    """Start one; yields its base URL and process id."""
    folder.mkdir()
    command = [sys.executable, __file__, str(folder), model_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.terminate()


def many_files() -> None:
    """As many sockets as this user may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(folder: Path, model_url: str) -> None:
    from support.node import start_node
    from turnstone.server.app import NodeApp
    from turnstone.server.auth import Auth
    from turnstone.server.run import collect_seldom, serve

    host = await start_node(folder, model_url)
    try:
        app = NodeApp(host, Auth(enabled=False))

        def ready(url: str) -> None:
            print(url, flush=True)
            collect_seldom()  # as the program does

        await serve(app, "127.0.0.1", 0, ready=ready)
    finally:
        await host.aclose()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    many_files()
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2]))

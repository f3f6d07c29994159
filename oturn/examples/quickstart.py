"""An agent with a tool and no model: it says what you say, and shows every event on the way.

python quickstart.py [WORDS]

Take `transport=` away and put a model of yours into `OturnConfig`, and it is a real one.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from oturn import (
    Context,
    HostConfigTool,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OturnProviderConfig,
)
from oturn.transport.echo import EchoTransport


async def main(words: str, folder: Path) -> None:
    config = OturnConfig("any", OturnProviderConfig(), OturnModelConfig(), OturnAgentConfig())
    agent = Oturn(folder, config, tools=[HostConfigTool], transport=EchoTransport())
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    agent.subscribe(events)
    agent.enqueue_user_input_nowait(words)
    working = asyncio.create_task(agent.run_queues(Context(folder / "session.md")))
    try:
        while (event := await events.get())["type"] != "assistant_final":
            print(event)
        print(event["text"])
    finally:
        working.cancel()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as kept:
        asyncio.run(main(" ".join(sys.argv[1:]) or "Is anybody there?", Path(kept)))

"""A conversation that goes on where it was left: each run adds one turn to the same session.

python sessions.py FOLDER WORDS

The file lies in FOLDER/kept, by date, with a link in FOLDER/.oturn/sessions. It is Markdown.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from oturn import (
    Context,
    Message,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OturnProviderConfig,
)
from oturn.transport.echo import EchoTransport


async def main(folder: Path, words: str) -> None:
    root = folder.absolute() / "kept"
    context = Context.continue_session(folder, global_sessions_root=root)
    if context is None:
        context = Context.create_session(folder, global_sessions_root=root)
        context.append_message(Message(role="system", content="You repeat what is said."))
    if context.restore_error is not None:
        sys.exit(f"The session cannot be read: {context.restore_error}")
    print(f"{context.history_file} holds {len(context.records)} records")

    config = OturnConfig("any", OturnProviderConfig(), OturnModelConfig(), OturnAgentConfig())
    agent = Oturn(folder, config, transport=EchoTransport())
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    agent.subscribe(events)
    agent.enqueue_user_input_nowait(words)
    working = asyncio.create_task(agent.run_queues(context))
    try:
        while (event := await events.get())["type"] != "assistant_final":
            pass
        # The answer is kept before its end is told.
        print(event["text"])
        print(f"now it holds {len(context.records)}")
    finally:
        working.cancel()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Give a folder and some words: python sessions.py FOLDER WORDS")
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))

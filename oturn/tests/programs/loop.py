"""A program of oturn 0.1: it prints what happens, and answers nothing. Argument: the API's URL."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from oturn import (
    Context,
    HostConfigTool,
    Message,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OturnProviderConfig,
)


async def main(api_base: str) -> None:
    work_dir = Path.cwd()
    config = OturnConfig(
        model="openai/fake",
        provider=OturnProviderConfig(api_base=api_base, api_key="key"),
        model_config=OturnModelConfig(max_output_tokens=4096, temperature=0.7),
        agent_config=OturnAgentConfig(max_steps=50, user_name="User"),
    )
    agent = Oturn(work_dir=work_dir, config=config, tools=[HostConfigTool])
    context = Context(work_dir / ".oturn" / "sessions" / "demo.md", work_dir=work_dir)
    print("restored:", context.restore(), len(context.history))
    if not context.history:
        context.append_message(Message(role="system", content="Be brief."))

    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    agent.subscribe(events)
    agent.enqueue_user_input_nowait("What is this machine?")
    task = asyncio.create_task(agent.run_queues(context))
    try:
        while True:
            event = await events.get()
            print(event)
            if event["type"] == "assistant_final":
                break
    finally:
        task.cancel()
    print("tokens:", agent.get_last_total_tokens(context))
    print("roles:", *[record.role for record in context.history if isinstance(record, Message)])


asyncio.run(main(sys.argv[1]))

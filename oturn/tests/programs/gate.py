"""A program of oturn 0.1: each call waits for a person at a prompt; "n" ends the program."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oturn import (
    BaseTool,
    Context,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OturnProviderConfig,
)


class Refused(Exception):
    pass


class CountTool(BaseTool):
    name = "count"
    description = "Counts the letters of a word."

    @property
    def schema(self) -> dict[str, Any]:
        return self.get_schema()

    @classmethod
    def get_schema(cls) -> dict[str, Any]:
        parameters = {
            "type": "object",
            "properties": {"word": {"type": "string", "description": "The word."}},
            "required": ["word"],
        }
        function = {"name": cls.name, "description": cls.description, "parameters": parameters}
        return {"type": "function", "function": function}

    @classmethod
    def validate_arguments(cls, args: dict[str, Any]) -> str | None:
        return None if args.get("word") else "no word"

    @classmethod
    def get_preview(cls, args: dict[str, Any]) -> str | None:
        return str(args.get("word"))

    @staticmethod
    def execute(word: str, emit_event: Callable[[dict[str, Any]], None]) -> int:
        emit_event({"type": "tool_output", "stream": "stdout", "text": f"counting {word}\n"})
        emit_event({"type": "tool_exit", "code": 0})
        return len(word)


async def gate(event: dict[str, Any]) -> None:
    print(f"run {event['tool']}?", flush=True)
    line = await asyncio.to_thread(sys.stdin.readline)
    if line.strip() == "y":
        event["future"].set_result(None)
    else:
        event["future"].set_exception(Refused(event["tool"]))


async def watch(events: asyncio.Queue[dict[str, Any]]) -> str:
    while True:
        event = await events.get()
        if event["type"] == "tool_call":
            await gate(event)
        elif event["type"] == "tool_output":
            print(event["text"], end="")
        elif event["type"] == "assistant_final":
            return str(event["text"])


async def main(api_base: str) -> None:
    agent = Oturn(
        Path.cwd(),
        OturnConfig(
            "openai/fake",
            OturnProviderConfig(api_base, "key"),
            OturnModelConfig(),
            OturnAgentConfig(),
        ),
        tools=[CountTool],
    )
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    agent.subscribe(events)
    agent.enqueue_user_input_nowait(text="How long is 'turnstone'?")
    running = asyncio.create_task(agent.run_queues(Context(Path.cwd() / "gate.md")))
    watching = asyncio.create_task(watch(events))
    await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        print("stopped:", repr(running.exception()))
        watching.cancel()
    else:
        print("answer:", watching.result())
        running.cancel()


asyncio.run(main(sys.argv[1]))

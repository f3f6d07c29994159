"""Who reads the stream: plain httpx2 loops, and an `Oturn` with subscribers that take all."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2

from oturn import (
    BaseTool,
    Context,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OturnProviderConfig,
)


class PlainReader:
    """What one would write without a runtime."""

    def __init__(self, base_url: str) -> None:
        self._client = httpx2.AsyncClient(timeout=60)
        self._url = f"{base_url}/chat/completions"

    async def text(self, model: str) -> str:
        """Parse every chunk, and join what they say."""
        parts = []
        async with self._client.stream("POST", self._url, json=_body(model)) as response:
            async for line in response.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                chunk = json.loads(line[6:])
                parts += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
        return "".join(parts)

    async def lines(self, model: str) -> int:
        """The lines alone, unparsed."""
        async with self._client.stream("POST", self._url, json=_body(model)) as response:
            return len([line async for line in response.aiter_lines()])

    async def bytes(self, model: str) -> int:
        """The bytes alone."""
        async with self._client.stream("POST", self._url, json=_body(model)) as response:
            return sum([len(chunk) async for chunk in response.aiter_bytes()])

    async def aclose(self) -> None:
        await self._client.aclose()


def _body(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "go"}], "stream": True}


class Agent:
    """An `Oturn` at work on one model, heard by `subscribers` queues."""

    def __init__(self, agent: Oturn, subscribers: int) -> None:
        self._agent = agent
        self._queues: list[asyncio.Queue[dict[str, Any]]] = [
            asyncio.Queue() for _ in range(subscribers)
        ]
        for queue in self._queues:
            agent.subscribe(queue)

    async def text(self) -> str:
        """One turn, from the input to the ending, as the last of the subscribers has it."""
        self._agent.enqueue_user_input_nowait("go")
        texts = await asyncio.gather(*map(_heard, self._queues))
        assert len(set(texts)) == 1
        return texts[0]


async def _heard(queue: asyncio.Queue[dict[str, Any]]) -> str:
    parts = []
    while True:
        event = await queue.get()
        match event["type"]:
            case "assistant_delta":
                parts.append(event["text"])
            case "assistant_final":
                return "".join(parts)
            case "error" | "lagged":
                raise RuntimeError(f"the stream did not come whole: {event}")


@contextlib.asynccontextmanager
async def at_work(
    base_url: str,
    folder: Path,
    model: str,
    subscribers: int = 1,
    tools: list[type[BaseTool]] | None = None,
) -> AsyncIterator[Agent]:
    """An agent with a new session file in the folder, until the block is left."""
    config = OturnConfig(
        f"openai/{model}",
        OturnProviderConfig(api_base=base_url, api_key="none"),
        OturnModelConfig(),
        OturnAgentConfig(event_backlog=1_000_000),
    )
    agent = Oturn(folder, config, tools=tools)
    made = Agent(agent, subscribers)
    context = Context(folder / f"{id(made)}.md")
    run = asyncio.create_task(agent.run_queues(context))
    try:
        yield made
    finally:
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run

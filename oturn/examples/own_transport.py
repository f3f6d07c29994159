"""A transport of one's own: a model that runs in this process, and not behind a server.

python own_transport.py

`generate` stands for the model: a plain generator that takes its time. Around it is all that a
transport has to do: give pieces as they come, tell failures as the last item, never raise.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from oturn import (
    Context,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OturnProviderConfig,
)
from oturn.errors import ModelError
from oturn.transport.base import Failed, Finished, ModelRequest, StreamItem, TextDelta


def generate(prompt: str) -> Iterator[str]:
    """The words of the prompt, backwards. Raises ValueError for a prompt without words."""
    words = prompt.split()
    if not words:
        raise ValueError("there is nothing to turn around")
    for word in reversed(words):
        yield f"{word} "


class LocalModel:
    """A `ModelTransport` (`oturn.transport.base`)."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[StreamItem]:
        prompt = str(request.messages[-1]["content"]).rpartition("\n\n")[2]
        pieces = generate(prompt)
        try:
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield TextDelta(piece)
        except Exception as problem:
            yield Failed(ModelError("broken", f"The model in this process failed: {problem}."))
        else:
            yield Finished("stop", request.model)

    async def aclose(self) -> None:
        """Nothing is held open."""


async def main(folder: Path) -> None:
    config = OturnConfig("local", OturnProviderConfig(), OturnModelConfig(), OturnAgentConfig())
    agent = Oturn(folder, config, transport=LocalModel())
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    agent.subscribe(events)
    agent.enqueue_user_input_nowait("there anybody is")
    working = asyncio.create_task(agent.run_queues(Context(folder / "session.md")))
    try:
        while (event := await events.get())["type"] != "assistant_final":
            print(event)
        print(event["text"])
    finally:
        working.cancel()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as kept:
        asyncio.run(main(Path(kept)))

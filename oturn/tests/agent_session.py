"""An `Oturn` at work in a test, with everything it publishes, and a tool that echoes."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Self

from oturn import (
    Context,
    Message,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OturnProviderConfig,
    ToolMessageContent,
)
from oturn.transport.base import ModelTransport
from oturn.transport.scripted import (
    Reply,
    ScriptedTransport,
)
from tools_for_tests import SmallTool

#: Seconds that a test waits for an event that must come.
PATIENCE = 5.0
#: The grace of these tests: short where nobody answers, never reached where somebody does.
SHORT, LONG = 0.05, 60.0

_FOLDER = Path(tempfile.mkdtemp(prefix="oturn-tests-"))
_NUMBERS = count(1)
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)

React = Callable[[dict[str, Any]], None]


def config(
    model: str = "openai/fake", *, grace: float = SHORT, api_base: str = "", **agent: Any
) -> OturnConfig:
    return OturnConfig(
        model,
        OturnProviderConfig(api_base=api_base, api_key="key-of-the-tests"),
        OturnModelConfig(4096, 0.7),
        OturnAgentConfig(answer_grace=grace, **agent),
    )


def new_file() -> Path:
    """A session file that no other test has, and that is gone after the tests."""
    return _FOLDER / f"{next(_NUMBERS)}.md"


class Session:
    """One agent at work, and everything it has published; `events` have their futures left out."""

    def __init__(self, agent: Oturn, react: React = lambda _: None) -> None:
        self.agent = agent
        self.context = Context(new_file())
        self.events: list[dict[str, Any]] = []
        self._react = react
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        agent.subscribe(self._queue)

    async def __aenter__(self) -> Self:
        self.run = asyncio.create_task(self.agent.run_queues(self.context))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.run.cancel()
        await asyncio.wait({self.run})

    async def ask(self, words: str = "hi") -> list[dict[str, Any]]:
        """The events from here to the end of the turn."""
        self.agent.enqueue_user_input_nowait(words)
        return await self.until("assistant_final")

    async def until(self, kind: str) -> list[dict[str, Any]]:
        seen = []
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self._queue.get()
                shown = {k: dict.__getitem__(event, k) for k in dict.keys(event) if k != "future"}
                seen.append(shown)
                self.events.append(shown)
                self._react(event)
                if event["type"] == kind:
                    return seen

    def nothing_more(self) -> bool:
        return self._queue.empty()


def scripted(*replies: Reply, tools: Any = (), **settings: Any) -> Oturn:
    transport: ModelTransport = ScriptedTransport(list(replies))
    policy = settings.pop("policy", None)
    return Oturn(Path.cwd(), config(**settings), policy, list(tools), transport=transport)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def resolve(answer: Any, kind: str = "tool_call") -> React:
    def react(event: dict[str, Any]) -> None:
        if event["type"] == kind:
            event["future"].set_result(answer)

    return react


def tool_contents(context: Context) -> list[ToolMessageContent]:
    found = []
    for record in context.history:
        if isinstance(record, Message) and record.role == "tool":
            assert isinstance(record.content, ToolMessageContent)
            found.append(record.content)
    return found


class Echo(SmallTool):
    name = "echo"
    properties = {"words": {"type": "string"}}  # noqa: RUF012

    @staticmethod
    def execute(words: str = "") -> str:
        return words

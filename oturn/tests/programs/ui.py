"""A program of oturn 0.1: a user interface that approves, chooses, compacts and cancels."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
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
    ToolResult,
    UserContent,
)
from oturn.tools.precheck import STATUS_NEEDS_APPROVAL, ToolPrecheckResult

Event = dict[str, Any]


class DeployTool(BaseTool):
    name = "deploy"
    description = "Deploys the program."

    @property
    def schema(self) -> dict[str, Any]:
        return self.get_schema()

    @classmethod
    def get_schema(cls) -> dict[str, Any]:
        parameters: dict[str, Any] = {"type": "object", "properties": {}}
        function = {"name": cls.name, "description": cls.description, "parameters": parameters}
        return {"type": "function", "function": function}

    @classmethod
    def validate_arguments(cls, args: dict[str, Any]) -> str | None:
        return None

    @classmethod
    def get_preview(cls, args: dict[str, Any]) -> str | None:
        return None

    @classmethod
    def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:
        return ToolPrecheckResult(STATUS_NEEDS_APPROVAL, "Really deploy?", ["it is Friday"])

    @classmethod
    def on_denial(cls, args: dict[str, Any]) -> dict[str, Any]:
        return {"hint": "ask on Monday"}

    @classmethod
    def user_input_hook(cls) -> UserContent | None:
        return UserContent.from_dict({"user_name": "deploy", "content": "The site is up."})

    @staticmethod
    async def execute(event_publish: Callable[[Event], Awaitable[None]]) -> ToolResult:
        where, sure = await DeployTool._request_choice(
            event_publish, "Where to?", ["test", "live"], hint="live is live"
        )
        await event_publish({"type": "progress", "percent": 100})
        return ToolResult("success", content={"where": where, "sure": sure})


class Screen:
    """Takes events as they come; answers questions from a list, and leaves when it is used up."""

    def __init__(self, answers: list[Any], leave: Callable[[], None]) -> None:
        self.answers = answers
        self.leave = leave
        self.final: asyncio.Queue[str] = asyncio.Queue()

    async def put(self, event: Event) -> None:
        match event["type"]:
            case "tool_call":
                event["future"].set_result(True)
            case "approval_request":
                print("approve", event["tool"], event["precheck"]["message"], event["id"][:5])
                if self.answers:
                    event["future"].set_result(self.answers.pop(0))
                else:
                    self.leave()
                    event["future"].set_result(False)
            case "choice_request":
                print("choose", event["prompt"], event["choices"], event["hint"])
                event["future"].set_result(self.answers.pop(0))
            case "progress" | "run_aborted":
                print(event)
            case "tool_exit":
                print("exit", event["code"])
            case "assistant_final":
                await self.final.put(event["text"])


async def allow_all(name: str, args: dict[str, Any]) -> bool:
    return True


async def main(api_base: str) -> None:
    config = OturnConfig(
        "openai/fake", OturnProviderConfig(api_base, "key"), OturnModelConfig(), OturnAgentConfig()
    )
    agent = Oturn(Path.cwd(), config, allow_all, [DeployTool])
    context = Context.create_session(Path.cwd(), "ui", global_sessions_root=Path.cwd() / "all")
    answers = [{"approved": True}, {"selected": "live", "confirmed": True}, False]
    screen = Screen(answers, agent.request_cancel_tool)
    agent.subscribe(screen)
    task = asyncio.create_task(agent.run_queues(context))
    agent.enqueue_user_input_nowait("deploy")
    print("said:", await screen.final.get())
    print("deltas:", agent.get_tool_call_deltas())
    context.append_compact("They deployed to live.", "deploy")
    agent.enqueue_user_input_nowait("deploy again", "agent", "default")
    print("said:", repr(await screen.final.get()))
    agent.enqueue_user_input_nowait("and again")
    print("said:", repr(await screen.final.get()))
    task.cancel()
    await agent.aclose()
    print("sessions:", [name for name, _, _ in Context.list_sessions(Path.cwd())[0]])


asyncio.run(main(sys.argv[1]))

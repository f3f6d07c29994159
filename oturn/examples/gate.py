"""A person at the terminal says yes or no before a file is written.

python gate.py [FOLDER]

The model is a script here, so that nothing but this file is needed: it asks to write a note,
and tells what came of it. The question is answered by `approval_callback`, which may take as
long as the person does.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, ClassVar

from oturn import (
    BaseTool,
    Context,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OturnProviderConfig,
)
from oturn.tools.precheck import STATUS_NEEDS_APPROVAL, ToolPrecheckResult
from oturn.transport.scripted import ScriptedTransport, call, call_tools, say


class WriteNote(BaseTool):
    name = "write_note"
    description = "Add a line to the notes."
    file: ClassVar[Path]

    @property
    def schema(self) -> dict[str, Any]:
        return self.get_schema()

    @classmethod
    def get_schema(cls) -> dict[str, Any]:
        line = {"type": "string", "description": "The line to add."}
        parameters = {"type": "object", "properties": {"line": line}, "required": ["line"]}
        function = {"name": cls.name, "description": cls.description, "parameters": parameters}
        return {"type": "function", "function": function}

    @classmethod
    def validate_arguments(cls, args: dict[str, Any]) -> str | None:
        return "'line' must be one line." if "\n" in args["line"] else None

    @classmethod
    def get_preview(cls, args: dict[str, Any]) -> str | None:
        return f"Note: {args['line']}"

    @classmethod
    def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:
        reasons = [f"adds a line to {cls.file}: {args['line']}"]
        return ToolPrecheckResult(STATUS_NEEDS_APPROVAL, "It was not allowed to write.", reasons)

    @staticmethod
    def execute(line: str) -> str:
        with WriteNote.file.open("a", encoding="utf-8") as notes:
            notes.write(f"{line}\n")
        return "written"


async def ask(event: dict[str, Any]) -> bool:
    """The event is the question without its future. In a thread: `input` would stop the loop."""
    shown = "\n".join([event["tool"], *event["precheck"]["reasons"], "Allow? [y/N] "])
    try:
        answer = await asyncio.to_thread(input, shown)
    except EOFError:
        print("nobody is there: no")
        return False
    return answer.strip().lower() in {"y", "yes"}


async def main(folder: Path) -> None:
    WriteNote.file = folder / "notes.txt"
    model = ScriptedTransport(
        [call_tools(call("write_note", line="Buy stamps."), text="I note it. "), say("Noted.")]
    )
    config = OturnConfig("any", OturnProviderConfig(), OturnModelConfig(), OturnAgentConfig())
    agent = Oturn(folder, config, tools=[WriteNote], transport=model, approval_callback=ask)
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    agent.subscribe(events)
    agent.enqueue_user_input_nowait("Remember to buy stamps.")
    working = asyncio.create_task(agent.run_queues(Context(folder / "session.md")))
    try:
        while (event := await events.get())["type"] != "assistant_final":
            if event["type"] == "tool_output" and event["stream"] == "stderr":
                print(event["text"], end="")
        print(event["text"] or "(nothing was done: it is your turn)")
    finally:
        working.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(*sys.argv[1:2])))

"""Writing a conversation message by message, and reading it back, beside plain JSON lines."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from oturn import Context, FunctionInfo, Message, ToolCallInfo, ToolMessageContent, UserContent
from support.measure import fastest_of, machine, ms, table, times, us

COUNTS = (1_000, 10_000, 50_000)
ROUNDS = 3


def conversation(length: int) -> list[Message]:
    """Turns of four messages: what was asked, a call, its result, the answer."""
    made: list[Message] = []
    for number in range((length + 3) // 4):
        words = UserContent(
            user_name="User", date=datetime.now(UTC), content=f"Question {number}: what is it?"
        )
        call = ToolCallInfo(
            f"call_{number}", "function", FunctionInfo("look", {"path": f"/srv/{number}.txt"})
        )
        result = ToolMessageContent(status="success", data={"text": "A line.\n" * 5, "n": number})
        answer = f"It is number {number}.\n\nA second paragraph says why, in a few more words."
        usage = {"prompt_tokens": number, "completion_tokens": 9, "total_tokens": number + 9}
        made += [
            Message(role="user", content=words),
            Message(role="assistant", content="", tool_calls=[call], usage=usage),
            Message(role="tool", name="look", tool_call_id=call.id, content=result),
            Message(role="assistant", content=answer, usage=usage, model_name="bench"),
        ]
    return made[:length]


class Files:
    """Sessions of one length: each way of writing makes a new file, reading takes a whole one."""

    def __init__(self, folder: Path, messages: list[Message]) -> None:
        self._folder = folder
        self._messages = messages
        self._numbers = count()
        self._session = self.append()
        self._lines = self.append_json()

    def append(self) -> Path:
        context = Context(self._new("md"))
        for message in self._messages:
            context.append_message(message)
        return context.history_file

    def append_json(self) -> Path:
        """One write to the file for each message too."""
        path = self._new("jsonl")
        with open(path, "ab", buffering=0) as file:
            for message in self._messages:
                line = json.dumps(message.model_dump(mode="json")).encode() + b"\n"
                file.write(line)
        return path

    def restore(self) -> None:
        context = Context(self._session)
        assert context.restore()
        assert len(context.records) == len(self._messages)

    def restore_json(self) -> None:
        with open(self._lines, "rb") as file:
            found = [Message.model_validate(json.loads(line)) for line in file]
        assert len(found) == len(self._messages)

    def _new(self, suffix: str) -> Path:
        return self._folder / f"{len(self._messages)}-{next(self._numbers)}.{suffix}"


def main() -> None:
    machine()
    rows: list[tuple[str, ...]] = []
    first: dict[str, float] = {}
    for length in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            files = Files(Path(folder), conversation(length))
            contenders: dict[str, Callable[[], object]] = {
                "append_message": files.append,
                "JSON lines, appended": files.append_json,
                "restore": files.restore,
                "JSON lines, read": files.restore_json,
            }
            found = fastest_of(contenders, ROUNDS)
        yard = {"append_message": "JSON lines, appended", "restore": "JSON lines, read"}
        for name, cost in found.items():
            beside = found[yard.get(name, name)]
            each = cost.cpu / length
            first.setdefault(name, each)
            rows.append(
                (
                    f"{length:,}",
                    name,
                    ms(cost.wall),
                    us(each),
                    times(each / first[name]),
                    times(cost.cpu / beside.cpu),
                )
            )
    head = ("messages", "", "wall", "CPU a message", f"beside {COUNTS[0]:,}", "beside JSON lines")
    table("A conversation to its session file and back", head, rows)


if __name__ == "__main__":
    main()

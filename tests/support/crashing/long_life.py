"""A node whose conversation is compacted again and again, and that dies at a write of its journal.

    python -m support.crashing.long_life FOLDER [NUMBER before|after]

Carries the conversation on from wherever it stands, to its end; then it prints how many writes
its journal took. What a strict provider finds wrong with what it is sent goes to `faults`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from oturn.transport.base import ModelRequest
from oturn.transport.scripted import Reply, ScriptedTransport, call, call_tools, say
from support.crashing.stores import AtWrite, KillingSqlite, When
from support.long_talk import Prints
from support.strict import faults
from turnstone.core.engine import Engine
from turnstone.core.host import CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.models import Models
from turnstone.core.node import lock_server
from turnstone.sandbox import Unconfined

WS = "aaaa0001"
SAID = [f"Request {number}: look at part {number}, and at nothing else." for number in range(3)]
PAGE = "12:00:01 INFO step finished in 0.31 s, 4 warnings\n" * 400

#: Tokens that its model takes, and seconds for a whole life; more is a failure.
WINDOW, PATIENCE = 8_192, 20.0


def model(folder: Path) -> ScriptedTransport:
    """Looks at two files for each request, and then answers."""

    def reply(request: ModelRequest) -> Reply:
        if "Write the account" in request.messages[0]["content"]:
            return say("The files were looked at.")
        if found := faults(request.messages):
            with (folder / "faults").open("a") as file:
                file.write("; ".join(found) + "\n")
        if request.messages[-1]["role"] == "tool":
            return say("It is looked at.")
        return call_tools(call("read_file", path="one"), call("read_file", path="two"))

    return ScriptedTransport(reply)


async def live(folder: Path, deadly: AtWrite | None) -> None:
    async with asyncio.timeout(PATIENCE):
        lock = lock_server(folder / "turnstone.db", "node")
        store = await KillingSqlite.open(folder / "turnstone.db")
        store.deadly = deadly
        engine = Engine(
            models=Models.one(model(folder), "scripted", WINDOW),
            tools={"read_file": Prints("read_file", PAGE)},
            confinement=Unconfined().confinement,
            workspace=folder,
            max_attempts=1000,
        )
        host = await LocalHost.start(store, engine, lock)
        await host.create(CreateWorkstream(ws_id=WS))
        for number, text in enumerate(SAID):
            cid = f"c{number}"
            await host.send(SendMessage(ws_id=WS, message=text, correlation_id=cid))
            while await host.ending(WS, cid) is None:
                await asyncio.sleep(0.002)  # the record is the state that is waited for
            await host.command(WS, "/compact")
        await host.aclose()
        print(store.writes)


def main(folder: str, number: str = "", when: When = "before") -> None:
    deadly = AtWrite(int(number), when) if number else None
    asyncio.run(live(Path(folder), deadly))


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]  # the third is a When, or a fault of the caller

"""`turnstone erase`, as a person types it: beside a server, and where none runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from modelserver import ModelServer, call, calls
from support.processes import PATIENCE, run, server
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage

STORE = ".local/share/turnstone"


def in_files(home: Path, word: str) -> bool:
    files = (home / STORE).glob("turnstone.db*")
    return any(word.encode() in path.read_bytes() for path in files if path.is_file())


async def test_a_workstream_is_erased_by_the_server_that_has_it_and_without_one(
    tmp_path: Path,
) -> None:
    async with server(tmp_path, "--model", "practice") as node:
        client = node.client()
        one, two = [await client.create(CreateWorkstream()) for _ in range(2)]
        for ws, word in ((one, "first-secret"), (two, "second-secret")):
            sent = await client.send(SendMessage(ws_id=ws.id, message=word))
            async with asyncio.timeout(PATIENCE):
                while await client.ending(ws.id, sent.correlation_id) is None:
                    await asyncio.sleep(0.02)
        assert in_files(tmp_path, "first-secret")
        kept = [tmp_path / STORE / "outputs" / ws.id / "bash-1.txt" for ws in (one, two)]
        for file in kept:  # the whole output of a command
            file.parent.mkdir(parents=True)
            file.write_text("secret")

        port = node.url.rpartition(":")[2]
        code, out, err = await run(tmp_path, "turnstone erase", one.id, "--port", port)

        assert (code, err) == (0, "")
        assert out == f"Workstream {one.id} is erased, by the server at {node.url}.\n"
        assert one.id not in {info.id for info in await client.list()}
        assert not in_files(tmp_path, "first-secret")
        assert [file.parent.exists() for file in kept] == [False, True]

        code, _, err = await run(tmp_path, "turnstone erase", two.id, "--port", "1")
        assert code == 1
        assert f"Workstream {two.id} belongs to node " in err
        await client.aclose()
        await node.terminate()

    code, out, err = await run(tmp_path, "turnstone erase", two.id)
    assert (code, out, err) == (0, f"Workstream {two.id} is erased.\n", "")
    assert not in_files(tmp_path, "second-secret")
    assert not kept[1].parent.exists()

    code, _, err = await run(tmp_path, "turnstone erase", two.id)
    assert code == 1
    assert err.startswith(f"error: There is no session or workstream {two.id} in the store ")


async def test_one_with_an_open_turn_of_a_server_that_died_is_erased_by_force_only(
    tmp_path: Path,
) -> None:
    with ModelServer(lambda body: calls(call("bash", command="true"))) as model:
        async with server(tmp_path, "--base-url", model.base_url) as node:
            client = node.client()
            ws = await client.create(CreateWorkstream())
            await client.send(SendMessage(ws_id=ws.id, message="a-secret"))
            async with asyncio.timeout(PATIENCE):
                async for event in client.follow(ws.id, ev.EventId(1)):
                    if isinstance(event, ev.ApprovalAsked):
                        break
            await client.aclose()
            await node.kill()

    code, _, err = await run(tmp_path, "turnstone erase", ws.id)
    assert code == 1
    assert err.startswith(f"error: Workstream {ws.id} is at work; it was not erased.")
    assert in_files(tmp_path, "a-secret")

    code, _, err = await run(tmp_path, "turnstone erase", ws.id, "--force")
    assert (code, err) == (0, "")
    assert not in_files(tmp_path, "a-secret")

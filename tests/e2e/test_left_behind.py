"""What a terminal left in the middle of a turn, told by the next one."""

from __future__ import annotations

from pathlib import Path

from support.processes import run
from turnstone.core.events import MessageAccepted, WsCreated
from turnstone.core.store import SqliteStore, WorkstreamRow


async def left(path: Path, *messages: str) -> None:
    """A conversation each, of a process that is gone, with the last of its messages open."""
    store = await SqliteStore.open(path)
    for n, message in enumerate(messages):
        ws_id = f"aaaa000{n}"
        row = WorkstreamRow(
            ws_id=ws_id, session_id="s" * 12, created=1.0 + n, owner="gone_0001", epoch=1
        )
        await store.create(row, WsCreated(name=f"ws-{n}"))
        accepted = [
            MessageAccepted(message=text, correlation_id=f"c{n}-{text[:9]}")
            for text in ("before", message)
        ]
        await store.append(ws_id, 1, accepted, {"name": f"ws-{n}"})
    await store.aclose()


async def test_a_message_sent_by_a_script_is_told_what_was_cut_off_and_what_to_do(
    tmp_path: Path,
) -> None:
    store = tmp_path / "state" / "turnstone.db"
    await left(store, "sweep the\nfloor " * 20)

    code, out, err = await run(
        tmp_path, "turnstone", "--store", str(store), "--model", "practice", "-p", "help"
    )

    assert code == 0
    assert "1 conversation(s) of earlier sessions were cut off in a turn:" in err
    assert "aaaa0000 (ws-0): sweep the floor sweep the floor" in err
    assert "`turnstone up` takes them up" in err
    assert "cut off" not in out


async def test_of_many_conversations_some_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    store = tmp_path / "state" / "turnstone.db"
    await left(store, *[f"message {n}" for n in range(5)])

    _, _, err = await run(
        tmp_path, "turnstone", "--store", str(store), "--model", "practice", "-p", "help"
    )

    assert "5 conversation(s)" in err
    assert err.count("ws-") == 3
    assert "… and 2 more" in err

"""`turnstone sessions`: what it lists, finds, shows, writes and deletes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modelserver.plans import shell
from support.nodes import local_host
from support.turns import turn
from turnstone.core.host import CreateWorkstream
from turnstone.main import turnstone

LONG = "run: seq 1 30"
HOSTILE = "a \x1b]0;title\x07 word"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with two sessions: `night` with a command that was run, and a newer one."""

    async def fill() -> None:
        async with local_host(tmp_path, shell) as host:
            for name, said in (("night", LONG), ("", HOSTILE)):
                info = await host.create(CreateWorkstream(auto_approve_tools=["bash"]))
                await turn(host, info.id, said, approved=True)
                if name:
                    await host.rename(info.id, alias=name)
                    await host.close(info.id)

    asyncio.run(fill())
    [found] = tmp_path.rglob("*.db")
    return found


def run(store: Path, *words: str, piped: str = "") -> Result:
    words = (*words, "--store", str(store))
    done = CliRunner().invoke(turnstone, ["sessions", *words], input=piped)
    assert "Traceback" not in done.output and "broke where" not in done.output
    assert not set(done.output) & set("\x1b\x07")
    return done


def test_sessions_are_listed_searched_shown_written_and_deleted(
    store: Path, tmp_path: Path
) -> None:
    heads, newest, oldest = run(store, "list").stdout.splitlines()
    assert heads.split() == ["session", "updated", "messages", "state", "alias", "title"]
    assert " open " in newest and "closed  night" in oldest
    [one] = json.loads(run(store, "list", "--limit", "1", "--json").stdout)
    assert newest.startswith(one["session_id"])
    assert run(store, "list", "--after", one["session_id"]).stdout.splitlines()[1:] == [oldest]

    found = run(store, "search", "SEQ", "30").stdout
    assert found.startswith(oldest.split()[0]) and LONG in found
    assert run(store, "search", "seq", "--in", one["session_id"]).stdout == "Nothing was found.\n"
    hits = json.loads(run(store, "search", "title", "--json").stdout)
    assert HOSTILE in [hit["snippet"] for hit in hits]

    shown = run(store, "show", "night").stdout
    assert f"session    {oldest.split()[0]}\nalias      night\n" in shown
    assert f"\nyou:\n  {LONG}\n" in shown
    assert "\n  ▸ bash: seq 1 30\n    1\n    2\n" in shown and " more lines" in shown
    told = json.loads(run(store, "show", "night", "--json").stdout)
    assert [message["role"] for message in told["history"]][:3] == ["user", "assistant", "tool"]
    assert "␛]0;title" in run(store, "show", one["session_id"]).stdout

    file = tmp_path / "night.json"
    assert run(store, "export", "night", "-o", str(file)).exit_code == 0
    assert json.loads(file.read_text())["alias"] == "night"

    assert run(store, "delete", "night").exit_code == 2, "nobody was asked"
    assert run(store, "show", "night").exit_code == 0
    assert run(store, "delete", "night", "--yes").exit_code == 0
    gone = run(store, "show", "night")
    assert gone.exit_code == 1 and "There is no session 'night'" in gone.stderr


def test_a_store_without_sessions_says_so(tmp_path: Path) -> None:
    assert run(tmp_path / "t.db", "list").stdout == "There are no sessions yet.\n"
    assert run(tmp_path / "t.db", "list", "--json").stdout == "[]\n"

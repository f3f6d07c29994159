"""What somebody is told to do who is not told whether it was written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from support.postgres import PostgresServer
from support.proxy import Proxy, proxy_to
from turnstone.core.errors import Unsettled
from turnstone.core.events import MessageAccepted, WsCreated
from turnstone.core.store import WorkstreamRow
from turnstone.core.store.postgres import PostgresStore

#: The answer to a commit, on the wire; all of them are lost.
COMMITTED, ALL = b"C\0\0\0\x0bCOMMIT\0", 1_000_000

WS = "aaaa0001"
ROW = WorkstreamRow(ws_id=WS, session_id="s" * 12, created=1.0, owner="node", epoch=1)


@pytest.fixture
async def proxied(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[PostgresStore, Proxy]]:
    monkeypatch.setattr(PostgresStore, "settling", 0.3)  # a time, not a behaviour
    url = urlsplit(postgres.database())
    async with proxy_to("127.0.0.1", url.port or 0) as proxy:
        store = await PostgresStore.open(f"postgresql://tester@127.0.0.1:{proxy.port}{url.path}")
        yield store, proxy
        proxy.lose(0)
        await store.aclose()


@pytest.mark.parametrize(
    ("what", "hint"),
    [
        ("append", "under the same correlation id"),
        ("create", "See whether it is in the list"),
        ("acquire", "this node takes it over then"),
        ("erase", "Erase it again"),
    ],
)
async def test_each_is_told_what_to_do_about_its_own(
    proxied: tuple[PostgresStore, Proxy], what: str, hint: str
) -> None:
    store, proxy = proxied
    if what != "create":
        await store.create(ROW, WsCreated())
    proxy.lose(ALL, told=COMMITTED)

    with pytest.raises(Unsettled, match="is not known yet") as told:
        match what:
            case "append":
                await store.append(WS, 1, [MessageAccepted(correlation_id="c1")])
            case "create":
                await store.create(ROW, WsCreated())
            case "acquire":
                await store.acquire(WS, "node")
            case "erase":
                await store.erase(WS, 1)

    assert hint in told.value.hint

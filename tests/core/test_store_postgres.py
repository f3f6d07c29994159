"""The store on PostgreSQL where it differs: a server that goes away, answers that are lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from support.postgres import PostgresServer, postgres_server
from support.proxy import Proxy, proxy_to
from turnstone.core.errors import InvalidRequest, NotOwner, StoreError, Unsettled
from turnstone.core.events import MessageAccepted, StepStarted, TurnEnded, WsCreated
from turnstone.core.store import WorkstreamRow
from turnstone.core.store.postgres import PostgresStore

WS = "aaaa0001"

#: As it goes over the wire; the words of BEGIN hold it too.
COMMIT = b"COMMIT\0"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of this file's own, since it is stopped at times."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.database()


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = await PostgresStore.open(url)
    await made(store)
    yield store
    await store.aclose()


@pytest.fixture
async def proxy(url: str) -> AsyncIterator[Proxy]:
    async with proxy_to("127.0.0.1", urlsplit(url).port or 0) as proxy:
        yield proxy


def through(proxy: Proxy, url: str) -> str:
    return f"postgresql://tester@127.0.0.1:{proxy.port}{urlsplit(url).path}"


async def made(store: PostgresStore) -> None:
    row = WorkstreamRow(ws_id=WS, session_id="s" * 12, created=1.0, owner="node", epoch=1)
    await store.create(row, WsCreated())


def message(correlation_id: str) -> MessageAccepted:
    return MessageAccepted(message="hello", correlation_id=correlation_id)


async def kinds(store: PostgresStore) -> list[str]:
    return [record.type for record in await store.records(WS)]


async def test_a_server_that_is_away_is_told_and_used_again_when_it_is_back(
    server: PostgresServer, store: PostgresStore
) -> None:
    await store.append(WS, 1, [message("c1")])
    server.stop()
    try:
        for _ in range(2):
            with pytest.raises(StoreError, match="cannot be reached"):
                await store.append(WS, 1, [message("c2")])
        with pytest.raises(StoreError, match="cannot be reached"):
            await store.rows()
    finally:
        server.start()

    assert not (await store.append(WS, 1, [message("c3")])).duplicate
    assert await kinds(store) == ["ws_created", "message_accepted", "message_accepted"]


async def test_a_server_that_was_started_again_meanwhile_is_not_even_noticed(
    server: PostgresServer, store: PostgresStore
) -> None:
    server.stop()
    server.start()

    assert not (await store.append(WS, 1, [message("c1")])).duplicate
    assert await kinds(store) == ["ws_created", "message_accepted"]


async def test_an_append_whose_commit_was_not_answered_is_there_once_and_told_so(
    url: str, proxy: Proxy
) -> None:
    store = await PostgresStore.open(through(proxy, url))
    await made(store)
    proxy.lose(to=COMMIT)

    told = await store.append(WS, 1, [message("c1"), StepStarted()])

    assert proxy.lost == 1
    assert not told.duplicate
    assert (await store.records(WS))[1:] == told.events
    assert (await store.append(WS, 1, [message("c1")])).duplicate
    await store.aclose()


async def test_an_append_that_was_cut_off_before_its_commit_is_written_once(
    url: str, proxy: Proxy
) -> None:
    store = await PostgresStore.open(through(proxy, url))
    await made(store)
    proxy.lose(to=b"INSERT INTO record")

    told = await store.append(WS, 1, [message("c1")])

    assert proxy.lost == 1
    assert not told.duplicate
    assert await kinds(store) == ["ws_created", "message_accepted"]
    await store.aclose()


async def test_what_was_told_as_unknown_is_told_by_settling_and_stays(
    url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresStore, "settling", 0.5)  # a time, not a behaviour
    store = await PostgresStore.open(through(proxy, url))
    await made(store)
    proxy.lose(10_000, to=COMMIT)
    with pytest.raises(Unsettled, match="not known yet"):
        await store.append(WS, 1, [message("c1"), StepStarted()], {"n": 1})
    direct = await PostgresStore.open(url)
    assert (await direct.append(WS, 1, [message("c1")])).duplicate
    with pytest.raises(Unsettled):
        await store.settle(WS, 1, 1)
    proxy.lose(0)
    with pytest.raises(Unsettled):  # nothing is written behind what is not known
        await store.append(WS, 1, [TurnEnded(correlation_id="c1")])

    told = await store.settle(WS, 1, 1)

    assert [event.type for event in told] == ["message_accepted", "step_started"]
    assert (await store.append(WS, 1, [message("c1")])).duplicate
    await store.append(WS, 1, [TurnEnded(text="42", correlation_id="c1")])
    ending = await direct.ending(WS, "c1")
    assert ending is not None
    assert ending.text == "42"
    assert (await store.records(WS))[1:-1] == told
    await direct.aclose()
    await store.aclose()


async def test_an_acquire_or_an_erasure_whose_commit_was_not_answered_is_told_as_done(
    url: str, proxy: Proxy
) -> None:
    store = await PostgresStore.open(through(proxy, url))
    await made(store)
    proxy.lose(to=COMMIT)
    taken = await store.acquire(WS, "node", 1)
    proxy.lose(to=COMMIT)
    await store.erase(WS, taken.epoch)

    assert proxy.lost == 2
    assert taken.epoch == 2
    assert await store.row(WS) is None
    await store.aclose()


async def test_whoever_acquires_a_workstream_keeps_what_was_in_doubt(
    url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresStore, "settling", 0.5)
    store = await PostgresStore.open(through(proxy, url))
    await made(store)
    proxy.lose(10_000, to=COMMIT)
    with pytest.raises(StoreError, match="not known yet"):
        await store.append(WS, 1, [message("c1")])
    proxy.lose(0)
    other = await PostgresStore.open(url)
    await other.acquire(WS, "other")

    with pytest.raises(NotOwner):
        await store.settle(WS, 1, 1)

    assert await kinds(other) == ["ws_created", "message_accepted"]
    await other.aclose()
    await store.aclose()


async def test_nodes_that_start_together_make_the_tables_once(url: str) -> None:
    stores = await asyncio.gather(*(PostgresStore.open(url) for _ in range(5)))

    await made(stores[0])
    assert [len(await store.rows()) for store in stores] == [1] * 5
    for store in stores:
        await store.aclose()


async def test_what_postgres_cannot_keep_is_refused_as_a_bad_request(
    store: PostgresStore,
) -> None:
    with pytest.raises(InvalidRequest, match="NUL"):
        await store.append(WS, 1, [message("a\0b")])

    assert await kinds(store) == ["ws_created"]


async def test_a_changed_record_is_told_and_not_read(url: str, store: PostgresStore) -> None:
    await store.append(WS, 1, [message("c1")])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE record SET body = replace(convert_from(body, 'UTF8'), 'hello', 'jello')::bytea "
            "WHERE seq = 2"
        )

    with pytest.raises(StoreError, match="record 2 of workstream aaaa0001: its checksum"):
        await store.records(WS)


async def test_a_store_of_a_newer_version_is_refused(url: str) -> None:
    await (await PostgresStore.open(url)).aclose()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE turnstone_schema SET version = 99")

    with pytest.raises(StoreError, match=r"newer turnstone \(schema 99"):
        await PostgresStore.open(url)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ("postgresql://tester:s3cret@127.0.0.1:1/x", "cannot be reached"),
        ("no address at all s3cret", "is no address of a PostgreSQL database"),
    ],
)
async def test_an_address_that_is_wrong_is_told_without_its_password(
    wrong: str, match: str
) -> None:
    with pytest.raises(StoreError, match=match) as told:
        await PostgresStore.open(wrong)

    assert "s3cret" not in str(told.value)


async def test_a_database_that_is_not_there_is_named(server: PostgresServer) -> None:
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        await PostgresStore.open(f"{server.url}/nowhere")


def test_without_psycopg_it_is_said_what_to_install() -> None:
    program = (
        "import sys\n"
        "sys.modules['psycopg'] = None\n"
        "from turnstone.main import turnstone\n"
        "turnstone(['--model', 'practice', '--store-url', 'postgresql://h/d', '-p', 'hello'])\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.returncode == 1
    assert "needs psycopg" in done.stderr
    assert "Install turnstone[postgres]." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("place", "hint"),
    [
        ("postgresql://tester@127.0.0.1:{port}/nowhere", "Make it there"),
        ("postgresql://nobody_known@127.0.0.1:{port}/postgres", "Make it there"),
        ("postgresql://tester@127.0.0.1:9/postgres", "Check that the server runs"),
    ],
)
async def test_a_program_that_ends_for_it_does_not_say_that_it_tries_again(
    postgres: PostgresServer, place: str, hint: str
) -> None:
    with pytest.raises(StoreError, match="cannot be reached") as refused:
        await PostgresStore.open(place.format(port=postgres.port))

    assert hint in refused.value.hint
    assert "tried again" not in refused.value.hint

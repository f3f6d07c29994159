"""Many workstreams in one stream: one connection, one place over all, and each told in whole."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from support.servers import FULL, Served, serving
from turnstone.core.local_host import LocalHost
from turnstone.server.auth import Auth, Token
from turnstone.server.routes_events import MAX_FOLLOWED

PATIENCE = 60.0

Frame = tuple[str, dict[str, Any]]


async def new(node: Served) -> str:
    async with node.client() as client:
        ws_id: str = (await client.post("/api/workstreams/new", json={})).json()["ws_id"]
        return ws_id


async def say(node: Served, ws_id: str, message: str) -> None:
    async with node.client() as client:
        await client.post("/api/send", json={"ws_id": ws_id, "message": message})


async def frames(
    node: Served, path: str, enough: Callable[[list[Frame]], bool], **headers: str
) -> list[Frame]:
    """Frames with the place as an `EventSource` knows it behind each, until there are enough."""
    read: list[Frame] = []
    place = ""
    async with asyncio.timeout(PATIENCE), node.client() as client:
        async with client.stream("GET", path, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    place = line[4:]
                elif line.startswith("data: "):
                    read.append((place, json.loads(line[6:])))
                    if enough(read):
                        return read
                elif line.startswith(":") and enough([*read, (place, {"type": "quiet"})]):
                    return [*read, (place, {"type": "quiet"})]
    return read


def ends(read: list[Frame]) -> set[str]:
    return {frame["ws_id"] for _, frame in read if frame["type"] == "turn_ended"}


def of(read: list[Frame], ws_id: str) -> list[str]:
    return [f["type"] for _, f in read if f.get("ws_id") == ws_id and not f.get("global")]


async def test_each_workstream_is_told_in_whole_and_every_frame_names_its_own(
    node: Served,
) -> None:
    one, other = await new(node), await new(node)
    await say(node, one, "hello")
    await say(node, other, "there")
    path = f"/api/events?ws={one}@1-0&ws={other}@1-0"
    read = await frames(node, path, lambda read: len(ends(read)) == 2)
    for ws_id in (one, other):
        told = [(f["type"], f["id"]) for _, f in read if f["ws_id"] == ws_id]
        alone = await frames(node, f"/api/events?ws={ws_id}&after=1-0", lambda r: bool(ends(r)))
        behind = [(f["type"], f["id"]) for _, f in alone]
        assert told[: len(behind)] == behind
    assert re.fullmatch(rf"{one}@\d+-\d+,{other}@\d+-\d+", read[-1][0])


async def test_a_reader_that_comes_back_gets_what_it_missed_of_each_and_nothing_twice(
    node: Served,
) -> None:
    one, other = await new(node), await new(node)
    await say(node, one, "hello")
    await say(node, other, "there")
    path = f"/api/events?ws={one}@1-0&ws={other}@1-0"
    whole = await frames(node, path, lambda read: len(ends(read)) == 2)
    for cut in (2, len(whole) // 2, len(whole) - 2):
        place, ended = whole[cut][0], ends(whole[: cut + 1])

        def all_ended(read: list[Frame], before: set[str] = ended) -> bool:
            return len(ends(read) | before) == 2

        for query, header in ((path, {"last-event-id": place}), (f"{path}&after={place}", {})):
            rest = await frames(node, query, all_ended, **header)
            for ws_id in (one, other):
                seen = [f["id"] for _, f in whole[: cut + 1] + rest if f["ws_id"] == ws_id]
                wanted = [f["id"] for _, f in whole if f["ws_id"] == ws_id]
                assert seen[: len(wanted)] == wanted


async def test_no_place_counts_before_its_snapshot_is_whole(node: Served) -> None:
    one, other = await new(node), await new(node)
    await say(node, one, "hello")
    await frames(node, f"/api/events?ws={one}&after=1-0", lambda read: bool(ends(read)))
    path = f"/api/events?ws={one}&ws={other}"
    read = await frames(node, path, lambda read: read[-1][1]["type"] == "quiet")
    assert of(read, one)[:2] == ["connected", "history"]
    assert of(read, other)[0] == "connected"
    assert {place for place, frame in read if frame["type"] != "quiet"} == {""}
    assert re.fullmatch(r"\w+@\d+-\d+,\w+@\d+-\d+", read[-1][0])


async def test_what_is_not_there_or_closes_is_told_and_the_others_go_on(node: Served) -> None:
    one, other = await new(node), await new(node)
    path = f"/api/events?ws={one}&ws=ffffffff&ws={other}"
    told: list[Frame] = []
    there = asyncio.Event()

    def look(read: list[Frame]) -> bool:
        told[:] = read
        kinds = [frame["type"] for _, frame in read]
        if kinds.count("connected") == 2 and "error" in kinds:
            there.set()
        return bool(ends(read))

    reading = asyncio.create_task(frames(node, path, look))
    async with asyncio.timeout(PATIENCE):
        await there.wait()
    async with node.client() as client:
        await client.post("/api/workstreams/close", json={"ws_id": one})
    await say(node, other, "still there?")
    read = await reading
    [error] = [frame for _, frame in read if frame["type"] == "error"]
    assert (error["ws_id"], error["code"]) == ("ffffffff", "unknown_workstream")
    assert of(read, one)[-1] == "ws_closed"
    assert ends(read) == {other}


async def test_what_the_whole_node_tells_is_marked_and_has_a_place_of_its_own(
    node: Served,
) -> None:
    one = await new(node)
    there = asyncio.Event()

    def idle_again(read: list[Frame]) -> bool:
        there.set()
        return any(f.get("global") and f.get("state") == "idle" for _, f in read[1:])

    reading = asyncio.create_task(frames(node, f"/api/events?ws={one}&global=1", idle_again))
    async with asyncio.timeout(PATIENCE):
        await there.wait()
    await say(node, one, "hello")
    read = await reading
    everywhere = [f for _, f in read if f.get("global")]
    assert {f["ws_id"] for f in everywhere} == {one}
    assert "ws_state" in {f["type"] for f in everywhere}
    assert "ws_activity" not in {f["type"] for f in everywhere}
    assert re.search(r"\*@\d+-\d+", read[-1][0])
    place = next(place for place, f in read if f.get("global"))
    missed = await frames(
        node, f"/api/events?ws={one}&global=1", idle_again, **{"last-event-id": place}
    )
    assert [f["id"] for _, f in missed if f.get("global")] == [f["id"] for f in everywhere[1:]]


async def test_only_the_types_that_were_asked_for_are_sent_and_places_go_on(
    node: Served,
) -> None:
    one = await new(node)
    await say(node, one, "hello")
    for path in (f"ws={one}@1-0", f"ws={one}&after=1-0", f"ws_id={one}&after=1-0"):
        read = await frames(
            node,
            f"/api/events?{path}&types=message_accepted,turn_ended",
            lambda read: read[-1][1]["type"] == "quiet" and bool(ends(read)),
        )
        kinds = [frame["type"] for _, frame in read if frame["type"] != "quiet"]
        assert kinds == ["message_accepted", "turn_ended"]
        assert read[-1][0] >= read[-2][0]  # the place of what was left out


WRONG = [
    ("global=1&ws=", "ws: it is empty"),
    ("global=2", "global: '2' is neither"),
    ("global=0", "ws: it is missing"),
    ("ws=a@x&ws=b", "ws: an event id looks like"),
    ("ws=a&ws=b&after=12-3", "after: a place in many streams looks like"),
    ("ws=a&ws=b&after=@12-3", "after: a place in many streams looks like"),
    ("ws=a&types=nothing", "types: there is no type 'nothing'"),
    ("&".join(f"ws={n:08x}" for n in range(MAX_FOLLOWED + 1)), "ws: 65 workstreams"),
]


@pytest.mark.parametrize(("query", "told"), WRONG)
async def test_what_is_wrong_with_it_is_told_in_a_sentence(
    node: Served, query: str, told: str
) -> None:
    async with node.client() as client:
        answer = await client.get(f"/api/events?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["error"].startswith(told)


async def test_as_many_as_may_be_followed_are(node: Served) -> None:
    ids = [await new(node) for _ in range(MAX_FOLLOWED)]
    path = "/api/events?" + "&".join(f"ws={ws_id}" for ws_id in ids)
    read = await frames(node, path, lambda read: read[-1][1]["type"] == "quiet")
    assert len([1 for _, frame in read if frame["type"] == "connected"]) == MAX_FOLLOWED
    back = await frames(
        node, path, lambda read: read[-1][1]["type"] == "quiet", **{"last-event-id": read[-1][0]}
    )
    assert [frame["type"] for _, frame in back] == ["quiet"]


async def test_a_stream_ends_when_its_reader_is_signed_out(host: LocalHost) -> None:
    auth = Auth([Token(FULL)])
    async with serving(host, auth=auth, keepalive=0.1) as node:
        async with httpx2.AsyncClient(base_url=node.url, timeout=PATIENCE) as browser:
            await browser.post("/api/auth/login", json={"token": FULL})
            async with browser.stream("GET", "/api/events/global") as stream:
                out = await browser.post("/api/auth/logout-everywhere", json={})
                assert out.json() == {"status": "ok", "ended": 1}
                async with asyncio.timeout(PATIENCE):
                    async for _piece in stream.aiter_raw():
                        pass
            assert (await browser.get("/api/workstreams")).status_code == 401

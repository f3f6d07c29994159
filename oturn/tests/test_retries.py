"""A request that failed for a while is sent again: counted, after a wait, and never once begun."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver import ModelServer, Reply, die_after, error, raw, text
from oturn.errors import ModelError
from oturn.transport.base import Failed, Finished, ModelRequest, StreamItem, TextDelta
from oturn.transport.openai import OpenAITransport
from oturn.transport.retry import JITTER, RETRIED_STATUSES, RetryNotice, RetryPolicy

REQUEST = ModelRequest("m", [{"role": "user", "content": "hi"}])
#: Seconds that a test waits for what must come.
PATIENCE = 5.0


@dataclass
class Time:
    """A clock that only sleeping moves on."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


@dataclass
class Asked:
    items: list[StreamItem]
    requests: int
    waits: list[float]
    notices: list[RetryNotice]

    @property
    def error(self) -> ModelError:
        assert isinstance(self.items[-1], Failed)
        return self.items[-1].error


async def ask(*replies: Reply, policy: RetryPolicy | None = None, chance: float = 0.0) -> Asked:
    """Ask a server that gives these replies in turn, the last one for good."""
    time, notices = Time(), list[RetryNotice]()
    left = list(replies)
    with ModelServer(lambda _: left.pop(0) if len(left) > 1 else left[0]) as server:
        transport = OpenAITransport(
            server.base_url,
            "sk-secret",
            retry=policy,
            on_retry=notices.append,
            sleep=time.sleep,
            chance=lambda: chance,
            clock=time.clock,
        )
        async with asyncio.timeout(PATIENCE):
            items = [item async for item in transport.stream(REQUEST)]
        await transport.aclose()
        return Asked(items, len(server.requests), time.waits, notices)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
async def test_a_failure_that_may_pass_makes_three_requests_in_all(status: int) -> None:
    asked = await ask(error(status, "not now"))
    assert asked.requests == 3
    assert asked.waits == [0.5, 1.0]
    assert asked.error.status == status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 422, 501])
async def test_any_other_failure_makes_one_request(status: int) -> None:
    asked = await ask(error(status, "no"))
    assert (asked.requests, asked.waits) == (1, [])


async def test_the_answer_of_a_later_request_is_the_answer() -> None:
    asked = await ask(error(503, "loading"), error(500, "still"), text("hi"))
    assert asked.requests == 3
    assert "".join(i.text for i in asked.items if isinstance(i, TextDelta)) == "hi"
    assert isinstance(asked.items[-1], Finished)


async def test_each_retry_is_told_with_its_reason_and_without_the_key() -> None:
    asked = await ask(error(503, "loading for sk-secret"), text("hi"))
    (notice,) = asked.notices
    assert (notice.wait, notice.request, notice.requests) == (0.5, 2, 3)
    assert notice.error.status == 503
    assert "sk-secret" not in notice.error.message


async def test_a_hook_that_fails_does_not_stop_the_answer() -> None:
    def broken(notice: RetryNotice) -> None:
        raise LookupError("no such screen")

    left = [error(500, "not now"), text("hi")]
    time = Time()
    with ModelServer(lambda _: left.pop(0)) as server:
        transport = OpenAITransport(server.base_url, on_retry=broken, sleep=time.sleep)
        items = [item async for item in transport.stream(REQUEST)]
        await transport.aclose()
    assert isinstance(items[-1], Finished)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "soon"}, 0.5),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 +99999999999999999999"}, 0.5),
    ],
)
async def test_the_server_says_how_long_to_wait(headers: dict[str, str], wait: float) -> None:
    asked = await ask(error(429, "slow down", headers), text("hi"))
    assert asked.waits == [wait]


@pytest.mark.parametrize("told", ["3600", "inf"])
async def test_a_wait_beyond_the_limit_is_not_begun(told: str) -> None:
    asked = await ask(error(429, "slow down", {"retry-after": told}))
    assert (asked.requests, asked.waits) == (1, [])
    assert asked.error.retry_after == float(told)


async def test_a_status_that_its_caller_waits_for_itself_is_not_asked_again() -> None:
    policy = RetryPolicy(statuses=RETRIED_STATUSES - {429})
    assert (await ask(error(429, "slow down"), policy=policy)).requests == 1
    assert (await ask(error(503, "not now"), policy=policy)).requests == 3


async def test_the_limit_counts_from_the_first_request() -> None:
    slow = error(429, "slow down", {"retry-after": "40"})
    asked = await ask(slow, policy=RetryPolicy(requests=10))
    assert (asked.requests, asked.waits) == (2, [40.0])


async def test_nothing_is_asked_again_once_a_part_of_the_answer_was_handed_out() -> None:
    asked = await ask(die_after(text("Hello, you there."), 3))
    assert asked.requests == 1
    assert isinstance(asked.items[0], TextDelta)
    assert asked.error.kind == "broken"


async def test_an_error_object_before_the_first_item_counts_as_a_status() -> None:
    busy = raw({"choices": []}, {"error": {"code": 429, "message": "busy"}})
    asked = await ask(busy, text("hi"))
    assert (asked.requests, isinstance(asked.items[-1], Finished)) == (2, True)
    begun = raw({"choices": [{"delta": {"content": "a"}}]}, {"error": {"code": 429}})
    assert (await ask(begun, text("hi"))).requests == 1


async def test_a_stream_that_is_none_is_not_asked_for_again() -> None:
    assert (await ask(raw("nonsense"))).requests == 1


@contextlib.asynccontextmanager
async def dropping(times: int, first: bytes = b"") -> AsyncIterator[tuple[str, list[int]]]:
    """A server that drops its first connections, after `first`, and then answers."""
    seen: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(1)
        head = await reader.readuntil(b"\r\n\r\n")
        # A request that is not read to its end would make the close a reset, and lose the answer.
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-l"))
        await reader.readexactly(int(length.split(b":")[1]))
        if len(seen) > times:
            body = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'
            fields = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n" + fields.encode() + body)
        else:
            writer.write(first)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1", seen


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200", HEAD, HEAD + b"8\r\n: ping\n\n\r\n"])
async def test_a_connection_that_breaks_before_the_first_item_is_made_again(first: bytes) -> None:
    time = Time()
    async with dropping(2, first) as (url, seen):
        transport = OpenAITransport(url, sleep=time.sleep, chance=lambda: 0.0)
        items = [item async for item in transport.stream(REQUEST)]
        await transport.aclose()
    assert items == [TextDelta("hi"), Finished("stop")]
    assert (len(seen), time.waits) == (3, [0.5, 1.0])


async def test_a_server_that_comes_up_meanwhile_is_found() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with dropping(0) as (url, _):
            pass  # so that its port is one where nothing listens
        up: list[str] = []

        async def start(seconds: float) -> None:
            server = ModelServer(lambda _: text("hi"), port=int(url.split(":")[2].split("/")[0]))
            up.append(stack.enter_context(server).base_url)

        transport = OpenAITransport(url, sleep=start)
        items = [item async for item in transport.stream(REQUEST)]
        await transport.aclose()
    assert up == [url]
    assert isinstance(items[-1], Finished)


async def test_a_cancel_during_the_wait_stops_at_once() -> None:
    waiting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    with ModelServer(lambda _: error(500, "not now")) as server:
        transport = OpenAITransport(server.base_url, sleep=sleep)

        async def read() -> None:
            async for _ in transport.stream(REQUEST):
                pass

        reader = asyncio.create_task(read())
        await asyncio.wait_for(waiting.wait(), PATIENCE)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(reader, PATIENCE)
        await transport.aclose()
        assert len(server.requests) == 1


@given(
    st.integers(1, 50),
    st.floats(0, 100),
    st.floats(0, 1),
    st.none() | st.floats(min_value=0, allow_nan=False),
)
def test_a_wait_is_never_longer_than_the_limit_and_jitter_only_shortens_it(
    sent: int, elapsed: float, chance: float, told: float | None
) -> None:
    policy = RetryPolicy(requests=100)
    error = ModelError("server", "no", 503, told)
    wait = policy.wait(error, lost=False, sent=sent, elapsed=elapsed, chance=chance)
    if wait is not None:
        assert elapsed + wait <= policy.total
        if told is None:
            assert policy.first_wait * (1 - JITTER) <= wait <= policy.longest_wait
        else:
            assert wait == told

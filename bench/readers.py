"""Readers of a node's streams: one, a hundred, and thousands that only wait.

    python bench/readers.py [CHUNKS [IDLE]]

Model, node and readers are processes of their own. The stream of an answer through the node to
one reader stands beside a bare read of the model's own, by the same HTTP client. Then to 100
readers. Then 100 readers of answers of 50 tokens a second while thousands of others wait: how
long a token takes from the model to a reader, beside bare reads of the model at the same time.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import sys
import time
from pathlib import Path

import httpx2

from support import report
from support.modelprocess import model_process
from support.nodeprocess import many_files, node_process

CHUNKS, IDLE = 20_000, 5_000
ROUNDS = 3
READERS = 100
WORKSTREAMS = 10  # that are at work while others wait
TOKENS, PAUSE = 300, 20.0
PATIENCE = 300.0
QUIET = 6.0  # longer than a keep-alive is away

#: A token of the model: nanoseconds. Nothing else in a stream is so long and ends so.
_STAMP = re.compile(rb'(?<=[" ])([0-9]{12,}) ')


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def resident(pid: int) -> int:
    """Bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu(pid: int) -> float:
    """Seconds of it that this process has used, its threads and the kernel's part included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def created(client: httpx2.AsyncClient, node: str) -> str:
    made = await client.post(f"{node}/api/workstreams/new", json={})
    return str(made.raise_for_status().json()["ws_id"])


async def asked(client: httpx2.AsyncClient, node: str, ws_id: str) -> None:
    said = {"ws_id": ws_id, "message": "Go on."}
    (await client.post(f"{node}/api/send", json=said)).raise_for_status()


async def bare(client: httpx2.AsyncClient, model: str) -> list[str]:
    """The lines with text of one answer, read from the model itself."""
    question = {"model": "bench", "stream": True, "messages": []}
    async with client.stream("POST", f"{model}/chat/completions", json=question) as stream:
        return [line async for line in stream.aiter_lines() if "token " in line]


async def through(
    client: httpx2.AsyncClient, node: str, ws_id: str, begin: asyncio.Event | None = None
) -> list[str]:
    """The same of one turn, read from the node; `begin` is set when the reader is there."""
    found = []
    async with client.stream("GET", f"{node}/api/events", params={"ws": ws_id}) as stream:
        async for line in stream.aiter_lines():
            if begin is not None:
                begin.set()
            if '"type":"content"' in line:
                found.append(line)
            elif '"type":"turn_ended"' in line:
                return found
    raise SystemExit("The node ended a stream before the turn was over.")


async def one_reader(model: str, node: str, pid: int, chunks: int) -> None:
    """Each kind in turn, so that both meet the same machine."""
    limits = httpx2.Limits(max_connections=None)
    times: dict[str, list[float]] = {"bare": [], "node": []}
    used: dict[str, list[float]] = {"bare": [], "node": []}
    async with httpx2.AsyncClient(timeout=PATIENCE, limits=limits) as client:
        await bare(client, model)  # what is loaded once
        for _ in range(ROUNDS):
            begun, busy = time.perf_counter(), time.process_time()
            lines = await bare(client, model)
            times["bare"].append(time.perf_counter() - begun)
            used["bare"].append(time.process_time() - busy)
            assert len(lines) == chunks, len(lines)

            ws_id, there = await created(client, node), asyncio.Event()
            reading = asyncio.create_task(through(client, node, ws_id, there))
            await there.wait()
            begun, busy = time.perf_counter(), cpu(pid)
            await asked(client, node, ws_id)
            lines = await reading
            times["node"].append(time.perf_counter() - begun)
            used["node"].append(cpu(pid) - busy)
            told = sum(line.count("token ") for line in lines)
            assert told == chunks, f"{told} of {chunks} chunks arrived"
    alone, with_node = min(times["bare"]), min(times["node"])
    report.line(f"{chunks} chunks to one reader, best of {ROUNDS}", with_node, "s")
    report.line(
        "  as a multiple of a bare read", with_node / alone, "", 1.3, f"bare: {alone:.2f} s"
    )
    each, bare_each = (min(used[kind]) / chunks * 1e6 for kind in ("node", "bare"))
    told = f"all of a bare reader: {bare_each:.1f} µs"
    report.line("  CPU time of the node for a chunk", each, "µs", beside=told)


class Reader(asyncio.Protocol):
    """One that costs this process next to nothing: it counts tokens, or keeps what comes."""

    def __init__(self, request: str, *, keeps: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.began: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.tokens = 0
        self.pieces: list[tuple[int, bytes]] = []
        self._request, self._keeps, self._tail = request.encode(), keeps, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.ended.done():
            return
        whole = self._tail + data
        # The ending has the whole text again.
        text = whole.partition(b'"turn_ended"')[0]
        if self._keeps:
            self.pieces.append((time.monotonic_ns(), text[len(self._tail) :]))
        if not self.began.done():
            assert data.startswith(b"HTTP/1.1 200"), data[:100]
            self.began.set_result(None)
        self.tokens += text.count(b"token ") - self._tail.count(b"token ")
        if text != whole or b"[DONE]" in whole:
            self.ended.set_result(None)
        self._tail = whole[-12:]

    def ages(self) -> list[float]:
        """Milliseconds that each token was on its way."""
        return [
            (at - int(stamp)) / 1e6 for at, data in self.pieces for stamp in _STAMP.findall(data)
        ]


async def reading(base: str, path: str, *, body: str = "", keeps: bool = False) -> Reader:
    """A reader that has been given the beginning of its stream."""
    host, _, port = base.removeprefix("http://").partition("/")[0].partition(":")
    head = f"Host: {host}:{port}\r\nContent-Length: {len(body)}\r\n"
    request = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\n{head}\r\n{body}"
    reader = Reader(request, keeps=keeps)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: reader, host, int(port))
    await reader.began
    return reader


def active(ws_id: str) -> str:
    return f"/api/events?ws={ws_id}&types=content,turn_ended"


async def hundred_readers(node: str, pid: int, chunks: int) -> None:
    async with httpx2.AsyncClient(timeout=PATIENCE) as client:
        ws_id = await created(client, node)
        readers = [await reading(node, active(ws_id)) for _ in range(READERS)]
        begun, busy = time.perf_counter(), cpu(pid)
        await asked(client, node, ws_id)
        await asyncio.wait({one.ended for one in readers}, timeout=PATIENCE)
    whole = sum(one.tokens == chunks for one in readers)
    print(f"{whole} of {READERS} readers were given all {chunks} chunks")
    report.line("  until the last of them had", time.perf_counter() - begun, "s")
    report.line("  CPU time of the node for that", cpu(pid) - busy, "s")


async def idle_and_active(model: str, node: str, pid: int, idle: int) -> None:
    question = '{"model": "bench", "stream": true, "messages": []}'
    async with httpx2.AsyncClient(timeout=PATIENCE) as client:
        quiet = [await created(client, node) for _ in range(50)]
        busy = [await created(client, node) for _ in range(WORKSTREAMS)]
        there = asyncio.Event()
        first = asyncio.create_task(through(client, node, quiet[0], there))
        await there.wait()
        await asked(client, node, quiet[0])  # what is loaded once
        await first
        before = resident(pid)
        waiting = [
            await reading(node, f"/api/events?ws={quiet[n % len(quiet)]}") for n in range(idle)
        ]
        each = (resident(pid) - before) / idle / 1024
        used = cpu(pid)
        await asyncio.sleep(QUIET)
        waited = (cpu(pid) - used) / QUIET
        readers = [
            await reading(node, active(busy[n % WORKSTREAMS]), keeps=True) for n in range(READERS)
        ]
        for ws_id in busy:
            await asked(client, node, ws_id)
        bare = [
            await reading(model, "/v1/chat/completions", body=question, keeps=True)
            for _ in range(WORKSTREAMS)
        ]
        used = cpu(pid)
        await asyncio.wait({one.ended for one in [*readers, *bare]}, timeout=PATIENCE)
        used = cpu(pid) - used
    alone = [age for one in bare for age in one.ages()]
    found = [age for one in readers for age in one.ages()]
    whole = sum(len(one.ages()) == TOKENS for one in readers)
    print(f"{len(waiting)} readers wait, and {whole} of {READERS} were given all {TOKENS} tokens")
    told = f"bare: {statistics.median(alone):.1f} and {p99(alone):.1f} ms"
    report.line("  a token on its way, median", statistics.median(found), "ms", beside=told)
    report.line("  99 of 100", p99(found), "ms")
    report.line("  added by the node, 99 of 100", p99(found) - p99(alone), "ms", 50)
    told = f"and {100 * waited:.0f} % of a core while all wait"
    report.line("  CPU time of the node for all tokens", used, "s", beside=told)
    report.line("  resident memory of the node per reader that waits", each, "KiB", 30)


def main() -> None:
    chunks = int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS
    idle = int(sys.argv[2]) if len(sys.argv) > 2 else IDLE
    many_files()
    report.machine()
    with report.folder() as folder:
        with (
            model_process(chunks, 0.0) as model,
            node_process(folder / "many chunks", model) as (node, pid),
        ):
            asyncio.run(one_reader(model, node, pid, chunks))
            asyncio.run(hundred_readers(node, pid, chunks))
        with (
            model_process(TOKENS, PAUSE, "stamped") as model,
            node_process(folder / "many readers", model) as (node, pid),
        ):
            asyncio.run(idle_and_active(model, node, pid, idle))


if __name__ == "__main__":
    main()

"""Spans that reach a collector over OTLP, from a server that was told where it is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from modelserver.plans import shell
from support.hosts import said
from support.nodes import local_node
from support.processes import server
from support.servers import FULL
from turnstone.core.errors import ConfigurationError
from turnstone.core.host import CreateWorkstream
from turnstone.core.masking import Masking
from turnstone.core.spans import TurnSpans
from turnstone.server.traces import Traces, check_installed, traces_url

PATIENCE = 60.0


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, asyncio.Queue[ExportTraceServiceRequest]]]:
    """What takes spans over HTTP, and its address."""
    heard: asyncio.Queue[ExportTraceServiceRequest] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length:")[2].split()[0])
        body = await reader.readexactly(size)
        if "post /v1/traces" in head:
            heard.put_nowait(ExportTraceServiceRequest.FromString(body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    serving = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with serving:
        yield f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}", heard


async def test_a_server_that_stops_has_sent_the_spans_of_its_turns(tmp_path: Path) -> None:
    async with collector() as (url, heard):
        settings = tmp_path / "config.toml"
        settings.write_text(f'[traces]\nendpoint = "{url}"\n[model]\nname = "practice"\n')
        async with server(tmp_path, "--config", str(settings), program="turnstone up") as up:
            host = up.client()
            ws = await host.create(CreateWorkstream())
            await said(host, ws.id, "hello to nobody")
            await host.aclose()
            assert await up.terminate() == 0
        async with asyncio.timeout(PATIENCE):
            request = await heard.get()
    [resource] = request.resource_spans
    assert any(a.value.string_value == "turnstone" for a in resource.resource.attributes)
    spans = {span.name.split()[0]: span for scope in resource.scope_spans for span in scope.spans}
    assert spans.keys() == {"invoke_agent", "chat"}
    assert spans["chat"].parent_span_id == spans["invoke_agent"].span_id
    assert b"hello to nobody" not in request.SerializeToString()


async def test_spans_are_those_of_the_conventions(tmp_path: Path) -> None:
    kept = InMemorySpanExporter()
    traces = Traces(SimpleSpanProcessor(kept), "node-1")
    async with local_node(tmp_path, shell, auto_approve=True) as node:
        node.host.on_record = TurnSpans(traces, Masking([FULL]), contents=True).saw
        ws = await node.host.create(CreateWorkstream())
        await said(node.host, ws.id, "run: false")
    spans = {span.name.split()[0]: span for span in kept.get_finished_spans()}
    assert spans.keys() == {"invoke_agent", "chat", "execute_tool"}
    tool, agent = spans["execute_tool"], spans["invoke_agent"]
    assert tool.parent is not None
    assert agent.context is not None
    assert tool.parent.span_id == agent.context.span_id
    assert (tool.attributes or {})["gen_ai.tool.call.arguments"] == '{"command": "false"}'
    assert (agent.attributes or {})["gen_ai.operation.name"] == "invoke_agent"
    assert spans["chat"].kind.name == "CLIENT"
    assert tool.start_time is not None
    assert agent.start_time is not None
    assert agent.start_time < tool.start_time
    await traces.aclose()


async def test_a_collector_that_is_not_there_holds_up_nothing() -> None:
    traces = Traces("http://127.0.0.1:9", "node-1")
    for n in range(50):
        traces.begin(f"s{n}", "internal", 1.0, {}, None).end(2.0, {}, "failed")
    async with asyncio.timeout(PATIENCE / 2):
        await traces.aclose()


def test_without_the_extra_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_installed()
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"turnstone\[otel\]"):
        check_installed()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
        ("https://host/otlp", "https://host/otlp/v1/traces"),
        ("https://host/v1/traces", "https://host/v1/traces"),
    ],
)
def test_the_address_may_be_a_base_or_the_whole(given: str, url: str) -> None:
    assert traces_url(given) == url

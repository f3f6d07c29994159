"""`/metrics`: the contract's names, values that others can rely on, and labels that are bounded."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelserver.plans import shell
from support.nodes import local_node
from support.queues import MemoryQueue, send, take_shared
from support.servers import FULL, READ, serving
from turnstone.api.endpoints import ENDPOINTS
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, SendMessage, WorkstreamInfo
from turnstone.core.local_host import LocalHost
from turnstone.core.metrics import (
    FAMILIES,
    NAMES_MAX,
    WORKSTREAMS_MAX,
    Metrics,
    NodeFigures,
    Spread,
)
from turnstone.mq.errors import QueueUnavailable
from turnstone.mq.figures import Figures
from turnstone.mq.inspect import QueueView
from turnstone.mq.inspect_memory import MemoryInspector
from turnstone.mq.metrics import QueueFigures

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

CONTRACT = """turnstone_build_info turnstone_uptime_seconds turnstone_workstreams_active_total
    turnstone_workstreams_by_state turnstone_http_requests_total
    turnstone_http_request_duration_seconds turnstone_messages_sent_total turnstone_tokens_total
    turnstone_tool_calls_total turnstone_errors_total turnstone_context_window_used_ratio
    turnstone_workstream_info turnstone_workstream_prompt_tokens_total
    turnstone_workstream_completion_tokens_total turnstone_workstream_messages_total
    turnstone_workstream_tool_calls_total turnstone_workstream_context_ratio""".split()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def samples_of(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def value(text: str, name: str, /, **labels: str) -> float:
    return samples_of(text)[name, frozenset(labels.items())]


def test_the_page_has_every_metric_with_its_type_labels_and_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [
        (one.name, one.kind, ", ".join(f"`{label}`" for label in one.labels), one.meaning)
        for one in FAMILIES
    ]
    assert [one.name for one in FAMILIES[: len(CONTRACT)]] == CONTRACT


async def test_a_turn_is_in_the_figures_of_its_node(tmp_path: Path) -> None:
    async with local_node(tmp_path, shell) as node:
        metrics, figures = Metrics(), NodeFigures()
        node.host.on_record = figures.saw
        metrics.add(figures.samples)
        async with serving(node.host, metrics=metrics) as served:
            info = await node.host.create(CreateWorkstream(name='a "name"', auto_approve=True))
            await node.host.send(SendMessage(ws_id=info.id, message="hello", correlation_id="c1"))
            async for event in node.host.follow(info.id):
                if isinstance(event, ev.TurnEnded):
                    break
            async with httpx2.AsyncClient() as client:
                await client.get(f"{served.url}/no/such/path", headers=bearer(READ))
                found = await client.get(f"{served.url}/metrics", headers=bearer(READ))

    assert found.status_code == 200
    assert found.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = found.text
    assert value(text, "turnstone_messages_sent_total") == 1
    assert value(text, "turnstone_tokens_total", type="completion", direction="completion") > 0
    assert value(text, "turnstone_workstreams_active_total") == 1
    of = {"ws_id": info.id, "name": 'a "name"'}
    assert value(text, "turnstone_workstream_messages_total", **of) == 1
    assert value(text, "turnstone_workstream_info", **of, session_id=info.session_id) == 1
    lost = {"method": "GET", "endpoint": "other", "status_code": "404"}
    assert value(text, "turnstone_http_requests_total", **lost) == 1
    took = "turnstone_http_request_duration_seconds"
    assert value(text, f"{took}_count", method="GET", endpoint="other") == 1
    assert value(text, f"{took}_bucket", method="GET", endpoint="other", le="+Inf") == 1


async def test_a_scrape_has_the_labels_of_the_table_and_no_more(
    host: LocalHost, tmp_path: Path
) -> None:
    metrics, figures = Metrics(), NodeFigures()
    host.on_record = figures.saw
    metrics.add(figures.samples)
    async with serving(host, metrics=metrics) as served, served.client() as client:
        for n in range(WORKSTREAMS_MAX + 3):
            ws = await host.create(CreateWorkstream(name=f"n{n}"))
            await client.post("/api/send", json={"ws_id": ws.id, "message": "hello"})
            await client.get(f"/no/such/path/{n}")
            await client.request(f"VERB{n}", "/api/workstreams")
        text = (await client.get("/metrics")).text

    table = {one.name: one for one in FAMILIES}
    seen: dict[str, set[str]] = defaultdict(set)
    rows = {row.path for row in ENDPOINTS} | {"other"}
    for name, labels in samples_of(text):
        base = re.sub("_(bucket|sum|count)$", "", name) if name not in table else name
        given = dict(labels)
        given.pop("le", None)
        assert set(given) == set(table[base].labels), name
        for label, said in given.items():
            seen[label].add(said)
    assert seen["endpoint"] <= rows
    assert seen["method"] <= {"GET", "POST", "other"}
    assert len(seen["ws_id"]) == WORKSTREAMS_MAX
    assert seen["type"] == seen["direction"] == {"prompt", "completion"}


async def test_how_long_a_stream_lived_is_not_among_the_times_of_requests(
    host: LocalHost,
) -> None:
    where = {"method": "GET", "endpoint": "/api/events/global"}
    async with serving(host, metrics=Metrics()) as served, served.client() as client:
        async with client.stream("GET", "/api/events/global") as stream:
            chunks = stream.aiter_raw()
            await anext(chunks)
            during = (await client.get("/metrics")).text
        async with asyncio.timeout(20):
            while value(after := (await client.get("/metrics")).text, "turnstone_http_streams"):
                await asyncio.sleep(0.01)
    assert value(during, "turnstone_http_streams") == 1
    assert value(after, "turnstone_http_requests_total", **where, status_code="200") == 1
    took = "turnstone_http_request_duration_seconds_count"
    assert (took, frozenset(where.items())) not in samples_of(after)
    assert value(after, took, method="GET", endpoint="/metrics") > 0


def test_each_query_of_the_dashboard_is_of_metrics_and_labels_that_there_are() -> None:
    board = json.loads((PAGE.parent / "grafana" / "turnstone.json").read_text())
    shown = [panel for panel in board["panels"] if panel["type"] != "row"]
    queries = [target["expr"] for panel in shown for target in panel["targets"]]
    named: dict[str, set[str]] = defaultdict(set)  # labels that may be used, by series
    for one in FAMILIES:
        ends = ("_bucket", "_sum", "_count") if one.kind == "histogram" else ("",)
        for end in ends:
            named[one.name + end] = {*one.labels, "instance", "le"}
    used: set[str] = set()
    for query in queries:
        series = set(re.findall(r"\bturnstone_\w+", query))
        assert series, query
        assert series <= named.keys(), query
        used |= series
        known = set.union(*(named[name] for name in series))
        matched = re.findall(r"(\w+)\s*=~?", query)
        grouped = [part for by in re.findall(r"\bby \((.*?)\)", query) for part in by.split(", ")]
        assert {*matched, *grouped} <= known, query
        assert query.count("(") == query.count(")"), query
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    # Whatever a node shows is on the board.
    assert {re.sub("_bucket$", "", name) for name in used} == {one.name for one in FAMILIES}


@pytest.mark.parametrize("public", [False, True])
async def test_figures_need_a_token_unless_they_are_public(tmp_path: Path, public: bool) -> None:
    async with (
        local_node(tmp_path, shell) as node,
        serving(node.host, public=("metrics",) if public else ()) as served,
        httpx2.AsyncClient() as client,
    ):
        bare = await client.get(f"{served.url}/metrics")
        with_token = await client.get(f"{served.url}/metrics", headers=bearer(FULL))
        listed = await client.get(f"{served.url}/api/workstreams")
    assert (bare.status_code, with_token.status_code) == (200 if public else 401, 200)
    assert listed.status_code == 401


def info_of(ws_id: str) -> WorkstreamInfo:
    return WorkstreamInfo(id=ws_id, name=ws_id, state="idle", session_id="s")


async def test_no_label_has_more_values_than_its_bound() -> None:
    figures = NodeFigures()
    for n in range(NAMES_MAX + 50):
        figures.saw(ev.ToolFinished(name=f"tool{n}"), info_of(f"w{n}"))
    found: Any = await figures.samples()

    tools = found["turnstone_tool_calls_total"]
    assert len(tools) == NAMES_MAX + 1
    assert tools["other",] == 50
    assert len(found["turnstone_workstream_info"]) == WORKSTREAMS_MAX
    last = {f"w{n}" for n in range(NAMES_MAX + 50 - WORKSTREAMS_MAX, NAMES_MAX + 50)}
    of_one = [name for name in found if name.startswith("turnstone_workstream_")]
    assert all({labels[0] for labels in found[name]} == last for name in of_one)
    figures.saw(ev.WsClosed(), info_of(f"w{NAMES_MAX + 49}"))
    assert len((await figures.samples())["turnstone_workstream_info"]) == WORKSTREAMS_MAX - 1


async def test_a_metric_that_is_not_in_the_table_is_a_mistake() -> None:
    async def source() -> Any:
        return {"turnstone_moon_phase": {(): 1}}

    metrics = Metrics()
    metrics.add(source)
    with pytest.raises(ValueError, match="turnstone_moon_phase"):
        await metrics.text()


def test_a_histogram_counts_each_value_in_all_buckets_above_it() -> None:
    spread = Spread((1.0, 2.0))
    for took in (0.5, 1.0, 1.5, 9.0):
        spread.add(took)
    assert spread.buckets() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert spread.total == 12.0


async def test_the_queue_is_in_the_figures_by_kind_of_list() -> None:
    queue, metrics, made = MemoryQueue(), Metrics(), Figures(claimed=3, reconnects=1)
    node = await queue.node("a")
    for n in range(3):
        await queue.push(send(f"c{n}"), "" if n else "somebody")
    await queue.push(send("c9", requires=["arm"]))
    await take_shared(node, 2)
    await queue.push(send("new", timestamp=queue.clock.now() - 60))
    made.waits.add(0.2)
    metrics.add(QueueFigures(made, MemoryInspector(queue.broker)).samples)

    text = (await metrics.text()).decode()

    depth = "turnstone_queue_depth"
    kinds = ("shared", "directed", "staged", "claimed", "aside")
    assert [value(text, depth, list=kind) for kind in kinds] == [1, 1, 1, 2, 0]
    assert value(text, "turnstone_queue_oldest_seconds") == 60
    assert value(text, "turnstone_queue_claimed_total") == 3
    assert value(text, "turnstone_queue_turn_wait_seconds_bucket", le="0.5") == 1
    assert value(text, "turnstone_queue_up") == 1


class Away(MemoryInspector):
    async def view(self) -> QueueView:
        raise QueueUnavailable("Redis is away.")


async def test_figures_are_shown_while_redis_is_away() -> None:
    metrics = Metrics()
    metrics.add(QueueFigures(Figures(done=2), Away(MemoryQueue().broker)).samples)
    text = (await metrics.text()).decode()
    assert (value(text, "turnstone_queue_up"), value(text, "turnstone_queue_done_total")) == (0, 2)
    assert "turnstone_queue_depth" not in text

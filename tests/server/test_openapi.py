"""The OpenAPI document says what the node does: programs that know only it find no surprise.

Some 40 s; `long` asks thousands of times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema  # type: ignore[import-untyped]  # it has no stubs in the lock
import pytest
import schemathesis
import schemathesis.checks
from hypothesis import HealthCheck

from modelserver.plans import echo
from support.crashing.harness import size
from support.nodes import local_node
from support.servers import FULL, Served, serving
from turnstone.api.endpoints import ENDPOINTS
from turnstone.api.openapi import document, statuses

#: Calls of each operation, in each mode; and orders of calls of one workstream.
CALLS = {"default": (3, 10), "ci": (3, 10), "long": (166, 400)}

#: What makes something, where chance makes nothing; what a link says of it stays.
MAKES: dict[str, dict[str, Any]] = {
    "new": {},
    "send": {"message": "say this"},
    "set_timer": {"message": "say that", "not_before": 4e9},
    "remember": {"key": "a_key", "value": "a value"},
}

#: What is made apart from workstreams. One machine for all would begin with these alone: a
#: `ws_id` that a request may name looks to it like one that somebody else has to make first.
APART = tuple(row.name for row in ENDPOINTS if row.path.startswith(("/api/timers", "/api/memor")))

#: Requests of one order: what an answer names is gone on with, by the links of the document.
STEPS = {"default": 10, "ci": 10, "long": 25}

#: They are streams (no end), or sign this client out, or are asked elsewhere.
LEFT_OUT = ("events", "events_global", "logout_everywhere")

PATIENCE = 60.0


def test_the_document_is_sound_and_has_every_row() -> None:
    told = document()
    operations = {
        operation["operationId"]: operation
        for methods in told["paths"].values()
        for operation in methods.values()
    }
    assert operations.keys() == {row.name for row in ENDPOINTS}
    for schema in told["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for row in ENDPOINTS:
        assert operations[row.name]["responses"].keys() == {str(s) for s in statuses(row)}
        assert operations[row.name]["x-role"] == row.role


async def test_it_is_served_to_who_may_read_and_the_page_names_every_path(node: Served) -> None:
    async with node.client() as client, node.client(None) as stranger:
        told = await client.get("/openapi.json")
        page = await client.get("/docs")
        again = await client.get("/openapi.json", headers={"if-none-match": told.headers["etag"]})
        assert (await stranger.get("/openapi.json")).status_code == 401
        assert (await stranger.get("/docs")).status_code == 401
    assert told.json() == json.loads(json.dumps(document()))
    assert again.status_code == 304
    assert "<script" not in page.text
    for row in ENDPOINTS:
        assert row.path in page.text


async def test_an_answer_is_what_its_schema_says(node: Served) -> None:
    told = document()
    async with node.client() as client:
        for row in ENDPOINTS:
            if row.method != "GET" or row.reply is None or any(q.required for q in row.query):
                continue
            answer = await client.get(row.path)
            schema = told["paths"][row.path]["get"]["responses"]["200"]["content"]
            whole = schema["application/json"]["schema"] | {"components": told["components"]}
            jsonschema.validate(answer.json(), whole)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node in a thread of its own: what asks it here waits for its answers."""
    folder: Path = tmp_path_factory.mktemp("node")
    found: list[str] = []
    ready, done = threading.Event(), threading.Event()

    async def run() -> None:
        async with local_node(folder, echo) as inner, serving(inner.host) as served:
            found.append(served.url)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert ready.wait(PATIENCE)
    yield found[0]
    done.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def checks() -> list[Any]:
    schemathesis.checks.load_all_checks()
    names = (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "allow_header_conformance",
    )
    return [schemathesis.checks.CHECKS.get_one(name) for name in names]


def told_of(url: str, *without: str) -> Any:
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(document())))
    schema.config.update(base_url=url)
    return schema.exclude(operation_id=[*LEFT_OUT, *without])


def operation_of(case: Any) -> str:
    return str(case.operation.definition.raw["operationId"])


def links_of(name: str) -> set[str]:
    """The requests that go on from an answer of this one."""
    row = next(row for row in ENDPOINTS if row.name == name)
    return set(document()["paths"][row.path][row.method.lower()]["responses"]["200"]["links"])


def bounds(examples: int, **more: Any) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        **more,
    )


AS_OWNER = {"Authorization": f"Bearer {FULL}"}


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_whatever_is_asked_gets_a_documented_answer(url: str, mode: Any) -> None:
    examples, _ = CALLS[size()]
    answered: set[str] = set()
    for found in told_of(url).get_all_operations():
        operation = found.ok()

        @bounds(examples)
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            case.call_and_validate(headers=AS_OWNER, checks=checks(), timeout=PATIENCE)
            answered.add(case.path)

        with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing of it can be wrong
            ask()
    assert len(answered) > 20


@pytest.mark.parametrize(
    ("without", "makers", "least"),
    [
        (APART, ("new", "send", "fork"), 3),
        ([row.name for row in ENDPOINTS if row.name not in APART], ("set_timer", "remember"), 1),
    ],
    ids=["workstreams", "timers and memories"],
)
def test_whatever_is_asked_of_what_was_made_one_after_the_other_gets_a_documented_answer(
    url: str, without: list[str], makers: tuple[str, ...], least: int
) -> None:
    done: Counter[str] = Counter()

    class Life(told_of(url, *without).as_state_machine()):  # type: ignore[misc]  # made at run time
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": AS_OWNER, "timeout": PATIENCE}

        def before_call(self, case: Any) -> None:
            name = operation_of(case)
            if name in MAKES:
                linked = case.body.get("ws_id", "") if isinstance(case.body, dict) else ""
                case.body = MAKES[name] | ({"ws_id": linked} if name == "send" else {})

        def validate_response(self, response: Any, case: Any, **kwargs: Any) -> None:
            case.validate_response(response, checks=checks())
            if response.status_code == 200:
                done[operation_of(case)] += 1

    _, orders = CALLS[size()]
    Life.run(settings=bounds(orders, stateful_step_count=STEPS[size()]))
    went_on = done.keys() & {link for maker in makers for link in links_of(maker)}
    assert len(went_on) >= least, done

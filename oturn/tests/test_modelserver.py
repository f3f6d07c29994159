"""The scripted model server itself: what it serves, and its named plans."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from modelserver import ModelServer, call, calls, text
from modelserver.plans import PLANS, echo, logs, shell

TESTS = Path(__file__).parent


def user(words: str) -> dict[str, Any]:
    return {"role": "user", "content": words}


def after(*results: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [user("which service failed first, and why?")]
    for number, result in enumerate(results):
        messages.append({"role": "tool", "tool_call_id": str(number), "content": result})
    return {"messages": messages}


def test_echo_answers_with_the_words_of_the_user_without_the_header() -> None:
    assert echo({"messages": [user("hi")]}).text == "hi"
    assert echo({"messages": [user("From: Ann\nDate: now\n\nhello\n\nyou")]}).text == "hello\n\nyou"


def test_shell_runs_a_command_and_answers_with_its_output() -> None:
    asked = shell({"messages": [user("run: echo hi")]})
    assert asked.calls == (call("bash", command="echo hi"),)
    told = {
        "messages": [user("run: echo hi"), {"role": "tool", "tool_call_id": "x", "content": "hi\n"}]
    }
    assert shell(told).text == "hi\n"
    assert shell({"messages": [user("hello")]}).text == "hello"


HITS = """\
logs/web.log:310:2026-03-01T10:00:09Z ERROR upstream payments is away
logs/payments.log:120:2026-03-01T10:00:02Z ERROR no connection to db-1: too many clients
"""
EXCERPT = """\
   119\t2026-03-01T10:00:01Z WARN pool is full
   120\t2026-03-01T10:00:02Z ERROR no connection to db-1: too many clients
"""


def test_logs_searches_then_reads_around_the_earliest_hit_then_answers_from_it() -> None:
    assert logs(after()).calls == (call("search", query="ERROR", path="."),)
    assert logs(after(HITS)).calls == (
        call("read_file", path="logs/payments.log", offset=115, limit=20),
    )
    answer = logs(after(HITS, EXCERPT)).text
    assert answer == (
        "The service payments failed first, at 2026-03-01T10:00:02Z. Cause: "
        "2026-03-01T10:00:02Z ERROR no connection to db-1: too many clients"
    )


def test_logs_says_so_when_the_tools_return_nothing_of_use() -> None:
    assert "found no line" in logs(after("nothing")).text
    assert "did not show" in logs(after(HITS, "another file")).text


def test_an_answer_without_a_stream_is_one_object() -> None:
    with ModelServer(lambda _: calls(call("f", a=1), text="hm")) as server:
        body = {"messages": [user("hi")]}
        answer = httpx2.post(f"{server.base_url}/chat/completions", json=body).json()
    message = answer["choices"][0]["message"]
    assert message["content"] == "hm"
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert answer["usage"]["total_tokens"] > 0


def test_a_plan_that_fails_is_told_to_the_client() -> None:
    def broken(body: dict[str, Any]) -> Any:
        raise LookupError("no such answer")

    with ModelServer(broken) as server:
        answer = httpx2.post(f"{server.base_url}/chat/completions", json={})
    assert answer.status_code == 500
    assert "no such answer" in answer.text


def test_two_servers_run_side_by_side() -> None:
    with ModelServer(lambda _: text("a")) as one, ModelServer(lambda _: text("b")) as other:
        assert one.base_url != other.base_url
        for server in (one, other):
            assert httpx2.get(f"{server.base_url}/models").status_code == 200


@pytest.mark.parametrize("plan", sorted(PLANS))
def test_the_server_runs_as_a_program_and_prints_its_url(plan: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "modelserver", "--plan", plan],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    try:
        assert program.stdout is not None
        url = program.stdout.readline().strip()
        assert httpx2.get(f"{url}/models").json()["data"][0]["id"] == "scripted-model"
    finally:
        program.terminate()
        assert program.wait(10) == 0
        if program.stdout is not None:
            program.stdout.close()

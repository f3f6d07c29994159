"""Programs as users of oturn 0.1 wrote them, each in a process of its own, against a server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from modelserver import ModelServer, Reply, call, calls, text

PROGRAMS = Path(__file__).parent / "programs"
#: Seconds that a program gets; it needs about two.
PATIENCE = 40


def with_a_call(name: str, **arguments: Any) -> Any:
    """A plan that calls the tool once for each input, and then answers."""

    def plan(body: dict[str, Any]) -> Reply:
        if body["messages"][-1]["role"] == "tool":
            return text("Done.", usage={"total_tokens": 12})
        return calls(call(name, **arguments))

    return plan


def run(name: str, server: ModelServer, folder: Path, said: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAMS / name), server.base_url],
        cwd=folder,
        input=said,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_a_loop_that_only_prints_gets_its_answer_and_its_history_back(tmp_path: Path) -> None:
    with ModelServer(with_a_call("get_host_config")) as server:
        first = run("loop.py", server, tmp_path)
        second = run("loop.py", server, tmp_path)
        sent = [message["role"] for message in server.requests[-1]["messages"]]
    assert "restored: False 0" in first
    kinds = re.findall(r"^\{'type': '(\w+)'", first, re.MULTILINE)
    assert [kind for kind in kinds if not kind.endswith("_delta")] == [
        "message_sent",
        "tool_call",
        "unanswered",
        "message_sent",
        "assistant_final",
    ]
    assert "tokens: 12" in first
    assert "roles: system user assistant tool assistant\n" in first
    assert "restored: True 5" in second
    assert sent == ["system", *("user", "assistant", "tool", "assistant") * 2][:-1]


def test_a_gate_that_answers_after_a_prompt_lets_the_call_through(tmp_path: Path) -> None:
    with ModelServer(with_a_call("count", word="turnstone")) as server:
        shown = run("gate.py", server, tmp_path, said="y\n")
        result = json.loads(server.requests[-1]["messages"][-1]["content"])
    assert shown == "run count?\ncounting turnstone\nanswer: Done.\n"
    assert (result["status"], result["data"]) == ("success", 9)


def test_a_gate_that_answers_with_an_exception_ends_the_run_with_it(tmp_path: Path) -> None:
    with ModelServer(with_a_call("count", word="turnstone")) as server:
        shown = run("gate.py", server, tmp_path, said="n\n")
        assert len(server.requests) == 1
    assert shown == "run count?\nstopped: Refused('count')\n"


def test_a_user_interface_approves_chooses_compacts_and_cancels(tmp_path: Path) -> None:
    with ModelServer(with_a_call("deploy")) as server:
        shown = run("ui.py", server, tmp_path)
        first, second, third, fourth = server.requests
    lines = shown.splitlines()
    assert lines[:4] == [
        "approve deploy Really deploy? appr_",
        "choose Where to? ['test', 'live'] live is live",
        "{'type': 'progress', 'percent': 100}",
        "said: Done.",
    ]
    assert lines[4] == "deltas: []"
    assert lines[5:] == [
        "approve deploy Really deploy? appr_",
        "exit 1",
        "said: ''",
        "approve deploy Really deploy? appr_",
        "{'type': 'run_aborted', 'reason': 'cancelled'}",
        "said: ''",
        "sessions: ['ui']",
    ]
    assert "The site is up." in first["messages"][0]["content"]
    result = json.loads(second["messages"][-1]["content"])
    assert result["data"] == {"where": "live", "sure": True}
    assert third["messages"][0] == {"role": "assistant", "content": "They deployed to live."}
    assert [message["role"] for message in third["messages"]] == ["assistant", "user"]
    refused = json.loads(fourth["messages"][-2]["content"])
    assert (refused["error"], refused["info"]) == ("Really deploy?", {"hint": "ask on Monday"})

"""Commands over the life of a workstream: their folder, their outputs, what runs beside them."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, raw_call, text
from modelserver.plans import tool_results
from support.clocks import SetClock
from support.nodes import local_node, start_host
from support.watching import ending, send
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream, Host
from turnstone.core.policy import EXPOSES_HOOKS, Grants, decide, unhonoured
from turnstone.core.policy_rules import Rules, parse
from turnstone.core.sandbox import Confinement, Level
from turnstone.core.tool import Prepared
from turnstone.sandbox import find_sandbox
from turnstone.tools import load_tools
from turnstone.tools.spec import load_spec

CONFINED = Confinement(Level.L3, "L3 (for a test)")
BASH = load_spec("bash")


def told(body: dict[str, Any]) -> Reply:
    """The message is a list of calls of `bash`, one step each; the answer is the last result."""
    messages = body["messages"]
    last = max(n for n, m in enumerate(messages) if m["role"] == "user")
    wanted = json.loads(messages[last]["content"])
    done = sum(m["role"] == "assistant" for m in messages[last:])
    if done < len(wanted):
        step = wanted[done]
        return calls(*(call("bash", **one) for one in (step if isinstance(step, list) else [step])))
    return text(tool_results(body)[-1][1])


async def say(host: Host, ws_id: str, cid: str, *wanted: object) -> str:
    """The result of the last call."""
    await send(host, ws_id, json.dumps(wanted), cid)
    return (await ending(host, ws_id, cid)).text


def command(script: str, **more: object) -> dict[str, object]:
    return {"command": script, **more}


async def test_the_folder_holds_over_turns_sleeps_and_restarts(tmp_path: Path) -> None:
    clock = SetClock()
    engine: dict[str, Any] = {"auto_approve": True, "clock": clock, "idle_timeout": 60.0}
    with ModelServer(told) as model:
        host = await start_host(tmp_path, model.base_url, **engine)
        ws = await host.create(CreateWorkstream())
        other = await host.create(CreateWorkstream())
        await say(host, ws.id, "c1", command("mkdir -p sub/deep; cd sub"))
        assert (await say(host, ws.id, "c2", command("cd deep"), command("pwd"))).endswith(
            "sub/deep"
        )
        async with asyncio.timeout(20):
            while (await host.health()).awake:
                clock.advance(61)
                await host.sweep()
                await asyncio.sleep(0.01)
        assert (await say(host, ws.id, "c3", command("pwd"))).endswith("sub/deep")
        assert (await say(host, other.id, "c0", command("pwd"))).endswith("workspace")
        await host.aclose()
        host = await start_host(tmp_path, model.base_url, **engine)
        assert (await say(host, ws.id, "c4", command("pwd"))).endswith("sub/deep")
        await host.aclose()


async def test_the_calls_of_one_step_start_where_the_step_did(tmp_path: Path) -> None:
    async with local_node(tmp_path, told, auto_approve=True) as node:
        ws = await node.host.create(CreateWorkstream())
        both = [command("mkdir sub; cd sub"), command("pwd")]
        assert (await say(node.host, ws.id, "c1", both)).endswith("/workspace")
        assert (await say(node.host, ws.id, "c2", command("pwd"))).endswith("/sub")


async def test_a_call_that_was_not_run_moves_nothing_though_it_has_the_id_of_one_that_did(
    tmp_path: Path,
) -> None:
    """Some servers count the calls of each answer anew."""
    steps = [("a", "mkdir -p sub/deep; cd sub"), ("b", "cd deep"), ("a", "rm x"), ("b", "pwd")]

    def plan(body: dict[str, Any]) -> Reply:
        done = len(tool_results(body))
        if done == len(steps):
            return text(tool_results(body)[-1][1])
        call_id, script = steps[done]
        return calls(raw_call("bash", json.dumps({"command": script}), call_id=call_id))

    deny = Rules(deny=(parse("bash(rm *)", {"bash": BASH}, None),))
    async with local_node(tmp_path, plan, auto_approve=True, rules=deny) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        assert (await ending(node.host, ws.id, "c1")).text.endswith("/sub/deep")


async def test_always_for_a_command_does_not_hold_for_it_in_the_background(
    tmp_path: Path,
) -> None:
    async with local_node(tmp_path, told, confinement=CONFINED) as node:
        host = node.host
        ws = await host.create(CreateWorkstream())
        grants = []
        for cid, more in (("c1", {}), ("c2", {"background": True})):
            await send(host, ws.id, json.dumps([command("true", **more)]), cid)
            [*_, question], _ = await asked(host, ws.id, cid)
            grants.append(question.items[0].grant)
            yes = Answer(ws_id=ws.id, request_id=question.request_id, approved=True, always=True)
            await host.approve(yes)
            await ending(host, ws.id, cid)
        again = await say(host, ws.id, "c3", command("true"), command("true", background=True))

    words = "bash for exactly 'true', confined at L3 without network"
    assert grants == [words, f"{words}, in the background"]
    assert "exit code 0" in again or "runs" in again


async def test_always_for_a_command_holds_for_its_folder_alone(tmp_path: Path) -> None:
    async def answer(cid: str, **how: Any) -> ev.ApprovalAsked:
        [*_, question], _ = await asked(host, ws.id, cid)
        await host.approve(Answer(ws_id=ws.id, request_id=question.request_id, **how))
        return question

    async with local_node(tmp_path, told, confinement=CONFINED) as node:
        host = node.host
        (node.workspace / "sub").mkdir()
        ws = await host.create(CreateWorkstream())
        await send(host, ws.id, json.dumps([command("ls")]), "c1")
        assert (await answer("c1", approved=True, always=True)).items[0].grant == (
            "bash for exactly 'ls', confined at L3 without network"
        )
        await ending(host, ws.id, "c1")
        assert "sub" in await say(host, ws.id, "c2", command("ls"))

        await send(host, ws.id, json.dumps([command("cd sub")]), "c3")
        await answer("c3", approved=True)
        await ending(host, ws.id, "c3")
        await send(host, ws.id, json.dumps([command("ls")]), "c4")
        question = await answer("c4", approved=True, always=True)
        await ending(host, ws.id, "c4")
        assert question.items[0].header == "bash in sub: ls"
        assert (
            question.items[0].grant
            == f"bash for exactly 'ls' in {node.workspace}/sub, confined at L3 without network"
        )
        assert await say(host, ws.id, "c5", command("ls")) == "[no output]"

        granted = {(g.path, g.command) for g in (await host.policy(ws.id)).grants}
        assert granted == {("", "ls"), (f"{node.workspace}/sub", "ls")}
        assert await host.revoke(
            ws.id, ev.Grant("bash", f"{node.workspace}/sub", "ls", "L3 without network")
        )
        await send(host, ws.id, json.dumps([command("ls")]), "c6")
        await answer("c6", approved=False)


async def asked(host: Host, ws_id: str, cid: str) -> tuple[list[ev.ApprovalAsked], str]:
    """The question of this turn, once it is there."""
    async with asyncio.timeout(20):
        async for event in host.follow(ws_id):
            if isinstance(event, ev.ApprovalAsked) and event.correlation_id == cid:
                return [event], cid
    raise AssertionError


def prepared(folder: Path | None = None, **more: Any) -> Prepared:
    return Prepared(
        "bash", {}, "effect", "bash: ls x", commands=("ls x",), directory=folder, **more
    )


def test_a_rule_that_permits_commands_is_about_the_workspace_itself() -> None:
    allow = Rules(allow=(parse("bash(ls *)", {"bash": BASH}, None),))
    deny = Rules(deny=(parse("bash(ls *)", {"bash": BASH}, None),))
    sub = prepared(Path("/ws/sub"))

    assert decide(prepared(), BASH, Grants(), Level.L3, allow).verdict == "allow"
    assert decide(sub, BASH, Grants(), Level.L3, allow).verdict == "ask"
    assert decide(sub, BASH, Grants(True), Level.L3, deny).verdict == "deny"


def test_to_look_after_what_runs_is_not_asked_but_may_be_forbidden() -> None:
    tends = Prepared("bash", {}, "pure", "bash: list", tends=True)
    deny = Rules(deny=(parse("bash", {"bash": BASH}, None),))
    about = Rules(deny=(parse("bash(rm *)", {"bash": BASH}, None),))

    assert decide(tends, BASH, Grants(), Level.L0).verdict == "allow"
    assert decide(tends, BASH, Grants(), Level.L0, about).verdict == "allow"
    assert decide(tends, BASH, Grants(), Level.L3, deny).verdict == "deny"


@pytest.mark.parametrize(
    ("grants", "allow", "verdict"),
    [
        (Grants(auto_approve=True), (), "ask"),
        (Grants(tools={"bash"}), (), "ask"),
        (Grants(always={ev.Grant("bash")}), (), "ask"),
        (Grants(), ("bash",), "ask"),
        (Grants(), ("bash(ls *)",), "allow"),
        (
            Grants(always={ev.Grant("bash", command="ls x", confined="L2 without network")}),
            (),
            "allow",
        ),
    ],
)
def test_where_hooks_can_be_planted_only_what_names_the_command_permits_it(
    grants: Grants, allow: tuple[str, ...], verdict: str
) -> None:
    rules = Rules(allow=tuple(parse(rule, {"bash": BASH}, None) for rule in allow))
    exposing = prepared(exposes=EXPOSES_HOOKS)

    ruling = decide(exposing, BASH, grants, Level.L2, rules)
    assert ruling.verdict == verdict
    assert decide(prepared(), BASH, grants, Level.L2, rules).verdict == "allow"
    if verdict == "ask":
        assert ruling.rule == EXPOSES_HOOKS


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
async def test_a_hook_is_asked_about_under_auto_approve_and_at_l3_a_yes_does_not_plant_it(
    kind: str, tmp_path: Path
) -> None:
    """The attack: a command that writes a hook, under auto-approve."""
    plant = "mkdir -p .git/hooks && echo evil >.git/hooks/pre-commit"
    for level in (Level.L2, Level.L3):
        folder = tmp_path / level.name
        git = folder / "workspace" / ".git"
        real = folder / "workspace" / "real"
        real.mkdir(parents=True)
        if kind == "folder":
            (git / "hooks").mkdir(parents=True)
        elif kind == "file":
            git.write_text("gitdir: real")
        else:
            git.symlink_to("real")
        sandbox = await find_sandbox(levels=[level])
        if sandbox.confinement.level is not level:
            pytest.skip("; ".join(sandbox.confinement.notes))
        engine = {"tools": load_tools(sandbox), "confinement": sandbox.confinement}
        async with local_node(folder, told, auto_approve=True, **engine) as node:
            ws = await node.host.create(CreateWorkstream())
            accepted = await send(node.host, ws.id, json.dumps([command(plant)]), "c1")
            [question], _ = await asked(node.host, ws.id, "c1")
            assert not (git / "hooks/pre-commit").exists()
            if level is Level.L2:
                assert EXPOSES_HOOKS in question.items[0].rule
            await node.host.approve(Answer(ws_id=ws.id, approved=level is Level.L3))
            await ending(node.host, ws.id, "c1")
            if kind == "folder":
                assert not (git / "hooks/pre-commit").exists()
        del accepted


async def test_the_same_command_plants_the_hook_where_a_person_says_yes_at_l2(
    tmp_path: Path,
) -> None:
    sandbox = await find_sandbox(levels=[Level.L2])
    if sandbox.confinement.level is not Level.L2:
        pytest.skip("; ".join(sandbox.confinement.notes))
    hooks = tmp_path / "workspace" / ".git" / "hooks"
    hooks.mkdir(parents=True)
    engine = {"tools": load_tools(sandbox), "confinement": sandbox.confinement}
    async with local_node(tmp_path, told, **engine) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(
            node.host, ws.id, json.dumps([command("echo evil >.git/hooks/pre-commit")]), "c1"
        )
        [question], _ = await asked(node.host, ws.id, "c1")
        await node.host.approve(Answer(ws_id=ws.id, request_id=question.request_id, approved=True))
        await ending(node.host, ws.id, "c1")

    assert (hooks / "pre-commit").read_text() == "evil\n"


def handle(said: str) -> str:
    found = re.search(r"\[(bg\S+) ", said)
    assert found is not None, said
    return found[1]


async def test_what_runs_in_the_background_keeps_a_workstream_awake_and_ends_with_it(
    tmp_path: Path,
) -> None:
    clock = SetClock()
    engine: dict[str, Any] = {"auto_approve": True, "clock": clock, "idle_timeout": 60.0}
    async with local_node(tmp_path, told, **engine) as node:
        host = node.host
        ws = await host.create(CreateWorkstream())
        script = "while :; do echo x >>grows; sleep 0.01; done"
        bg = handle(await say(host, ws.id, "c1", command(script, background=True)))
        other = await host.create(CreateWorkstream())
        await say(host, other.id, "c0", command("true"))
        async with asyncio.timeout(20):
            while (await host.health()).awake > 1:
                clock.advance(1000)
                await host.sweep()
                await asyncio.sleep(0.01)
        for _ in range(5):  # were it idle, it would be the next
            clock.advance(1000)
            await host.sweep()
            await asyncio.sleep(0.01)
        assert (await host.health()).awake == 1
        assert "runs" in await say(host, ws.id, "c2", {"action": "read", "handle": bg})
        await host.close(ws.id)
        grows = node.workspace / "grows"
        size = grows.stat().st_size
        await asyncio.sleep(0.1)
        assert grows.stat().st_size == size


async def test_after_a_restart_a_handle_is_gone_and_nothing_of_it_runs(tmp_path: Path) -> None:
    with ModelServer(told) as model:
        host = await start_host(tmp_path, model.base_url, auto_approve=True)
        ws = await host.create(CreateWorkstream())
        script = "while :; do echo x >>grows; sleep 0.01; done"
        bg = handle(await say(host, ws.id, "c1", command(script, background=True)))
        await host.aclose()
        grows = tmp_path / "workspace" / "grows"
        size = grows.stat().st_size
        host = await start_host(tmp_path, model.base_url, auto_approve=True)
        said = await say(host, ws.id, "c2", {"action": "read", "handle": bg})
        assert "is gone: the node was restarted since" in said
        assert grows.stat().st_size == size
        await host.aclose()


async def test_whole_outputs_go_when_their_workstream_is_erased_or_closed(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    engine: dict[str, Any] = {"auto_approve": True, "max_output": 100, "outputs": outputs}
    async with local_node(tmp_path, told, **engine) as node:
        kept, erased, closed = [await node.host.create(CreateWorkstream()) for _ in range(3)]
        for ws in (kept, erased, closed):
            said = await say(node.host, ws.id, f"c-{ws.id}", command("seq 1 1000"))
            assert str(outputs / ws.id) in said
        await node.host.erase(erased.id)
        await node.host.close(closed.id)

        assert os.listdir(outputs) == [kept.id]


@pytest.mark.parametrize(
    ("auto", "tools", "level", "repository", "begins"),
    [
        (True, set(), Level.L2, True, "Auto-approve is not honoured here for commands, since"),
        (False, {"bash"}, Level.L2, True, "The permission for bash is not honoured here, since"),
        (False, {"write_file"}, Level.L2, True, ""),
        (True, {"bash"}, Level.L2, False, ""),
        (True, {"bash"}, Level.L3, True, ""),
        (True, set(), Level.L0, True, "Auto-approve is not honoured here, since commands cannot"),
    ],
)
def test_who_permits_in_general_is_told_what_does_not_hold(
    auto: bool, tools: set[str], level: Level, repository: bool, begins: str
) -> None:
    told = unhonoured(auto, tools, level, repository=repository)

    assert told.startswith(begins)
    assert bool(told) == bool(begins)

"""A node with a secret: whose messages it carries out, and what it grants to whom."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modelserver import Plan
from modelserver.plans import echo, shell
from support.memory_queue import PATIENCE, message, result_in, until
from support.nodes import Node, local_node
from support.queues import take_shared
from support.redis import redis_server
from support.workers import working_node
from turnstone.core.policy_rules import Rule, Rules
from turnstone.core.sandbox import Confinement, Level
from turnstone.mq import AsyncTurnstoneClient
from turnstone.mq.errors import LetterNotReplayed
from turnstone.mq.inspect_memory import MemoryInspector
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.memory_work import MemoryWork
from turnstone.mq.signing import Keyring, keyring
from turnstone.mq.worker import Worker

SECRET = "correct-horse-battery-staple"
WS = "0badc0de"


def ring(*lines: str) -> Keyring:
    found = keyring("", "\n".join(lines))
    assert found is not None
    return found


NODE = ring(
    f"{SECRET} full auto_approve", "someone-who-only-answers approve", "one-who-must-ask full"
)
ANSWERS = ring("someone-who-only-answers approve")
ASKS = ring("one-who-must-ask full")


@asynccontextmanager
async def node_on(
    broker: MemoryBroker, folder: Path, plan: Plan = echo, level: Level = Level.L3, **options: Any
) -> AsyncIterator[Node]:
    engine = options.pop("engine", {})
    trusted = options.pop("keyring", NODE)
    confinement = Confinement(level, f"{level.name} (for a test)")
    async with local_node(folder, plan, confinement=confinement, **engine) as node:
        worker = Worker(node.host, MemoryWork(broker, "n1", keyring=trusted), **options)
        running = asyncio.create_task(worker.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await worker.ready.wait()
            yield node
        finally:
            await worker.aclose()
            await running


def now(**fields: Any) -> dict[str, Any]:
    return {"timestamp": time.time(), **fields}


class Ear:
    """What is published, kept for good."""

    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        self._queue = queue
        self._all: list[dict[str, Any]] = []

    def of(self, kind: str) -> list[dict[str, Any]]:
        while not self._queue.empty():
            self._all.append(json.loads(self._queue.get_nowait()))
        return [event for event in self._all if event["type"] == kind]


async def test_a_message_that_is_not_signed_is_a_dead_letter_and_its_sender_is_told(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    forged = ring("a-secret-of-somebody-else")
    with broker.subscribe("turnstone:events:global", f"turnstone:events:{WS}") as queue:
        ear = Ear(queue)
        async with node_on(broker, tmp_path) as node:
            broker.send(message("go", "c1", **now()))
            broker.send(forged.signed(message("go", "c2", ws_id=WS, **now())))
            broker.send(NODE.signed(message("go", "c3", **now())), "n1")
            await until(lambda: all(result_in(broker, cid) for cid in ("c1", "c2", "c3")))
            owner = await MemoryWork(broker, "n2").owner(WS)
            requests = len(node.model.requests)
        errors = {event["correlation_id"]: event["message"] for event in ear.of("error")}

    assert "not signed" in errors["c1"]
    assert "does not have" in errors["c2"]
    assert {letter.correlation_id for letter in broker.dead} == {"c1", "c2"}
    assert owner == ""
    assert requests == 1
    done = result_in(broker, "c3")
    assert done is not None
    assert done.content == ["go"]


async def test_an_answer_to_a_question_needs_a_signature_too(tmp_path: Path) -> None:
    broker = MemoryBroker()
    with broker.subscribe(f"turnstone:events:{WS}") as queue:
        ear = Ear(queue)
        async with node_on(broker, tmp_path, shell):
            said = message("run: touch done.txt", "c1", ws_id=WS, create=True, **now())
            broker.send(NODE.signed(said))
            await until(lambda: ear.of("approval_request"))
            [asked] = ear.of("approval_request")
            fields = {"type": "approve", "request_id": asked["correlation_id"], "approved": True}
            answer = json.dumps({**fields, "correlation_id": "a1", **now()}).encode()
            respond = MemoryWork(broker, "n2").respond
            await respond(asked["correlation_id"], answer)
            await until(lambda: ear.of("error"))
            refused = (tmp_path / "workspace" / "done.txt").exists()
            await respond(asked["correlation_id"], ANSWERS.signed(answer))
            await until(lambda: result_in(broker, "c1"))
        [error] = ear.of("error")

    assert not refused
    assert (error["correlation_id"], "not signed" in error["message"]) == ("a1", True)
    assert (tmp_path / "workspace" / "done.txt").exists()


@pytest.mark.parametrize("copied", [True, False])
async def test_a_signed_answer_to_one_question_does_not_answer_another(
    tmp_path: Path, copied: bool
) -> None:
    broker = MemoryBroker()
    with broker.subscribe(f"turnstone:events:{WS}") as queue:
        ear = Ear(queue)
        async with node_on(broker, tmp_path, shell):
            said = message("run: touch done.txt", "c1", ws_id=WS, create=True, **now())
            broker.send(NODE.signed(said))
            await until(lambda: ear.of("approval_request"))
            [asked] = ear.of("approval_request")
            respond = MemoryWork(broker, "n2").respond
            fields = {"type": "approve", "approved": True, "correlation_id": "a1", **now()}
            other = {"request_id": "0123456789ab"} if copied else {}
            place = broker.keys.responses(asked["correlation_id"])
            await respond(
                asked["correlation_id"], ANSWERS.signed(json.dumps(fields | other).encode())
            )
            await until(lambda: not broker.list(place))
            mine = {"request_id": asked["correlation_id"], "approved": False}
            await respond(
                asked["correlation_id"], ANSWERS.signed(json.dumps(fields | mine).encode())
            )
            await until(lambda: result_in(broker, "c1"))

    assert not (tmp_path / "workspace" / "done.txt").exists()


async def test_what_a_secret_may_not_send_is_refused(tmp_path: Path) -> None:
    broker = MemoryBroker()
    async with node_on(broker, tmp_path):
        broker.send(ANSWERS.signed(message("go", "c1", **now())))
        await until(lambda: broker.dead)

    assert "its role is approve" in broker.dead[0].reason


@pytest.mark.parametrize(
    ("case", "ran", "told"),
    [
        ("all is well", True, ""),
        ("switched off", False, "[queue] auto_approve = false"),
        ("no right", False, "does not have that right"),
        ("unconfined", False, "commands cannot be confined on this machine"),
        ("ask rule", False, "a rule that no permission overrides"),
        ("deny rule", False, "a rule of this node forbids it"),
    ],
)
async def test_auto_approve_is_honoured_where_all_permit_it_and_else_asked_and_the_sender_told(
    tmp_path: Path, case: str, ran: bool, told: str
) -> None:
    broker = MemoryBroker()
    bash = (Rule("bash", "bash"),)
    rules = {"ask rule": Rules(ask=bash), "deny rule": Rules(deny=bash)}
    engine = {"rules": rules[case]} if case in rules else {}
    level = Level.L0 if case == "unconfined" else Level.L3
    with broker.subscribe(f"turnstone:events:{WS}") as queue:
        ear = Ear(queue)
        options = {"engine": engine, "auto_approve": case != "switched off"}
        async with node_on(broker, tmp_path, shell, level, **options):
            said = message(
                "run: touch done.txt", "c1", ws_id=WS, create=True, auto_approve=True, **now()
            )
            broker.send((ASKS if case == "no right" else NODE).signed(said))
            await until(lambda: result_in(broker, "c1") or ear.of("approval_request"))
        asked, heard = ear.of("approval_request"), json.dumps(ear.of("info"))

    assert (tmp_path / "workspace" / "done.txt").exists() is ran
    assert bool(asked) is (not ran and case != "deny rule")
    assert told in heard + json.dumps(asked) + json.dumps(ear.of("tool_result"))


async def test_a_timer_is_signed_and_so_are_its_runs_and_one_that_is_forged_is_left_alone(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    async with node_on(broker, tmp_path):
        soon = time.time() + 0.3
        broker.send(NODE.signed(message("later", "t1", not_before=soon, **now())))
        await until(lambda: "t1" in broker.timers)
        assert NODE.signer(broker.timers["t1"]).auto_approve
        forged = json.loads(broker.timers["t1"]) | {"timer_id": "t2", "message": "forged"}
        broker.timers["t2"] = json.dumps(forged).encode()
        await until(lambda: any(cid.startswith("t1:") for cid in broker.records))
        run = next(cid for cid in broker.records if cid.startswith("t1:"))
        await until(lambda: result_in(broker, run))
        found = result_in(broker, run)

    assert found is not None
    assert found.content == ["later"]
    assert not broker.dead
    assert not [cid for cid in broker.records if cid.startswith("t2")]


async def test_a_node_signs_the_timers_of_an_old_secret_with_its_first(tmp_path: Path) -> None:
    broker = MemoryBroker()
    new = "the-secret-that-comes-next"
    async with node_on(broker, tmp_path / "before"):
        later = message("later", "t1", not_before=time.time() + 1_000, **now())
        broker.send(NODE.signed(later))
        await until(lambda: "t1" in broker.timers)
    async with node_on(broker, tmp_path / "both", keyring=ring(new, SECRET)):
        await until(lambda: json.loads(broker.timers["t1"])["revision"] == 2)

    [kept] = await MemoryWork(broker, "n1", keyring=ring(new)).timers.timers()
    assert kept.timer_id == "t1"


async def test_a_timer_permits_no_more_than_the_secret_under_which_it_was_made(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    timers = MemoryWork(broker, "n2", keyring=ASKS).timers
    async with node_on(broker, tmp_path):
        far = time.time() + 1_000
        asked = message("later", "t1", not_before=far, auto_approve=True, **now())
        broker.send(ASKS.signed(asked))
        broker.send(NODE.signed(asked.replace(b'"t1"', b'"t3"')))
        await until(lambda: {"t1", "t3"} <= broker.timers.keys())
        kept = {cid: json.loads(text)["auto_approve"] for cid, text in broker.timers.items()}
        mine = json.loads(broker.timers["t3"])
        broker.timers["t3"] = ASKS.signed(json.dumps(mine).encode())
        seen = {
            one.timer_id: one.auto_approve
            for one in await MemoryWork(broker, "n1", keyring=NODE).timers.timers()
        }
        told = result_in(broker, "t1")

    assert kept == {"t1": False, "t3": True}
    assert seen == {"t1": False, "t3": False}
    assert told is not None
    assert "does not have that right" in told.content[0]
    assert await timers.timer("t9") is None


async def test_a_dead_letter_that_is_not_signed_is_replayed_on_ones_word_alone_and_permits_nothing(
    tmp_path: Path,
) -> None:
    broker = MemoryBroker()
    channel = "turnstone:events:global"
    async with node_on(broker, tmp_path, shell):
        broker.send(message("run: touch done.txt", "c1", auto_approve=True, **now()))
        await until(lambda: broker.dead)
        inspector = MemoryInspector(broker, NODE)
        with pytest.raises(LetterNotReplayed, match="under your secret: The message is not signed"):
            await inspector.replay(broker.dead[0].id)
        assert len(broker.dead) == 1
        assert not broker.list(broker.keys.inbound)
        with broker.subscribe(channel) as queue:
            ear = Ear(queue)
            new_id = await inspector.replay(broker.dead[0].id, trust=True)
            await until(lambda: [one for one in ear.of("state_change") if "attention" in str(one)])
        assert result_in(broker, new_id) is None

    assert not (tmp_path / "workspace" / "done.txt").exists()


@pytest.mark.parametrize(("line", "permits"), [("full auto_approve", True), ("full", False)])
async def test_a_replayed_letter_permits_what_the_secret_of_its_sender_does(
    line: str, permits: bool
) -> None:
    broker = MemoryBroker()
    sender = ring(f"one-who-must-ask-or-not {line}")
    node = ring(f"{SECRET} full auto_approve", f"one-who-must-ask-or-not {line}")
    work = MemoryWork(broker, "n1", keyring=node)
    await work.beat({})
    broker.send(sender.signed(message("go", "c1", auto_approve=True, **now())))
    [claimed] = await take_shared(work)
    await work.bury(claimed, "No.")

    await MemoryInspector(broker, node).replay(broker.dead[0].id)

    [sent] = broker.list(broker.keys.inbound)
    assert node.signer(sent).auto_approve
    assert json.loads(sent).get("auto_approve", False) is permits


async def test_a_client_with_the_secret_is_heard_and_one_without_it_is_told_so(
    tmp_path: Path,
) -> None:
    def yes(event: Any) -> bool:
        return True

    with redis_server() as redis:
        place: dict[str, Any] = {"host": "127.0.0.1", "port": redis.port}
        async with (
            working_node(tmp_path, shell, redis.address, "n1", work={"keyring": NODE}),
            AsyncTurnstoneClient(**place, signing_secret=SECRET) as friend,
            AsyncTurnstoneClient(**place) as stranger,
        ):
            heard = await friend.send_and_wait(
                "run: touch done.txt", auto_approve=False, timeout=PATIENCE, on_approval=yes
            )
            timer = await friend.send("later", not_before=time.time() + 1_000)
            while not await friend.timers():
                await asyncio.sleep(0.02)  # the timer is the state that is waited for
            await friend.cancel_timer(timer)
            refused = await stranger.send_and_wait("go", timeout=PATIENCE)

    assert heard.ok
    assert (tmp_path / "workspace" / "done.txt").exists()
    assert refused.outcome == "dead"
    assert "not signed" in refused.errors[0]


def test_a_secret_for_a_node_that_is_given_a_token_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="signing_secret is for Redis"):
        AsyncTurnstoneClient("http://localhost:8080", signing_secret=SECRET)

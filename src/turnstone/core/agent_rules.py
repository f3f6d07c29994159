"""What is decided about sub-agents: who they are, what they may use and run unasked. Pure.

Never wider than the workstream above: its tools are among those that one is offered, its
grants are the ones that hold there at this moment, and what else runs unasked in it is what a
person was shown before it was started.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count

import msgspec

from turnstone.core.events import (
    CancelRequested,
    Event,
    HistoryMessage,
    SettingsChanged,
    Tainted,
    ToolCallRecord,
)
from turnstone.core.policy import Grants, Ruling, decide
from turnstone.core.policy_rules import Rules
from turnstone.core.sandbox import Level
from turnstone.core.sub_agents import AgentKind, Inherited, Offer
from turnstone.core.tool import Prepared, Tool, ToolSpec
from turnstone.core.transcript import OpenTurn, Transcript

#: The tools that start sub-agents.
STARTERS = ("plan", "task")

_UNASKED = "{tool} runs unasked in this sub-agent, as its question said"


def key_of(transcript: Transcript, call_id: str) -> str:
    """What tells a call of the open turn from all others of the workstream: models give the
    same call id again. Raises LookupError where no turn is open."""
    turn = transcript.open_turn()
    return f"{turn.message.correlation_id}/{turn.steps}/{call_id}"


def ids_of(parent: str, key: str) -> Iterator[str]:
    """The ids that the sub-agent of a call may have, in order: the first that is not taken by
    another workstream."""
    for attempt in count():
        yield _digest(parent, key, str(attempt))[:8]


def message_id(parent: str, key: str, what: str) -> str:
    """The correlation id of a message to the sub-agent of a call, or of a question about it."""
    return _digest(parent, key, what)[:12]


def offer(
    tools: Mapping[str, Tool], agent: AgentKind, above: Transcript, agent_depth: int
) -> Offer | None:
    """What a sub-agent of this workstream works with; None where it may start none.

    `agent_depth`: how many may stand below each other.
    """
    depth = above.created.depth + 1
    if depth > agent_depth:
        return None
    having = {name: tools[name].spec for name in offered(above, tools)}
    names = [name for name, spec in having.items() if _is_for(spec, agent)]
    if agent == "task" and depth < agent_depth:
        names += [name for name in STARTERS if name in having]
    unasked = [n for n in names if having[n].auto_approve or having[n].agent_auto_approve]
    return Offer(tuple(sorted(names)), tuple(sorted(unasked)))


def offered(transcript: Transcript, tools: Mapping[str, Tool]) -> list[str]:
    """The tools that the model of a workstream is offered, in alphabetical order."""
    turn = transcript.turn
    if turn is not None and turn.message.without_tools:
        return []
    return described(transcript, tools)


def described(transcript: Transcript, tools: Mapping[str, Tool]) -> list[str]:
    """The tools that a request describes: those that are offered. A message that is to be
    answered without any names the same ones, for the conversation has calls of them: some
    providers refuse it otherwise, and others would read all of it anew."""
    if transcript.settings.creative:
        return []
    created = transcript.created
    return sorted(n for n in tools if n in created.tools or not (created.tools or created.agent))


def judge(
    prepared: Prepared,
    spec: ToolSpec,
    transcript: Transcript,
    grants: Grants,
    inherited: Inherited,
    level: Level,
    rules: Rules,
) -> Ruling:
    """Judge a call of any workstream: of a sub-agent, by what holds above it too.

    What only its start has permitted no longer runs unasked once something was read from
    outside, in it or above it.
    """
    grants = replace(
        grants,
        auto_approve=grants.auto_approve or inherited.auto_approve,
        always=grants.always | inherited.granted,
    )
    ruling = decide(prepared, spec, grants, level, rules)
    tainted = transcript.tainted or inherited.tainted
    if ruling.verdict != "ask" or tainted or spec.name not in transcript.created.unasked:
        return ruling
    widened = decide(
        prepared, spec, replace(grants, tools=grants.tools | {spec.name}), level, rules
    )
    if widened.verdict != "allow":
        return ruling
    return Ruling("allow", _UNASKED.format(tool=spec.name))


def runs(transcript: Transcript, call_id: str) -> bool:
    """Whether a sub-agent of this call has a turn above it that waits for what it does."""
    turn = transcript.turn
    if turn is None or any(isinstance(event, CancelRequested) for event in turn.records):
        return False
    started = turn.running.get(call_id)
    return started is not None and started.effect == "agent"


def only_waits(turn: OpenTurn) -> bool:
    """Whether all that runs of this turn is sub-agents: they do the work, and count for it."""
    running = turn.running.values()
    return bool(running) and all(started.effect == "agent" for started in running)


def missing(transcript: Transcript, effort: str, tainted: Sequence[str]) -> list[Event]:
    """The first records of a sub-agent that are not in its journal: how much to reason, and
    what was read from outside above it."""
    news = [source for source in dict.fromkeys(tainted) if source not in transcript.tainted]
    records: list[Event] = [Tainted(source=source) for source in news]
    if effort and transcript.settings.effort is None:
        records.append(SettingsChanged(effort=effort))
    return records


def earlier_plan(history: Sequence[HistoryMessage]) -> str:
    """The last plan of a conversation: what was asked for, what came of it and what the person
    said of that. Empty: there is none."""
    asked: dict[str, str] = {}
    found = ""
    for message in history:
        for call in message.tool_calls:  # models give the same id again
            asked.pop(call.id, None)
            if call.name == "plan":
                asked[call.id] = _prompt(call)
        if message.status == "ok" and message.tool_call_id in asked:
            found = f"{asked[message.tool_call_id]}\n\n{message.content}".strip()
    return found


def _prompt(call: ToolCallRecord) -> str:
    try:
        prompt = msgspec.json.decode(call.arguments, type=dict[str, object]).get("prompt", "")
    except msgspec.DecodeError:
        return ""
    return str(prompt)


def _is_for(spec: ToolSpec, agent: AgentKind) -> bool:
    if spec.name in STARTERS:
        return False
    return spec.agent or (agent == "task" and spec.task_agent)


def _digest(*parts: str) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

"""What a person's answer means for each call of a question: allowed, refused, or changed. Pure.

A changed call is another call: it is prepared, judged and asked about anew, under the hash of
what it has become, and nothing of it runs by the answer that changed it. The model is told
what it became.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from oturn.signals import ToolCall
from turnstone.core.errors import InvalidRequest
from turnstone.core.events import (
    ApprovalAnswered,
    ApprovalAsked,
    CallDecision,
    Grant,
    ToolItem,
)
from turnstone.core.host import Answer
from turnstone.core.tool import Prepared

#: Characters of changed arguments that the model is told; what a file became it can read there.
MAX_TOLD = 4_000


def check(answer: Answer, question: ApprovalAsked) -> None:
    """Raises InvalidRequest where the answer says something that this question cannot take."""
    asked = {item.call_id for item in question.items if item.needs_approval}
    for name, named in (("refused", answer.refused), ("edited", list(answer.edited))):
        if unknown := [call_id for call_id in named if call_id not in asked]:
            raise InvalidRequest(
                f"{name}: the question is not about a call {unknown[0]!r}.",
                hint="Name calls by the call_id of the question's items.",
            )
    if answer.edited and (answer.approved or answer.expired or answer.refused or answer.feedback):
        raise InvalidRequest(
            "edited: what is changed is asked about again, so nothing else can be said with it.",
            hint="Say it to the question that follows.",
        )
    if answer.refused and (not answer.approved or asked <= set(answer.refused)):
        raise InvalidRequest(
            "refused: these are the calls that may not run where others may.",
            hint="To refuse all of them, leave it out and say approved false.",
        )
    offered = {grant for item in _allowed(answer, question) for grant in item.grants}
    if answer.grants is not None and not (answer.always and offered.issuperset(answer.grants)):
        raise InvalidRequest(
            "grants: an answer with always can permit what the question offers, and no more.",
            hint="They are the grants of its items.",
        )


def granted(answer: Answer, question: ApprovalAsked) -> list[Grant]:
    """What the answer permits from now on."""
    if not (answer.approved and answer.always):
        return []
    offered = [grant for item in _allowed(answer, question) for grant in item.grants]
    return offered if answer.grants is None else [g for g in offered if g in answer.grants]


def changed(call: ToolCall, arguments: Mapping[str, Any] | None) -> ToolCall:
    """The call with the arguments of a person, where there are any."""
    if arguments is None:
        return call
    text = msgspec.json.encode(arguments).decode()
    return replace(call, arguments=text, parsed=arguments, problem="", repaired=())


def told(said: str, arguments: Mapping[str, Any] | None) -> str:
    """What came of a call, for the model, which has to know that it was changed."""
    if arguments is None:
        return said
    text = msgspec.json.encode(arguments).decode()
    if len(text) > MAX_TOLD:
        text = f"{text[:MAX_TOLD]} … ({len(text):,} characters)"
    return f"[The user changed this call. Its arguments became: {text}]\n{said}"


def of_changed(ruling: CallDecision, arguments: Mapping[str, Any]) -> CallDecision:
    """What a rule says of a changed call, for a model that does not know of the change yet."""
    if ruling.verdict == "allow":  # it is told with the result
        return ruling
    return msgspec.structs.replace(ruling, reason=told(ruling.reason, arguments))


def settled(item: ToolItem, ruling: CallDecision) -> ToolItem:
    """A call about which nobody is asked any more, as the next question shows it."""
    error = ruling.reason if ruling.verdict == "invalid" else item.error
    return msgspec.structs.replace(item, needs_approval=False, error=error)


def by_answer(call_id: str, prepared: Prepared, answer: ApprovalAnswered) -> CallDecision:
    """What may happen with one of the calls that the question was about."""
    who = answer.by or "the user"
    if answer.approved and call_id not in answer.refused:
        return CallDecision(
            call_id=call_id,
            verdict="allow",
            rule=f"allowed by {who}",
            args_hash=prepared.hash,
            expects=prepared.expects,
            concurrent=concurrent(prepared),
        )
    said = f" They said: {answer.feedback}" if answer.feedback else ""
    return CallDecision(
        call_id=call_id,
        verdict="expired" if answer.expired else "deny",
        rule=f"refused by {who}",
        reason="Not run: nobody answered in time."
        if answer.expired
        else f"Not run: {who} refused it.{said}",
        args_hash=prepared.hash,
    )


def concurrent(prepared: Prepared) -> bool:
    """Whether the call may run beside its neighbours. Sub-agents may: each asks for itself."""
    return prepared.effect == "pure" or (prepared.effect == "agent" and not prepared.paths)


def _allowed(answer: Answer, question: ApprovalAsked) -> Sequence[ToolItem]:
    asked = (item for item in question.items if item.needs_approval)
    return [item for item in asked if item.call_id not in answer.refused]

"""What a program's callbacks say to questions, as the messages that answer them. Pure.

Never decides for a program: what its callback leaves open waits for whoever answers it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from turnstone.mq import protocol as p

#: True: yes. False: no. A text: no, and this is why; of a plan, a remark on it. None: somebody else
#: answers.
Reply: TypeAlias = bool | str | None
OnApproval: TypeAlias = Callable[[p.ApprovalRequestEvent], Reply | Awaitable[Reply]]
OnPlan: TypeAlias = Callable[[p.PlanReviewEvent], Reply | Awaitable[Reply]]

_FAILED = "The program that was asked failed."


@dataclass(frozen=True)
class Asked:
    """The callbacks of one turn."""

    on_approval: OnApproval | None = None
    on_plan: OnPlan | None = None

    def wants(self, event: p.OutboundEvent) -> bool:
        """Whether there is a callback for this event."""
        plan = isinstance(event, p.PlanReviewEvent) and self.on_plan is not None
        return plan or (isinstance(event, p.ApprovalRequestEvent) and self.on_approval is not None)

    def of(self, event: p.OutboundEvent) -> Reply | Awaitable[Reply]:
        """What the callback for this event says; None where there is none for it."""
        if isinstance(event, p.ApprovalRequestEvent) and self.on_approval is not None:
            return self.on_approval(event)
        if isinstance(event, p.PlanReviewEvent) and self.on_plan is not None:
            return self.on_plan(event)
        return None


def answer_to(
    event: p.OutboundEvent, reply: Reply
) -> p.ApproveMessage | p.PlanFeedbackMessage | None:
    """The message; None where nothing is answered. Raises TypeError for what is no reply."""
    if reply is None:
        return None
    if not isinstance(reply, bool | str):
        raise TypeError(
            f"A callback answers with True, False, a text or None, not {type(reply).__name__}."
        )
    if isinstance(event, p.PlanReviewEvent):
        said = reply if isinstance(reply, str) else "" if reply else "reject"
        return p.PlanFeedbackMessage(
            ws_id=event.ws_id, request_id=event.correlation_id, feedback=said
        )
    return p.ApproveMessage(
        ws_id=event.ws_id,
        request_id=event.correlation_id,
        approved=reply is True,
        feedback=reply if isinstance(reply, str) else None,
    )


def refusal_of(event: p.OutboundEvent) -> p.ApproveMessage | p.PlanFeedbackMessage | None:
    """The answer in the place of a callback that raised: no."""
    return answer_to(event, "reject" if isinstance(event, p.PlanReviewEvent) else _FAILED)

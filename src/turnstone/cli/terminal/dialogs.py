"""The dialog for each kind of question."""

from __future__ import annotations

from turnstone.cli.terminal.approval import Approval
from turnstone.cli.terminal.plan_review import PlanReview
from turnstone.cli.terminal.seams import Asked, Dialog
from turnstone.core import events as ev


def ask(asked: Asked) -> Dialog:
    return PlanReview(asked) if isinstance(asked, ev.PlanAsked) else Approval(asked)

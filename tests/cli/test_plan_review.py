"""A plan at the terminal: accepted, rejected, remarked on, changed."""

from __future__ import annotations

import pytest

from turnstone.cli.terminal.dialogs import ask
from turnstone.cli.terminal.seams import Dialog, Edit, Key, Settled
from turnstone.core import events as ev
from turnstone.core.host import PlanReply

PLAN = ev.PlanAsked(
    ws_id="0a1b2c3d",
    request_id="p1",
    content="# Plan\n\n1. look\n2. change\n",
    path="PLAN.md",
    origin=ev.Origin(ws_id="x", name="plan-1"),
)


def shown(dialog: Dialog) -> str:
    return "\n".join("".join(text for _, text in line) for line in dialog.lines(80, 24, focus=True))


def after(keys: list[Key]) -> Dialog | Settled | Edit:
    now: Dialog | Settled | Edit = ask(PLAN)
    for key in keys:
        assert not isinstance(now, Settled | Edit)
        now = now.on_key(key)
    return now


def text(letters: str) -> list[Key]:
    return [Key("text", letter) for letter in letters]


def reply(settled: object) -> str:
    assert isinstance(settled, Settled)
    [said] = settled.replies
    assert isinstance(said, PlanReply) and said.request_id == "p1" and said.ws_id == "0a1b2c3d"
    return said.feedback


def test_a_plan_is_shown_with_its_place_its_origin_and_its_keys() -> None:
    plan = shown(ask(PLAN))
    for part in ("PLAN.md", "plan-1", "  │ 1. look", "y accept", "n reject"):
        assert part in plan


@pytest.mark.parametrize(
    ("keys", "feedback"),
    [
        (text("y"), ""),
        (text("n"), "reject"),
        ([*text("ffirst a test"), Key("enter")], "first a test"),
        ([*text("f"), Key("escape"), *text("y")], ""),
    ],
)
def test_keys_are_what_is_said_of_it(keys: list[Key], feedback: str) -> None:
    assert reply(after(keys)) == feedback


def test_enter_alone_accepts_nothing() -> None:
    assert after([Key("enter")]) == ask(PLAN)


def test_a_changed_plan_goes_back_whole_and_says_that_it_was_changed() -> None:
    assert after(text("e")) == Edit(PLAN.content, ".md")
    said = reply(ask(PLAN).edited("# Plan\n\n1. only look\n"))
    assert said.startswith("The plan was changed. Carry out this version of it")
    assert said.endswith("1. only look")


def test_a_plan_that_was_not_changed_is_asked_about_still() -> None:
    for left in (None, PLAN.content, PLAN.content + "\n", " \n"):
        dialog = ask(PLAN).edited(left)
        assert not isinstance(dialog, Settled)
        assert "Nothing was changed" in shown(dialog) or "n rejects" in shown(dialog)

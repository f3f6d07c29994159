"""One message, one answer, for scripts and pipes: `-p TEXT`, with `--json` for programs.

Stdout holds the answer and nothing else (or one envelope a line); what happens on the way and
what goes wrong is told on stderr. Exit codes are the contract of `run_print`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from turnstone.cli.approve import Approver
from turnstone.cli.begin import begin
from turnstone.cli.feed import following
from turnstone.cli.lines import Lines
from turnstone.cli.plain import plain, plain_json
from turnstone.cli.render import Screen
from turnstone.cli.streams import write_out
from turnstone.cli.turn import Turns
from turnstone.core import events as ev
from turnstone.core.errors import UnknownRequest
from turnstone.core.host import Answer, CreateWorkstream, Host, PlanReply

DONE, FAILED, USAGE, NEEDS_APPROVAL, STOPPED = 0, 1, 2, 3, 130

#: What the model is told, and the person, when a question comes up and nobody can be asked.
NOBODY = "Nobody could be asked: this message was sent without a terminal to answer on."
_NAME = "turnstone -p"

#: How the rules of `core.policy` end behind which a tool's name is permission enough. Outside
#: the workspace, and for commands that nothing confines, it is not.
_PERMITTED_BY_NAME = ("is asked by default", "auto-approve holds only where commands are confined")


async def run_print(
    host: Host,
    screen: Screen,
    prompt: str,
    *,
    create: CreateWorkstream,
    json: bool = False,
    lines: Lines | None = None,
    resume: str | None = None,
    banner: str = "",
) -> int:
    """Send one message and print its answer to stdout.

    `screen` is for stderr, where the lines of `banner` come first. Questions are asked with `lines`; without, they are refused.
    Returns 0 when the turn is done, 1 when it ended without an answer, 3 when something had
    to be refused because nobody could be asked, 130 when it was stopped. Raises TurnstoneError,
    StreamFailed.
    """
    info = await begin(host, create, resume)
    for line in banner.splitlines():
        screen.line(line, "dim")
    async with following(host, info.id) as feed:
        refusal = Refusal(host, screen)
        question = refusal if lines is None else Approver(host, feed, screen, lines)
        if json:
            _print_envelope(feed.connected)
        show = _and_print(screen) if json else screen.show
        ending = await Turns(host, feed, screen, question, show).run(prompt)
    if ending is not None and ending.outcome == "done" and not json:
        _print_answer(ending.text)
    return _exit_code(ending, refused=refusal.used)


class Refusal:
    """Answers questions where there is nobody to ask: no, and why; but yes to a plan, of which
    each step is asked for itself. A `turn.Question`."""

    def __init__(self, host: Host, screen: Screen) -> None:
        self.used = False
        self._host = host
        self._screen = screen

    async def __call__(self, asked: ev.ApprovalAsked | ev.PlanAsked) -> None:
        self._screen.question(asked)
        if isinstance(asked, ev.PlanAsked):
            return await self._accept(asked)
        self.used = True
        self._screen.line(f"{NOBODY} {way_out(asked.items)}", "yellow")
        answer = Answer(
            ws_id=asked.ws_id,
            request_id=asked.request_id,
            approved=False,
            feedback=NOBODY,
            by=_NAME,
        )
        self._screen.is_known(asked.request_id)
        try:
            await self._host.approve(answer)
        except UnknownRequest:
            self._screen.line("It was settled elsewhere in the meantime.", "dim")

    async def _accept(self, asked: ev.PlanAsked) -> None:
        """Whoever sends a message without a terminal wants it carried out."""
        self._screen.line("Nobody reviews it here: the plan is accepted.", "yellow")
        reply = PlanReply(ws_id=asked.ws_id, request_id=asked.request_id, unreviewed=True, by=_NAME)
        self._screen.is_known(asked.request_id)
        try:
            await self._host.answer_plan(reply)
        except UnknownRequest:
            self._screen.line("It was settled elsewhere in the meantime.", "dim")


def way_out(items: Sequence[ev.ToolItem]) -> str:
    """What would let these calls run another time: a flag where one does, or an answer."""
    asked = [item for item in items if item.needs_approval]
    if not all(item.rule.endswith(_PERMITTED_BY_NAME) for item in asked):
        return "No flag lets it run unasked; run it in a terminal, where you can answer."
    tools = ",".join(dict.fromkeys(item.name for item in asked))
    return f"To let it run, add --auto-approve {tools}, or run it in a terminal and answer there."


def _exit_code(ending: ev.TurnEnded | None, *, refused: bool) -> int:
    if ending is None or ending.outcome == "cancelled":
        return STOPPED
    if ending.outcome != "done":
        return FAILED
    return NEEDS_APPROVAL if refused else DONE


def _and_print(screen: Screen) -> Callable[[ev.Event], None]:
    def show(event: ev.Event) -> None:
        _print_envelope(event)
        screen.show(event)

    return show


def _print_envelope(event: ev.Event) -> None:
    write_out(plain_json(ev.encode(event).decode()) + "\n")


def _print_answer(text: str) -> None:
    if text:
        shown = plain(text)
        write_out(shown if shown.endswith("\n") else f"{shown}\n")

"""One message, one answer, for scripts and pipes: `-p TEXT`, with `--output-format` for programs.

Stdout holds the answer and nothing else (or one JSON object, or one envelope a line); what happens
on the way and what goes wrong is told on stderr. Exit codes are the contract of `run_print`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from turnstone.cli.begin import begin
from turnstone.cli.feed import following
from turnstone.cli.plain import plain, plain_json
from turnstone.cli.render import Screen
from turnstone.cli.streams import write_out
from turnstone.cli.turn import Question, Turns
from turnstone.core import events as ev
from turnstone.core.errors import UnknownRequest
from turnstone.core.host import Answer, CreateWorkstream, Host, PlanReply, WorkstreamInfo

if TYPE_CHECKING:
    from turnstone.cli.lines import Lines

Output: TypeAlias = Literal["text", "json", "stream-json"]

DONE, FAILED, USAGE, NEEDS_APPROVAL, STOPPED = 0, 1, 2, 3, 130

#: What the model is told, and the person, when a question comes up and nobody can be asked.
NOBODY = "Nobody could be asked: this message was sent without a terminal to answer on."
_NAME = "turnstone -p"

#: How the rules of `core.policy` end behind which a tool's name is permission enough. Outside
#: the workspace, and for commands that nothing confines, it is not.
_PERMITTED_BY_NAME = ("is asked by default", "auto-approve holds only where commands are confined")


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was not run, because nobody could be asked."""

    tool: str
    header: str
    rule: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error of `core.errors`, for programs."""

    code: str
    message: str
    hint: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a message: the one object of `--output-format json`.

    `outcome` and `reason` are those of `turn_ended`; `failed` with an `error` where there was no
    turn. `money` is in the currency of the prices.
    """

    type: Literal["result"] = "result"
    outcome: ev.Outcome
    exit_code: int
    text: str = ""
    reason: str = ""
    ws_id: str = ""
    session_id: str = ""
    correlation_id: str = ""
    steps: int = 0
    tool_calls: int = 0
    usage: ev.Usage | None = None
    money: float = 0.0
    seconds: float = 0.0
    refused: list[Refused] = []
    error: Problem | None = None


async def run_print(
    host: Host,
    screen: Screen,
    prompt: str,
    *,
    create: CreateWorkstream,
    output: Output = "text",
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
        question: Question = refusal
        if lines is not None:
            from turnstone.cli.approve import Approver  # with what a terminal needs

            question = Approver(host, feed, screen, lines)
        if output == "stream-json":
            _print_envelope(feed.connected)
        tally = _Tally()

        def show(event: ev.Event) -> None:
            if output == "stream-json":
                _print_envelope(event)
            tally.saw(event)
            screen.show(event)

        ending = await Turns(host, feed, screen, question, show).run(prompt)
    code = _exit_code(ending, refused=refusal.used)
    if output == "json":
        print_result(_result(info, ending, tally, refusal.refused, code))
    elif output == "text" and ending is not None and ending.outcome == "done":
        _print_answer(ending.text)
    return code


class Refusal:
    """Answers questions where there is nobody to ask: no, and why; but yes to a plan, of which
    each step is asked for itself. A `turn.Question`."""

    def __init__(self, host: Host, screen: Screen) -> None:
        self.refused: list[Refused] = []
        self._host = host
        self._screen = screen

    @property
    def used(self) -> bool:
        return bool(self.refused)

    async def __call__(self, asked: ev.ApprovalAsked | ev.PlanAsked) -> None:
        self._screen.question(asked)
        if isinstance(asked, ev.PlanAsked):
            return await self._accept(asked)
        self.refused += [
            Refused(tool=item.name, header=item.header, rule=item.rule)
            for item in asked.items
            if item.needs_approval
        ]
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


class _Tally:
    """What a turn has cost and done, as its events tell."""

    def __init__(self) -> None:
        self.money = 0.0
        self.tool_calls = 0

    def saw(self, event: ev.Event) -> None:
        match event:
            case ev.StepFinished():
                self.money += event.money
            case ev.ToolStarted():
                self.tool_calls += 1


def _result(
    info: WorkstreamInfo,
    ending: ev.TurnEnded | None,
    tally: _Tally,
    refused: list[Refused],
    code: int,
) -> Result:
    """`ending` is None where it was left before the turn had stopped."""
    ending = ending or ev.TurnEnded(outcome="cancelled")
    return Result(
        outcome=ending.outcome,
        exit_code=code,
        text=ending.text,
        reason=ending.reason,
        ws_id=info.id,
        session_id=info.session_id,
        correlation_id=ending.correlation_id,
        steps=ending.steps,
        tool_calls=tally.tool_calls,
        usage=ending.usage,
        money=tally.money,
        seconds=ending.seconds,
        refused=refused,
    )


def print_result(result: Result) -> None:
    """One line. Raises StreamFailed, BrokenPipeError."""
    write_out(plain_json(msgspec.json.encode(result).decode()) + "\n")


def _print_envelope(event: ev.Event) -> None:
    write_out(plain_json(ev.encode(event).decode()) + "\n")


def _print_answer(text: str) -> None:
    if text:
        shown = plain(text)
        write_out(shown if shown.endswith("\n") else f"{shown}\n")

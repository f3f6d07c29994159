"""What happens in a workstream, as lines of a terminal. Scrollback first: printed once, never redrawn.

Text is printed as it streams; tool calls are cards with their outcome; endings that are no
answer are sentences. Everything from outside goes through `cli.plain` before it is printed,
and none of it is read as markup. Reads no input and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from turnstone.cli.plain import one_line, plain
from turnstone.cli.streams import drop, stdout_gone
from turnstone.core import events as ev
from turnstone.core.host import CommandReply

#: Lines of a tool's output that are shown: its beginning, and its end, where errors stand.
FOLD_HEAD, FOLD_TAIL = 8, 4
#: Characters of one line of output: some four rows, so that one line cannot flood the screen.
LINE_LENGTH = 400

_STATUS: dict[ev.ToolStatus, tuple[str, str]] = {
    "ok": ("✓ done", "green"),
    "error": ("✗ failed", "red"),
    "invalid": ("✗ not a valid call: not run", "red"),
    "denied": ("⊘ denied: not run", "yellow"),
    "expired": ("⊘ expired: nobody answered in time, not run", "yellow"),
    "cancelled": ("⊘ cancelled", "yellow"),
    "unknown": ("? outcome unknown: it was started, and may have run partly or fully", "magenta"),
}

_ENDINGS: dict[ev.Outcome, tuple[str, str]] = {
    "empty": ("The model gave no answer", "yellow"),
    "max_steps": ("The turn was ended at its limit", "yellow"),
    "max_time": ("The turn was ended at its limit", "yellow"),
    "max_tokens": ("The turn was ended at its limit", "yellow"),
    "over_budget": ("The turn was ended: its budget is used up", "yellow"),
    "needs_input": ("The turn waits for you", "yellow"),
    "failed": ("The turn failed", "red"),
    "cancelled": ("The turn was stopped", "yellow"),
}

#: Columns that a sentence gets at least, however narrow the terminal is.
_NARROWEST = 20

#: What stands left of the last column of a row: what goes on below it begins there again.
_LEFT = re.compile(r"(?:\S+ )*\S* {2,}(?=\S)")
_LEFTMOST = 40

#: Columns of the names in a table.
_NAMES = 11

#: Reasons that say no more than the ending itself.
_BARE_REASONS = ("", "cancelled")


def make_console(file: TextIO | None = None) -> Console:
    """A console for `Screen`: without `file`, on whatever stdout is when it prints."""
    return _Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich itself would end the program here; that is for whoever called it."""
        raise  # noqa: PLE0704 - called while the BrokenPipeError is handled


class Screen:
    """Shows events. `answers`: whether the model's text is shown, or only what surrounds it.

    Answers that cannot be written raise StreamFailed (BrokenPipeError when nobody reads any
    more); what only surrounds them is dropped.
    """

    def __init__(self, console: Console, *, answers: bool = True) -> None:
        self._console = console
        self._answers = answers
        self._items: dict[str, ev.ToolItem] = {}
        self._card = ""  # the call whose card was printed last
        self._shown: list[str] = []  # rows of its output, as they came
        self._row = ""  # the row that is not whole yet
        self._streamed = ""  # of the step in progress; empty again once it was finished
        self._broken = False  # what had streamed is void, and why is not told yet
        self._kind: type[ev.Event] | None = None
        self._at_start = True  # of a line
        self._usage: ev.Status | None = None
        self._own: set[str] = set()
        self._own_commands: set[str] = set()

    def is_known(self, own_id: str) -> None:
        """A message or an answer of the person here, by its id: it is not shown to them again."""
        self._own.add(own_id)

    def answer(self, reply: CommandReply, *, as_it_is: bool = False) -> None:
        """What a command had to say; not shown again when it comes with the events. Wrapped
        between words, but for what is `as_it_is`: a file, say."""
        self._own_commands.add(reply.command_id)
        style = "red" if reply.error else ""
        for row in _rows(reply.text):
            if as_it_is:
                self._break()
                self._write(row, style)
                self._at_start = False
                continue
            left = _LEFT.match(row)
            start = left[0] if left and len(left[0]) <= _LEFTMOST else ""
            self._wrapped(start, row[len(start) :], style, hang=" " * len(start) or "  ")
        self._break()

    def show(self, event: ev.Event) -> None:
        if self._broken:
            self._tell_broken(event)
        match event:
            case ev.Content() | ev.Reasoning():
                self._piece(event)
            case ev.StepStarted():
                self._streamed = ""
            case ev.StreamReset():
                self._reset()
            case ev.StepFinished():
                self._step_finished(event)
            case ev.ApprovalAsked():
                self._items.update({item.call_id: item for item in event.items})
            case ev.ToolStarted():
                self._started(event)
            case ev.ToolOutput() if event.call_id == self._card:
                self._printed(event)
            case ev.ToolFinished():
                self._finished(event)
            case ev.TurnEnded():
                self._ended(event)
            case ev.Status():
                self._usage = event
            case _:
                self._notice(event)

    def line(self, text: str, style: str = "", *, indent: str = "") -> None:
        """One line, whatever the text holds; wrapped between words where it is too long."""
        self._wrapped(indent, one_line(text), style, hang=f"{indent}  ")

    def keys_were_echoed(self) -> None:
        """A terminal has put what was struck (`^C`) where we are: go on below it."""
        if self._console.is_terminal:
            self._at_start = False

    def table(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and what they mean."""
        for name, meaning in rows:
            self._wrapped(f"  {name}".ljust(_NAMES), one_line(meaning), hang=" " * _NAMES)

    def question(self, asked: ev.ApprovalAsked | ev.PlanAsked) -> None:
        """What is about to happen, exactly, and why it is asked; or a plan, whole.

        Nothing of it is folded away: nobody should agree to what they cannot see.
        """
        if asked.origin is not None:
            self.line(f"from the sub-agent {asked.origin.name}:", "dim")
        if isinstance(asked, ev.PlanAsked):
            where = f", in {asked.path}" if asked.path else ""
            self.line(f"◆ a plan to be reviewed{where}", "bold yellow")
            for row in _rows(asked.content):
                self._put("  │ ", row, "")
            return
        for item in asked.items:
            if not item.needs_approval:
                continue
            self.line(f"◆ {item.header}", "bold yellow")
            diff = item.preview.startswith("--- ")
            for row in _rows(item.preview):
                self._put("  │ ", row, _diff_style(row) if diff else "")
            if item.rule:
                self.line(f"asked because: {item.rule}", "dim", indent="  ")

    def _piece(self, event: ev.Content | ev.Reasoning) -> None:
        if not self._answers:
            return
        if self._kind is not None and self._kind is not type(event):
            self._break()
        self._kind = type(event)
        if isinstance(event, ev.Content):
            self._streamed += event.text
        self._write(plain(event.text), "" if isinstance(event, ev.Content) else "dim italic")

    def _reset(self) -> None:
        self._streamed = ""
        self._broken = True
        self._break()

    def _tell_broken(self, event: ev.Event) -> None:
        """What comes next says whether the model is asked again."""
        match event:
            case ev.CancelRequested() | ev.StepFailed() | ev.TurnEnded():
                said = "The answer broke off."
            case ev.Content() | ev.Reasoning() | ev.StepStarted() | ev.StepFinished():
                said = "The answer broke off; the model is asked again."
            case _:
                return
        self._broken = False
        self.line(said, "dim")

    def _step_finished(self, event: ev.StepFinished) -> None:
        """The answer is whole: print what of it had not streamed."""
        if self._answers and event.text.startswith(self._streamed):
            self._piece(ev.Content(text=event.text[len(self._streamed) :]))
        elif self._answers:
            self._break()
            self._piece(ev.Content(text=event.text))
        self._streamed = ""
        self._kind = None
        self._break()

    def _started(self, event: ev.ToolStarted) -> None:
        if event.item is not None:
            self._items[event.call_id] = event.item
        self._print_card(event.call_id, event.name)

    def _print_card(self, call_id: str, name: str) -> None:
        self._card = call_id
        self._shown, self._row = [], ""
        item = self._items.get(call_id)
        self.line(f"▸ {item.header if item else name}", "bold cyan")

    def _printed(self, event: ev.ToolOutput) -> None:
        """The first rows of what a call prints, as soon as each is whole."""
        room = FOLD_HEAD - len(self._shown)
        if not room:
            return
        *whole, self._row = (self._row + event.text).split("\n")
        for row in map(plain, whole[:room]):
            self._put("    ", _cut(row), "dim")
            self._shown.append(row)

    def _finished(self, event: ev.ToolFinished) -> None:
        if self._card != event.call_id:
            self._print_card(event.call_id, event.name)
        self._card = ""
        said, style = _STATUS[event.status]
        self.line(said, style, indent="  ")
        rows, shown = _rows(event.output), len(self._shown)
        if rows[:shown] != self._shown:
            shown = 0  # what it gave is not what it printed
        for row in _folded(rows, FOLD_HEAD, FOLD_TAIL)[shown:]:
            self._put("    ", _cut(row), "dim")

    def _ended(self, event: ev.TurnEnded) -> None:
        if not event.begun:
            self.line("A message that waited was taken back.", "dim")
        if not event.ends_turn:
            return
        self._streamed, self._kind = "", None
        self._items.clear()
        if event.outcome in _ENDINGS:
            said, style = _ENDINGS[event.outcome]
            reason = "" if event.reason in _BARE_REASONS else f": {event.reason}"
            self.line(f"{said}{reason}.".replace("..", "."), style)
        elif event.reason:
            self.line(f"Note: {event.reason}.", "yellow")
        if self._usage is not None:
            self.line(_cost(self._usage), "dim")
        self._usage = None

    def _notice(self, event: ev.Event) -> None:
        match event:
            case ev.MessageAccepted() if event.correlation_id not in self._own:
                self.line(f"› {event.message}", "bold")
            case ev.ApprovalAnswered() if event.request_id not in self._own:
                verdict = "changed" if event.edited else "allowed" if event.approved else "refused"
                self.line(f"{verdict} by {event.by or 'somebody else'}", "dim")
            case ev.PlanAnswered() if event.request_id not in self._own:
                said = event.feedback or "accepted"
                self.line(f"the plan was answered by {event.by or 'somebody else'}: {said}", "dim")
            case ev.AgentProgress():
                doing = event.activity or event.state
                self.line(f"· {event.origin.name}: {doing}", "dim", indent="  ")
            case ev.TurnResumed():
                self.line(f"The node took this turn up again (attempt {event.attempt}).", "dim")
            case ev.Error() | ev.Info() if event.correlation_id in self._own_commands:
                pass  # it was the answer to a command, and is shown
            case ev.Error() if event.code != "turn_failed":
                self.line(event.message, "red")
            case ev.Info():
                self.line(event.message, "dim")
            case ev.WsClosed():
                self.line("This workstream was closed.", "yellow")

    def _wrapped(self, start: str, text: str, style: str = "", *, hang: str) -> None:
        """`start` and the text, with `hang` before the rows that follow the first."""
        for n, row in enumerate(self._rows_of(text, max(len(start), len(hang)))):
            self._break()
            self._write((hang if n else start) + row, style)
        self._break()

    def _rows_of(self, text: str, margin: int) -> list[str]:
        """Broken between words to the width of the terminal; where there is none, as it is."""
        if not self._console.is_terminal:
            return [text]
        width = max(self._console.width - margin, _NARROWEST)
        rows = Text(text).wrap(self._console, width, overflow="fold", no_wrap=False)
        return [row.plain.rstrip() for row in rows]

    def _put(self, bar: str, row: str, style: str) -> None:
        self._break()
        self._write(bar, "dim")
        self._write(plain(row), style)
        self._at_start = False
        self._break()

    def _break(self) -> None:
        """Go on at the start of a line."""
        if not self._at_start:
            self._write("\n")

    def _write(self, text: str, style: str = "") -> None:
        if not text:
            return
        self._at_start = text.endswith("\n")
        try:
            self._console.out(text, style=style or None, highlight=False, end="")
            self._console.file.flush()
        except OSError as error:
            if not self._answers:
                drop(self._console.file)  # the answer is written elsewhere
            elif isinstance(error, BrokenPipeError):
                raise
            else:
                raise stdout_gone(error) from error


def _rows(text: str) -> list[str]:
    """Lines, split only where a terminal would begin one."""
    return plain(text).rstrip("\n").split("\n") if text.strip() else []


def _folded(rows: Sequence[str], head: int, tail: int) -> Sequence[str]:
    hidden = len(rows) - head - tail
    if hidden <= 1:
        return rows
    return [*rows[:head], f"… {hidden} more lines are not shown …", *rows[-tail:]]


def _cut(row: str) -> str:
    hidden = len(row) - LINE_LENGTH
    return row if hidden <= 0 else f"{row[:LINE_LENGTH]}… ({hidden} more characters)"


def _diff_style(row: str) -> str:
    if row.startswith(("---", "+++", "@@")):
        return "dim"
    return {"+": "green", "-": "red"}.get(row[:1], "")


def _cost(usage: ev.Status) -> str:
    said = f"{usage.total_tokens:,} tokens"
    return f"{said} · {usage.pct:g} % of the context" if usage.context_window else said

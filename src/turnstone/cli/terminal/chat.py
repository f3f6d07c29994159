"""What stands on the terminal: one workstream at a time, its question, the status of all.

Prints what the views give, once and in order, and says what is to be drawn. What the person
does is in `acts`; nothing is decided here but where the keys go.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from turnstone.cli.plain import one_line
from turnstone.cli.terminal import live, paint
from turnstone.cli.terminal.dialogs import ask
from turnstone.cli.terminal.printed import Divider, Note, Printed, Reply
from turnstone.cli.terminal.seams import Dialog, Line
from turnstone.cli.terminal.stage import MOMENT, Stage
from turnstone.cli.terminal.view import View
from turnstone.cli.terminal.workstreams import Opened, Workstreams
from turnstone.core.errors import TurnstoneError, UnknownWorkstream
from turnstone.core.host import Host, NodeHealth

#: Seconds for which letters are no answer to a question that has just come: they were meant for
#: something else.
UNANSWERED = 0.7
#: Things that were folded when they were printed, and can be shown whole: the newest.
_FOLDED = 20

_LOST = "✖ The node cannot be reached. What it does comes when it can be again."
_IDLE = "a message · /help · Alt-Enter: a new line"
_BUSY = "Enter queues · Alt-Enter steers · Ctrl-C stops"
_ASKED = "Tab answers the question · Enter queues · Alt-Enter steers"


class Chat:
    """`here` is the workstream that is shown. `stage` is set before anything is shown."""

    stage: Stage
    here: Opened

    def __init__(self, host: Host, health: NodeHealth) -> None:
        self.workstreams = Workstreams(host, self._changed, self.fail)
        self.folded: deque[Printed] = deque(maxlen=_FOLDED)
        self.held = False  # the terminal is somebody else's: an editor's
        self._health = health
        self._asked_at = 0.0
        self._states: dict[str, str] = {}
        self._title = ""
        self._begun = False
        self._flushing: asyncio.TimerHandle | None = None

    @property
    def ws_id(self) -> str:
        """The workstream that is shown."""
        return self.here.view.ws_id

    def leave(self) -> None:
        if self.stage.app.is_running and not self.stage.app.is_done:
            self.stage.app.exit(result=0)

    async def aclose(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
        await self.workstreams.aclose()

    # what is printed

    def tell(self, line: str) -> None:
        self.say(Reply(line, verbatim=True))

    def say(self, *items: Printed) -> None:
        """Print these behind what waits to be printed."""
        for item in items:
            self.here.say(item)
        self.flush()

    def complain(self, error: TurnstoneError) -> None:
        """One sentence and what to do."""
        self.say(Note(f"error: {error.message}", "bad"))
        if error.hint:
            self.say(Note(f"  {error.hint}"))

    async def go_to(self, ws_id: str, *, first: bool = False) -> None:
        """Show another workstream; what was typed stays with the one before. Raises what
        following raises, and nothing has changed then."""
        opened = await self.workstreams.open(ws_id)
        if ws_id not in self.workstreams.infos:
            await self.workstreams.refresh()
        buffer = self.stage.app.layout.current_buffer
        if not first and opened is not self.here and buffer is not None:
            self.flush()
            self.here.draft, buffer.text = buffer.text, opened.draft
            buffer.cursor_position = len(buffer.text)
        self.here, self._begun = opened, True
        if not first:
            opened.waiting.insert(0, Divider(f"{opened.view.name} ({ws_id})"))
        self._states.pop(ws_id, None)
        self.flush()

    def flush(self) -> None:
        """Print what waits, and draw what is alive."""
        self._flushing = None
        if self.held:
            return
        items, self.here.waiting = self.here.waiting, []
        self.folded.extend(item for item in items if paint.whole(item, 1) is not None)
        self._sync_dialog()
        self.stage.print(items)
        self._look_for_failure()
        self._announce()
        self.stage.app.invalidate()

    def fail(self, error: BaseException) -> None:
        """The program cannot go on."""
        if self.stage.app.is_running and not self.stage.app.is_done:
            self.stage.app.exit(exception=error)

    def _changed(self) -> None:
        """What changes in one moment is drawn at once, and never more often."""
        if self._flushing is None and self._begun:
            loop = asyncio.get_running_loop()
            self._flushing = loop.call_later(MOMENT, self._flush_later)

    def _flush_later(self) -> None:
        try:
            self.flush()
        except Exception as error:  # a callback of the loop: nobody above would hear of it
            self.fail(error)

    def _look_for_failure(self) -> None:
        """A workstream that is gone is told; a node that is gone ends the program."""
        failure = self.here.failure
        if failure is None or self.here.view.closed:
            return
        self.here.view = View(ws_id=self.here.view.ws_id, name=self.here.view.name, closed=True)
        if isinstance(failure, UnknownWorkstream):
            self.complain(failure)
            self.say(Note("/ws new begins another workstream."))
        else:
            self.fail(failure)

    def _announce(self) -> None:
        """Ring, and say so, when another workstream begins to need somebody."""
        waiting = []
        for tab, ws_id in zip(
            self.workstreams.tabs(self.ws_id), self.workstreams.infos, strict=True
        ):
            before, self._states[ws_id] = self._states.get(ws_id), tab.state
            if tab.here or tab.state != "attention":
                continue
            waiting.append(tab.name)
            if before != "attention":
                self.stage.bell()
                said = f"◆ {tab.number} {one_line(tab.name)} asks: /ws {tab.number} goes there."
                self.stage.print([Note(said, "warn")])
        name = one_line(self.here.view.name) or "turnstone"
        mark = f"◆ {one_line(waiting[0])} · " if waiting else ""
        symbol = live.SYMBOLS[self.here.view.state]
        title = f"{mark}{symbol} {name} · turnstone"
        if title != self._title:
            self._title = title
            self.stage.title(title)

    # questions

    def _sync_dialog(self) -> None:
        """The question that is shown is one that waits: those settled elsewhere go, others come."""
        here = self.here
        open_ids = {asked.request_id for asked in here.view.questions} - here.answered
        dialog: Dialog | None = here.dialog
        for request_id in () if dialog is None else dialog.requests:
            if request_id not in open_ids and dialog is not None:
                dialog = dialog.without(request_id)
        for asked in here.view.questions:
            if asked.request_id not in open_ids:
                continue
            if dialog is None:
                dialog = ask(asked)
                self._asked_at = time.monotonic()
                self.stage.ask(focus=not self._typing())
                asyncio.get_running_loop().call_later(UNANSWERED, self.stage.app.invalidate)
            elif asked.request_id not in dialog.requests:
                dialog = dialog.with_more(asked)
        here.dialog = dialog
        if dialog is None and self.stage.asking:
            self.stage.ask(focus=False)

    def _typing(self) -> bool:
        buffer = self.stage.app.layout.current_buffer
        return buffer is not None and bool(buffer.text)

    @property
    def may_answer(self) -> bool:
        """The question has been there for long enough to have been seen."""
        return time.monotonic() - self._asked_at >= UNANSWERED

    # what is drawn: `stage.Shown`

    def live(self, width: int, height: int) -> Sequence[Line]:
        return live.live(self.here.view, width, height, time.time())

    def questioned(self) -> bool:
        return self.here.dialog is not None

    def question(self, width: int, height: int) -> Sequence[Line]:
        focus = self.stage.asking and self.may_answer
        dialog = self.here.dialog
        return [] if dialog is None else dialog.lines(width, height, focus=focus)

    def cursor(self, width: int, height: int) -> tuple[int, int] | None:
        return None if self.here.dialog is None else self.here.dialog.cursor(width, height)

    def status(self, width: int) -> Line:
        view, usage = self.here.view, self.here.usage
        info = self.workstreams.infos.get(view.ws_id)
        context = view.status.pct if view.status.context_window else 0.0
        numbers = live.Numbers(
            model=view.model or self._health.model,
            sandbox=self._health.sandbox,
            context=context or (info.context_ratio * 100 if info is not None else 0.0),
            tokens=usage.tree.total_tokens if usage is not None else 0,
            money=usage.tree.money if usage is not None else 0.0,
            left=view.status.left,
        )
        if self.workstreams.lost:
            return [("bad", paint.crop(_LOST, width))]
        return live.status(self.workstreams.tabs(view.ws_id), numbers, width)

    def hint(self) -> str:
        if self.here.dialog is not None:
            return _ASKED if not self.stage.asking else ""
        return _BUSY if self.here.view.turn else _IDLE

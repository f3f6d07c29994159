"""What the person does: sends, steers, stops, answers, commands, leaves. What each of it means
is the node's affair; here it is told the node, and what goes wrong is told the person.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from prompt_toolkit.buffer import Buffer

from turnstone.cli.here import HERE, Cluster, Here
from turnstone.cli.plain import sendable
from turnstone.cli.terminal import paint
from turnstone.cli.terminal.chat import Chat
from turnstone.cli.terminal.editor import edit
from turnstone.cli.terminal.printed import Note, Printed, Reply
from turnstone.cli.terminal.seams import Compose, Composed, Dialog, Edit, Key, Settled
from turnstone.cli.terminal.workstreams import Opened
from turnstone.cli.turn import SENDER
from turnstone.core.commands import is_command
from turnstone.core.errors import TurnstoneError, UnknownRequest, UnknownWorkstream
from turnstone.core.host import CreateWorkstream, Host, PlanReply, SendMessage

#: Seconds between two attempts to stop a turn that is only about to begin.
_ASK_AGAIN = 0.05

_STOPPING = "Stopping … (Ctrl-C once more leaves without waiting)"
_ONCE_MORE = "Press Ctrl-C once more to leave, or Ctrl-D."


class Rows:
    """Text that comes in pieces, told in whole lines."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._rest = ""

    def take(self, text: str) -> None:
        whole, end, self._rest = (self._rest + text).rpartition("\n")
        if end:
            self._tell(whole)

    def end(self) -> None:
        if self._rest:
            self._tell(self._rest)


class Acts:
    """`buffer` is the input. Everything that waits for the node is a task of its own: the
    input is always alive."""

    def __init__(
        self,
        host: Host,
        chat: Chat,
        buffer: Buffer,
        compose: Compose,
        create: CreateWorkstream,
        cluster: Cluster | None = None,
    ) -> None:
        self._host = host
        self._chat = chat
        self._buffer = buffer
        self._compose = compose
        self._here = Here(host, chat, create, cluster)
        self._tasks: set[asyncio.Task[None]] = set()
        self._shell: asyncio.Task[None] | None = None
        self._warned = False  # that one more Ctrl-C leaves
        self._unfolded: Printed | None = None

    def enter(self, *, steer: bool = False) -> None:
        """What stands in the input is sent, or carried out."""
        self._warned = False
        typed = sendable(self._buffer.text)
        if not typed.strip():
            return
        self._buffer.append_to_history()
        self._buffer.reset()
        line = typed.strip()
        if is_command(line):
            self._chat.say(Note(f"› {line}"))
            self._do(self._command(self._chat.here, line))
        elif line.startswith("!") and len(line) > 1:
            self._shell = self._do(self._run(self._chat.here, line[1:].strip()))
        else:
            self._do(self._say(self._chat.here, typed, steer=steer))

    def newline_or_steer(self) -> None:
        if self._chat.here.busy:
            self.enter(steer=True)
        else:
            self._buffer.insert_text("\n")

    def interrupt(self) -> None:
        """Ctrl-C: stops what runs; in an idle line it is cleared, and twice leaves."""
        here = self._chat.here
        if self._shell is not None and not self._shell.done():
            self._shell.cancel()
        elif here.busy and not self._warned:
            self._warned = True
            self._chat.say(Note(_STOPPING, "warn"))
            self._do(self._stop(here))
        elif here.busy or (self._warned and not self._buffer.text):
            self.leave()
        elif self._buffer.text:
            self._warned = False
            self._buffer.append_to_history()
            self._buffer.reset()
        else:
            self._warned = True
            self._chat.say(Note(_ONCE_MORE))

    def leave(self) -> None:
        self._chat.leave()

    def typed(self) -> None:
        """Something else was done than to leave."""
        if not self._chat.here.busy:
            self._warned = False

    def answer(self, key: Key) -> None:
        """A key for the question that is shown."""
        here = self._chat.here
        dialog = here.dialog
        if dialog is None:
            return
        typing = dialog.cursor(self._chat.stage.columns, self._chat.stage.rows) is not None
        if not typing and key.name in ("tab", "escape"):
            self._chat.stage.ask(focus=False)
        elif typing or self._chat.may_answer:
            self._become(here, dialog.on_key(key))
        self._chat.flush()

    def unfold(self) -> None:
        """The newest thing that was folded, whole; again: the one before it."""
        chat = self._chat
        if not chat.folded:
            return
        shown = chat.folded.pop()
        chat.stage.put(paint.whole(shown, chat.stage.columns) or [])

    def take_back(self) -> None:
        """The newest of the own messages that wait is no longer to be sent: it is edited again."""
        here = self._chat.here
        own = [m for m in here.view.queued if m.correlation_id in here.view.own]
        if own and not self._buffer.text:
            self._do(self._taken_back(here, own[-1].correlation_id, own[-1].text))

    def go_to(self, number: int) -> None:
        self._do(self._here.workstreams(str(number)))

    async def edit_input(self) -> None:
        text = await self._edited(self._buffer.text, ".md")
        if text is not None:
            self._buffer.text = text.rstrip("\n")
            self._buffer.cursor_position = len(self._buffer.text)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._do(work)

    def _do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def told() -> None:
            try:
                await work
            except TurnstoneError as error:
                self._chat.complain(error)
                if isinstance(error, UnknownWorkstream):
                    self._chat.say(Note("/ws new begins another workstream."))
            except Exception as error:  # a task of its own: nobody above would hear of it
                self._chat.fail(error)

        task = asyncio.create_task(told())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _say(self, here: Opened, typed: str, *, steer: bool) -> None:
        """Nothing is waited for before it is sent: messages stay in their order."""
        try:
            composed = self._compose.composed(typed)
        except TurnstoneError:
            self._give_back(typed)
            raise
        await self._send(here, composed, typed, steer=steer)

    async def _send(self, here: Opened, composed: Composed, typed: str, *, steer: bool) -> None:
        correlation_id = uuid.uuid4().hex
        here.knows(correlation_id)
        message = SendMessage(
            ws_id=here.view.ws_id,
            message=composed.text,
            correlation_id=correlation_id,
            busy="steer" if steer else "queue",
            sender=SENDER,
            attachments=list(composed.files),
        )
        here.sending += 1
        try:
            accepted = await self._host.send(message)
        except TurnstoneError:
            self._give_back(typed)
            raise
        finally:
            here.sending -= 1
        if accepted.notice:
            self._chat.say(Note(accepted.notice, "warn"))

    def _give_back(self, typed: str) -> None:
        """It was not sent, and is not lost: where the input is in use, Up finds it."""
        if not self._buffer.text:
            self._buffer.text = typed
            self._buffer.cursor_position = len(typed)

    async def _command(self, here: Opened, line: str) -> None:
        """Those of the terminal are carried out here, all others by the node."""
        name, _, argument = line.partition(" ")
        own = HERE.get(name.lower())
        if own is not None:
            await own(self._here, argument.strip())
            return
        command_id = uuid.uuid4().hex
        here.knows(command_id)
        reply = await self._host.command(here.view.ws_id, line, command_id=command_id)
        verbatim = name.lower() == "/export"
        here.say(Reply(reply.text, bool(reply.error), verbatim))
        self._chat.flush()
        if reply.ws_id:
            await self._chat.go_to(reply.ws_id)

    async def _run(self, here: Opened, command: str) -> None:
        self._chat.say(Note(f"! {command}", "strong"))
        rows = Rows(lambda text: self._chat.say(Reply(text, verbatim=True)))
        try:
            message = await self._compose.shell(command, rows.take)
        finally:
            rows.end()
        if message:
            await self._send(here, Composed(message), f"!{command}", steer=False)

    async def _stop(self, here: Opened) -> None:
        """The turn in progress, or the one that is only about to begin."""
        await here.until(lambda view: bool(view.turn) or not here.sending)
        turn = here.view.turn
        while here.view.turn == turn and not await self._host.cancel(here.view.ws_id):
            await here.until(lambda view: view.turn != turn, _ASK_AGAIN)
        await here.until(lambda view: view.turn != turn)
        self._warned = False

    async def _taken_back(self, here: Opened, correlation_id: str, text: str) -> None:
        if await self._host.cancel(here.view.ws_id, correlation_id) and not self._buffer.text:
            self._buffer.text = text
            self._buffer.cursor_position = len(text)

    def _become(self, here: Opened, outcome: Dialog | Settled | Edit) -> None:
        if isinstance(outcome, Settled):
            here.answered |= {reply.request_id for reply in outcome.replies}
            here.dialog = None
            self._do(self._give(here, outcome))
        elif isinstance(outcome, Edit):
            self._do(self._edit_answer(here, outcome))
        else:
            here.dialog = outcome

    async def _give(self, here: Opened, settled: Settled) -> None:
        for reply in settled.replies:
            here.knows(reply.request_id)
            try:
                if isinstance(reply, PlanReply):
                    await self._host.answer_plan(reply)
                else:
                    await self._host.approve(reply)
            except UnknownRequest:
                self._chat.say(Note("It was settled elsewhere in the meantime."))
            except TurnstoneError:
                here.answered.discard(reply.request_id)  # it waits still, and is shown again
                raise

    async def _edit_answer(self, here: Opened, wanted: Edit) -> None:
        text = await self._edited(wanted.text, wanted.suffix)
        if here.dialog is not None:
            self._become(here, here.dialog.edited(text))
        self._chat.flush()

    async def _edited(self, text: str, suffix: str) -> str | None:
        """What the person's editor makes of it; the terminal is the editor's meanwhile."""
        self._chat.held = True
        try:
            return await edit(text, suffix)
        finally:
            self._chat.held = False
            self._chat.flush()

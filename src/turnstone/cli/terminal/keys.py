"""Which key does what: in the input, in a question, and everywhere. No key is read here."""

from __future__ import annotations

from typing import TypeAlias

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, has_completions
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from turnstone.cli.terminal.acts import Acts
from turnstone.cli.terminal.chat import Chat
from turnstone.cli.terminal.pastes import Moment
from turnstone.cli.terminal.seams import Compose, Key

#: The keys that a question is given, by prompt_toolkit's names, which are `seams.Key`'s.
_PASSED = (
    *("enter", "escape", "tab", "s-tab", "backspace", "delete", "left", "right", "up", "down"),
    *("home", "end", "pageup", "pagedown"),
    *(f"c-{letter}" for letter in "abefgknoprtuvwxy"),
)

E: TypeAlias = KeyPressEvent


def of_everything(acts: Acts, chat: Chat, buffer: Buffer, compose: Compose) -> KeyBindings:
    """The keys of the input, and those that work in a question too."""
    keys = KeyBindings()
    asking = Condition(lambda: chat.stage.asking)
    typing = ~asking
    pasting = Moment()
    buffer.on_text_insert += lambda _: _goes_on(pasting)

    @keys.add("c-c")
    @keys.add("<sigint>")
    def _(_event: E) -> None:
        acts.interrupt()

    @keys.add("c-d", filter=asking | Condition(lambda: not buffer.text))
    def _(_event: E) -> None:
        acts.leave()

    @keys.add("c-z")
    def _(event: E) -> None:
        event.app.suspend_to_background()

    @keys.add("c-l")
    def _(event: E) -> None:
        event.app.renderer.clear()

    @keys.add("c-o")
    def _(_event: E) -> None:
        acts.unfold()

    @keys.add("enter", filter=typing)
    @keys.add("c-j", filter=typing)  # Enter that was struck before this program had the terminal
    def _(_event: E) -> None:
        if pasting.goes_on():
            buffer.insert_text("\n")
        elif buffer.text.endswith("\\"):  # as in a shell: the line goes on
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            acts.enter()

    @keys.add("escape", "enter", filter=typing)
    def _(_event: E) -> None:
        if pasting.goes_on():
            buffer.insert_text("\n")
        else:
            acts.newline_or_steer()

    @keys.add("escape", "up", filter=typing)
    def _(_event: E) -> None:
        acts.take_back()

    @keys.add("c-x", "c-e", filter=typing)
    def _(_event: E) -> None:
        acts.start(acts.edit_input())

    @keys.add(Keys.BracketedPaste, filter=typing)
    def _(event: E) -> None:
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        buffer.insert_text(compose.pasted(text))
        pasting.begin()

    @keys.add("tab", filter=typing & ~has_completions & Condition(chat.questioned))
    def _(_event: E) -> None:
        chat.stage.ask(focus=True)

    @keys.add("tab", filter=typing & ~Condition(chat.questioned))
    def _(_event: E) -> None:
        if buffer.complete_state is not None:
            buffer.complete_next()
        else:
            buffer.start_completion(insert_common_part=True)

    for number in range(1, 10):
        _go_to(keys, acts, number)
    return keys


def of_a_question(acts: Acts) -> KeyBindings:
    """The keys that a question is given: all but those of everything."""
    keys = KeyBindings()
    pasting = Moment()

    for name in _PASSED:
        _pass_on(keys, acts, name, pasting)

    @keys.add("escape", "enter")
    def _(_event: E) -> None:
        acts.answer(Key("a-enter"))

    @keys.add(Keys.BracketedPaste)
    def _(event: E) -> None:
        acts.answer(Key("paste", event.data))
        pasting.begin()

    @keys.add(Keys.Any)
    def _(event: E) -> None:
        if event.data.isprintable():
            acts.answer(Key("paste" if pasting.goes_on() else "text", event.data))

    return keys


def _pass_on(keys: KeyBindings, acts: Acts, name: str, pasting: Moment) -> None:
    @keys.add(name)
    def _(_event: E) -> None:
        acts.answer(Key("a-enter" if name == "enter" and pasting.goes_on() else name))


def _goes_on(pasting: Moment) -> None:
    pasting.goes_on()


def _go_to(keys: KeyBindings, acts: Acts, number: int) -> None:
    @keys.add("escape", str(number))
    def _(_event: E) -> None:
        acts.go_to(number)

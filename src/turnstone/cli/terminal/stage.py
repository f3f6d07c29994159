"""The place at the bottom of the terminal: what is alive, the question, the input, the status bar.

prompt_toolkit draws it, and redraws it in place; what is printed goes above it, once. It is no
full screen, and asks the terminal for nothing (no cursor reports), so that what is typed stays
what is typed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from prompt_toolkit.application import Application
from prompt_toolkit.application.current import set_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Point
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindingsBase
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.dimension import Dimension
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.layout.processors import (
    AfterInput,
    BeforeInput,
    ConditionalProcessor,
    Processor,
)
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from turnstone.cli.terminal import paint, printed
from turnstone.cli.terminal.seams import Line
from turnstone.cli.terminal.theme import Theme, to_ansi, to_toolkit

#: Seconds between two drawings at least.
MOMENT = 0.05
#: Rows of the input, and of its completions.
_INPUT_ROWS, _MENU_ROWS = 10, 6


class Shown(Protocol):
    """What the stage asks for when it draws: lines for so many columns and rows."""

    def live(self, width: int, height: int) -> Sequence[Line]: ...
    def questioned(self) -> bool: ...
    def question(self, width: int, height: int) -> Sequence[Line]: ...
    def cursor(self, width: int, height: int) -> tuple[int, int] | None: ...
    def status(self, width: int) -> Line: ...
    def hint(self) -> str: ...


class Stage:
    """`questioned` gives its keys to the question that is shown."""

    def __init__(
        self,
        shown: Shown,
        buffer: Buffer,
        keys: KeyBindingsBase,
        questioned: KeyBindingsBase,
        theme: Theme,
        output: Output,
    ) -> None:
        self._shown = shown
        self._theme = theme
        self._output = output
        self._last: printed.Printed | None = None
        self._input = Window(
            BufferControl(buffer, input_processors=self._processors(buffer)),
            height=Dimension(min=1, max=_INPUT_ROWS),
            wrap_lines=True,
            dont_extend_height=True,
        )
        self._asked = FormattedTextControl(
            self._draw(self._about),
            focusable=True,
            key_bindings=questioned,
            get_cursor_position=self._cursor,
        )
        self._question = Window(self._asked, dont_extend_height=True)
        self.app: Application[int] = Application(
            layout=Layout(self._layout(), focused_element=self._input),
            key_bindings=keys,
            style=Style.from_dict({"completion-menu.completion.current": "reverse"}),
            min_redraw_interval=MOMENT,
            refresh_interval=1.0,
            output=output,
            erase_when_done=True,
        )

    @property
    def columns(self) -> int:
        return self._output.get_size().columns

    @property
    def rows(self) -> int:
        return self._output.get_size().rows

    @property
    def asking(self) -> bool:
        """The question has the keys."""
        return self.app.layout.has_focus(self._question)

    def ask(self, *, focus: bool) -> None:
        """Give the keys to the question, or to the input."""
        self.app.layout.focus(self._question if focus else self._input)

    def print(self, items: Sequence[printed.Printed]) -> None:
        """Above everything that is alive, for good."""
        lines: list[Line] = []
        for item in items:
            painted = paint.paint(item, self.columns, self._theme)
            if painted and paint.gap(self._last, item):
                lines.append([])
            lines += painted
            self._last = item if painted else self._last
        self.put(lines)

    def put(self, lines: Sequence[Line]) -> None:
        """The same, for lines that are painted already."""
        if lines:
            self._write(to_ansi(lines, self._theme))

    def title(self, text: str) -> None:
        self._output.set_title(text)
        self._output.flush()

    def clear_title(self) -> None:
        self._output.clear_title()
        self._output.flush()

    def bell(self) -> None:
        self._output.bell()
        self._output.flush()

    def _write(self, text: str) -> None:
        """What is alive is taken away, and drawn again below the text in the same moment."""
        text = text.replace("\n", "\r\n")
        if not self.app.is_running:
            self._output.write_raw(text)
            self._output.flush()
            return
        with set_app(self.app):
            self.app.renderer.erase(leave_alternate_screen=False)
            self._output.write_raw(text)
            self.app.render_counter += 1  # or what was drawn before is drawn again
            self.app.renderer.render(self.app, self.app.layout)
            self.app.layout.update_parents_relations()

    def _layout(self) -> HSplit:
        def live(width: int, height: int) -> Sequence[Line]:
            return self._shown.live(width, 3 if self._shown.questioned() else max(height // 2, 3))

        status = FormattedTextControl(
            self._draw(lambda width, _height: [self._shown.status(width - 1)])
        )
        return HSplit(
            [
                ConditionalContainer(
                    Window(FormattedTextControl(self._draw(live)), dont_extend_height=True),
                    Condition(lambda: bool(live(self.columns, self.rows))),
                ),
                ConditionalContainer(self._question, Condition(self._shown.questioned)),
                self._input,
                CompletionsMenu(max_height=_MENU_ROWS, scroll_offset=1),
                Window(status, height=1),
            ]
        )

    def _about(self, width: int, rows: int) -> Sequence[Line]:
        height = _question_rows(rows)
        return self._shown.question(width, height)[-height:]

    def _cursor(self) -> Point | None:
        """Where a text is typed in the question; without one there is no cursor in it."""
        place = self._shown.cursor(self.columns - 1, _question_rows(self.rows))
        self._asked.show_cursor = place is not None
        return None if place is None else Point(x=place[1], y=place[0])

    def _draw(
        self, lines: Callable[[int, int], Sequence[Line]]
    ) -> Callable[[], StyleAndTextTuples]:
        def drawn() -> StyleAndTextTuples:
            # One column is left free: a row that fills the last one wraps when it is resized.
            return list(to_toolkit(lines(self.columns - 1, self.rows), self._theme))

        return drawn

    def _processors(self, buffer: Buffer) -> list[Processor]:
        hint = AfterInput(
            lambda: [("fg:ansibrightblack", paint.crop(self._shown.hint(), self.columns - 4))]
        )
        empty = Condition(lambda: not buffer.text)
        return [BeforeInput([("bold", "› ")]), ConditionalProcessor(hint, empty)]


def _question_rows(rows: int) -> int:
    """What is left for a question, beside the input and what else is alive."""
    return max(rows - 7, 4)

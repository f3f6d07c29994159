"""What an update of the terminal costs while a Markdown answer of 16 KB streams in: CPU, beside
that of printing the same text with `rich` anew at each update.

`python bench/terminal_stream.py [SIZE]`. An update is one piece of 40 characters, as a node gathers
them in 25 ms. As in the program, which draws at most twenty times a second, every second one is
drawn, with what has been finished until then printed above.
"""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections.abc import Sequence

from prompt_toolkit.application import create_app_session
from prompt_toolkit.application.current import set_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output.vt100 import Vt100_Output

from turnstone.cli.terminal.live import Numbers, Tab, live, status
from turnstone.cli.terminal.markdown import markdown_lines
from turnstone.cli.terminal.printed import Printed
from turnstone.cli.terminal.seams import Line
from turnstone.cli.terminal.stage import Stage
from turnstone.cli.terminal.theme import Theme, to_ansi
from turnstone.cli.terminal.view import View, fold
from turnstone.core import events as ev

PIECE = 40

PART = """\
## A part of the answer

Some text with *emphasis*, **weight**, `code` and a [link](https://example.org/there), which is
long enough to be wrapped a few times, as most text is that a model writes when it explains.

1. one thing after the other
2. with `names` in it, and **weight**
   - and one inside

```python
def part(numbers: list[int]) -> int:
    total = 0
    for number in numbers:
        total += number * 2  # twice
    return total
```

| name | value |
|------|------:|
| one  | 1     |
| two  | 22    |

"""


class Front:
    """What is alive of one view: `stage.Shown` without questions."""

    view = View()

    def live(self, width: int, height: int) -> Sequence[Line]:
        return live(self.view, width, height, 10.0)

    def questioned(self) -> bool:
        return False

    def question(self, _width: int, _height: int) -> Sequence[Line]:
        return []

    def cursor(self, _width: int, _height: int) -> tuple[int, int] | None:
        return None

    def status(self, width: int) -> Line:
        return status([Tab(1, "one", "thinking", here=True)], Numbers("model", "L3", 12.0), width)

    def hint(self) -> str:
        return "Enter queues"


async def streamed(text: str) -> list[float]:
    """CPU milliseconds of each update."""
    front = Front()
    spent: list[float] = []
    output = Vt100_Output(io.StringIO(), lambda: Size(rows=24, columns=80), enable_cpr=False)
    with create_pipe_input() as keys, create_app_session(keys, output):
        stage = Stage(front, Buffer(), KeyBindings(), KeyBindings(), Theme(), output)
        begun = asyncio.Event()
        running = asyncio.create_task(stage.app.run_async(pre_run=begun.set))
        await begun.wait()
        waiting: list[Printed] = []
        for number, start in enumerate(range(0, len(text), PIECE)):
            piece = ev.Content(correlation_id="m", text=text[start : start + PIECE], timestamp=1.0)
            before = time.process_time()
            front.view, items = fold(front.view, piece)
            waiting += items
            if number % 2 and waiting:
                stage.print(waiting)
                waiting = []
            elif number % 2:
                with set_app(stage.app):
                    stage.app.render_counter += 1
                    stage.app.renderer.render(stage.app, stage.app.layout)
            spent.append((time.process_time() - before) * 1e3)
        stage.app.exit(result=0)
        await running
    return spent


def anew(text: str) -> list[float]:
    """The same for an answer that is drawn from its beginning each time: ten updates of it."""
    spent = []
    for end in range(len(text) // 10, len(text) + 1, len(text) // 10):
        before = time.process_time()
        to_ansi(markdown_lines(text[:end], 80, Theme()), Theme())
        spent.append((time.process_time() - before) * 1e3)
    return spent


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 16_384
    text = (PART * (size // len(PART) + 1))[:size]
    spent = asyncio.run(streamed(text))
    quarter = len(spent) // 4
    ordered = sorted(spent)
    print(f"{size:,} characters in {len(spent)} updates")
    print(f"CPU of an update: mean {sum(spent) / len(spent):.2f} ms, ", end="")
    print(f"median {ordered[len(spent) // 2]:.2f} ms, p95 {ordered[len(spent) * 95 // 100]:.2f} ms")
    first, last = sum(spent[:quarter]) / quarter, sum(spent[-quarter:]) / quarter
    print(f"mean of the first quarter {first:.2f} ms, of the last {last:.2f} ms")
    print(f"drawn anew from its beginning: mean {sum(anew(text)) / 10:.2f} ms")


if __name__ == "__main__":
    main()

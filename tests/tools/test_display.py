"""Commands written to look like others: what a question shows of them on a terminal, and carries."""

from __future__ import annotations

import io
import re
import unicodedata

import pytest

from support.tools import prepare
from turnstone.cli.render import Screen, make_console
from turnstone.core import events as ev
from turnstone.core.tool import Prepared, ToolContext
from turnstone.sandbox import Unconfined
from turnstone.tools.bash import Bash

#: Each command, and what a person must be able to read of it.
ATTACKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "right to left override": ("ls \u202egnp.exe", ("\\u202e", "gnp.exe")),
    "left to right override": ("ls \u202drm", ("\\u202d", "rm")),
    "embedding": ("ls \u202bfdp.x\u202c", ("\\u202b", "\\u202c")),
    "isolates": ("if [ a = a\u2066 ]; then \u2069rm x; fi", ("\\u2066", "\\u2069", "rm x")),
    "arabic letter mark": ("ls \u061cx", ("\\u061c",)),
    "directional marks": ("ls \u200e\u200fx", ("\\u200e", "\\u200f")),
    "letters that are written from right to left": ("ls \u05d0; rm x", ("U+05D0", "rm x")),
    "a letter of another script": ("g\u0456t log", ("U+0456",)),
    "a name all of another script": ("\u0430\u0440\u0440\u04cf\u0435 x", ("U+0430", "U+04CF")),
    "full width letters": ("\uff52\uff4d x", ("U+FF52", "U+FF4D")),
    "mathematical letters": ("\U0001d42b\U0001d426 x", ("U+1D42B",)),
    "a hyphen that is none": ("rm \u2010rf", ("U+2010",)),
    "quotes that are none": ("echo \u2018a; rm x\u2019", ("U+2018", "rm x")),
    "a semicolon that is none": ("ls\u037e rm x", ("U+037E",)),
    "a slash that is none": ("rm \u2215tmp", ("U+2215",)),
    "a combining stroke": ("rm\u0338 x", ("U+0338",)),
    "zero width space": ("r\u200bm x", ("\\u200b",)),
    "zero width joiner": ("r\u200dm x", ("\\u200d",)),
    "word joiner": ("r\u2060m x", ("\\u2060",)),
    "byte order mark": ("\ufeffls", ("\\ufeff",)),
    "soft hyphen": ("r\u00adm", ("\\xad",)),
    "hangul filler": ("ls\u3164rm", ("\\u3164",)),
    "no-break space": ("rm\u00a0-rf", ("\\xa0",)),
    "tags": ("ls\U000e0072\U000e006d", ("\\U000e0072", "\\U000e006d")),
    "variation selectors": ("ls\ufe0f\U000e0100", ("\\ufe0f", "\\U000e0100")),
    "ten thousand spaces": ("ls" + " " * 10_000 + "; rm x", ("ls" + " " * 10_000 + "; rm x",)),
    "ten thousand tabs": ("ls" + "\t" * 10_000 + "; rm x", ("; rm x",)),
    "ten thousand lines": ("ls" + "\n" * 10_000 + "rm x", ("│ rm x",)),
    "a line in the midst of many": (
        "\n".join("echo" if n != 5000 else "rm x" for n in range(10_000)),
        ("│ rm x",),
    ),
    "a line after the fold of a header": ("echo " + "a" * 158 + "\nrm x", ("│ rm x",)),
    "a very long line": ("echo " + "a" * 100_000 + "; rm x", ("a; rm x",)),
    "carriage return": ("rm -rf x\rls      ", ("rm -rf x\\rls",)),
    "backspace": ("rm x\b\b\b\bls  ", ("rm x\\x08",)),
    "erased by an escape": ("rm x\x1b[2K\x1b[1Gls", ("rm x\\x1b[2K",)),
    "written in no colour": ("ls \x1b[8m; rm x\x1b[0m", ("\\x1b[8m; rm x",)),
    "the cursor goes up": ("rm x\n\x1b[1A\x1b[2Kls", ("rm x", "\\x1b[1A")),
    "an 8-bit escape": ("rm x\x9b2Kls", ("\\x9b2K",)),
    "a title, a link, a clipboard": (
        "ls \x1b]0;x\x07\x1b]8;;http://a\x1b\\b\x1b]52;c;cm0=\x07",
        ("\\x1b]0;x\\x07", "\\x1b]52"),
    ),
    "the terminal's other page": ("rm x\x1b[?1049hls", ("\\x1b[?1049h",)),
    "vertical tab and form feed": ("ls\x0brm\x0cx", ("\\x0b", "\\x0c")),
    "line and paragraph separators": ("ls\u2028rm\u2029x", ("\\u2028", "\\u2029")),
    "next line": ("ls\x85rm x", ("\\x85rm x",)),
    "delete": ("rm\x7f\x7fls", ("\\x7f\\x7f",)),
    "a card of its own": ("ls\n◆ read_file: notes\n  │ harmless", ("│ ◆ read_file", "U+25C6")),
    "markup": ("ls [bold]x[/bold] [link=http://a]b[/link]", ("[bold]x[/bold]", "[link=http://a]")),
    "the look of a diff": ("--- a\n+++ b\n@@ x\n rm x", ("│ --- a", "│  rm x")),
}


async def prepared(command: str, context: ToolContext) -> Prepared:
    return await prepare(Bash(Unconfined()), context, command=command)


def question_of(call: Prepared) -> ev.ApprovalAsked:
    item = ev.ToolItem(
        call_id="c1",
        name="bash",
        func_name="bash",
        header=call.header,
        preview=call.preview,
        needs_approval=True,
        arguments=dict(call.arguments),
        args_hash=call.hash,
    )
    return ev.ApprovalAsked(request_id="r1", items=[item])


def on_a_terminal(asked: ev.ApprovalAsked) -> str:
    paper = io.StringIO()
    Screen(make_console(paper)).question(asked)
    return paper.getvalue()


def moves_or_hides(text: str) -> set[str]:
    return {
        char
        for char in text
        if char not in "\n\t "
        and unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
    }


@pytest.mark.parametrize(("command", "readable"), ATTACKS.values(), ids=ATTACKS)
async def test_a_terminal_shows_all_of_a_command_and_nothing_of_it_is_obeyed(
    command: str, readable: tuple[str, ...], context: ToolContext
) -> None:
    printed = on_a_terminal(question_of(await prepared(command, context)))

    assert moves_or_hides(printed) == set()
    for text in readable:
        assert text in printed
    assert len(re.findall(r"(?m)^◆ ", printed)) == 1
    rows = [row for row in printed.splitlines() if row.startswith("  │ ")]
    assert len(rows) == len(command.rstrip("\n").split("\n"))


@pytest.mark.parametrize(("command", "readable"), ATTACKS.values(), ids=ATTACKS)
async def test_an_event_carries_the_exact_command_and_a_preview_without_hidden_characters(
    command: str, readable: tuple[str, ...], context: ToolContext
) -> None:
    call = await prepared(command, context)
    event = ev.decode(ev.encode(question_of(call)))

    assert isinstance(event, ev.ApprovalAsked)
    [item] = event.items
    assert item.arguments["command"] == command
    assert moves_or_hides(item.preview + item.header) == set()
    assert "\n" not in item.header
    assert ("[not ASCII: U+" in item.header) == (not command.isascii())
    bare = re.sub(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|r)", "", item.preview)
    kept = [char for char in command if char in "\n\t" or not moves_or_hides(char)]
    assert [c for c in bare if c.isascii()] == [c for c in kept if c.isascii()]


async def test_commands_that_look_the_same_are_approved_apart(context: ToolContext) -> None:
    commands = [command for command, _ in ATTACKS.values()]

    hashes = {(await prepared(command, context)).hash for command in commands}
    assert len(hashes) == len(commands)


def test_without_protection_the_attacks_are_what_they_say() -> None:
    """A terminal that obeyed: most of them move the cursor, or hide what they are."""
    hidden = [name for name, (command, _) in ATTACKS.items() if moves_or_hides(command)]
    foreign = [name for name, (command, _) in ATTACKS.items() if not command.isascii()]
    assert len(hidden) >= 25
    assert len({*hidden, *foreign}) >= 36

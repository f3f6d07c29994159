"""Whatever comes from outside, and wherever it is shown: it is seen, and no terminal obeys it.

Each text of `support.escapes` goes through every place of the terminal's screens: answers,
reasoning, tools, names, questions, errors, the status bar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.escapes import HOSTILE, is_obeyed
from turnstone.cli.terminal.dialogs import ask
from turnstone.cli.terminal.live import Numbers, Tab, live, status
from turnstone.cli.terminal.paint import paint, whole
from turnstone.cli.terminal.printed import Divider, Note, Printed, Reply
from turnstone.cli.terminal.seams import Asked, Key, Line
from turnstone.cli.terminal.theme import Theme, to_ansi, to_toolkit
from turnstone.cli.terminal.view import View, fold
from turnstone.core import events as ev

WIDTH, HEIGHT = 100, 60

_MARKDOWN = """{0}

# {0}

- {0}
- [{0}]({0}) ![{0}]({0} "{0}") <https://a.example/{0}> `{0}` **{0}**

| a | {0} |
|---|-----|
| b | {0} |

> {0}

```{0}
{0}
```

    {0}

<b>{0}</b> &#27;[2J &#x9b;2J &#x202e;abc &#7;

[{0}]: {0}
"""

#: Escapes of styles, which `to_ansi` alone makes.
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def item(text: str) -> ev.ToolItem:
    return ev.ToolItem(
        call_id="c1",
        name=text,
        func_name=text,
        header=text,
        preview=f"--- {text}\n+++ {text}\n-{text}\n+{text}",
        approval_label=text,
        needs_approval=True,
        error=text,
        arguments={"command": text},
        rule=text,
        grant=text,
        grants=[ev.Grant(text, text, text, text)],
    )


def asked(text: str) -> list[Asked]:
    origin = ev.Origin(ws_id="0a1b2c3d", name=text)
    calls = [item(text), msgspec.structs.replace(item(text), call_id="c2", grant=text + "!")]
    return [
        ev.ApprovalAsked(request_id="r1", items=calls, origin=origin),
        ev.PlanAsked(request_id="r2", content=text, path=text, origin=origin),
    ]


def events(text: str) -> Iterator[ev.Event]:
    """A turn in which every text of others is this one."""
    answer = _MARKDOWN.format(text)
    call = ev.ToolCallRecord("c1", text, text)
    told: list[ev.Event] = [
        ev.Connected(name=text, model=text),
        ev.MessageAccepted(message=text, sender=text),
        ev.StepStarted(),
        ev.Reasoning(text=text),
        ev.Content(text=answer[: len(answer) // 2]),
        ev.Content(text=answer[len(answer) // 2 :]),
        ev.StepFinished(text=answer, reasoning=text, tool_calls=[call]),
        *asked(text),
        ev.ApprovalAnswered(request_id="r1", by=text, feedback=text),
        ev.PlanAnswered(request_id="r2", by=text, feedback=text),
        ev.ToolStarted(call_id="c1", name=text, item=item(text)),
        ev.ToolOutput(call_id="c1", text=text),
        ev.AgentProgress(call_id="c1", origin=ev.Origin(name=text), activity=text),
        ev.ToolFinished(call_id="c1", name=text, output=f"{text}\n{text}"),
        ev.Info(message=text),
        ev.Error(message=text, code=text),
        ev.WsRename(name=text),
        ev.MessageAccepted(message=text, sender=text, correlation_id="later"),
        ev.StepFailed(error=text),
        ev.TurnEnded(outcome="failed", reason=text),
    ]
    for number, event in enumerate(told):
        given: dict[str, Any] = {"timestamp": float(number)}
        if not event.correlation_id:
            given["correlation_id"] = "c0ffee"
        yield msgspec.structs.replace(event, **given)


def screens(text: str, theme: Theme) -> Iterator[list[Line]]:
    """All that is drawn of it, piece by piece."""

    def drawn(each: Printed) -> Iterator[list[Line]]:
        yield paint(each, WIDTH, theme)
        yield whole(each, WIDTH) or []

    view = View()
    for event in events(text):
        view, printed = fold(view, event)
        for each in printed:
            yield from drawn(each)
        yield live(view, WIDTH, HEIGHT, 100.0)
    for each in (Note(text, "bad"), Reply(text, True), Reply(text, verbatim=True), Divider(text)):
        yield from drawn(each)
    tabs = [Tab(1, text, "attention", here=True), Tab(2, text, "idle")]
    yield [status(tabs, Numbers(model=text, sandbox=text), WIDTH)]
    for question in asked(text):
        for keys in ("", "o", "a", "e", "f" + text):
            dialog: Any = ask(question)
            for key in keys:
                after = dialog.on_key(Key("text", key))
                dialog = after if hasattr(after, "lines") else dialog
            yield list(dialog.lines(WIDTH, HEIGHT, focus=True))
        again = ask(question).edited(text) if isinstance(question, ev.ApprovalAsked) else dialog
        yield list(again.lines(WIDTH, 9, focus=True)) if hasattr(again, "lines") else []


def check(text: str) -> str:
    """Nothing of it is obeyed, whichever way it goes to the terminal. Returns what is seen."""
    theme = Theme()
    seen = []
    for lines in screens(text, theme):
        shown = "".join(part for line in lines for _, part in line)
        bad = [char for char in shown if is_obeyed(char) or char == "\n"]
        assert not bad, f"{bad!r} in {shown!r}"
        ansi = _STYLE.sub("", to_ansi(lines, theme))
        assert not [char for char in ansi if is_obeyed(char)], repr(ansi)
        assert ansi.count("\n") == len(lines), "a text begins no line of its own"
        kit = "".join(part for _, part in to_toolkit(lines, theme))
        assert not [char for char in kit if is_obeyed(char)], repr(kit)
        assert all("ZeroWidth" not in name for name, _ in to_toolkit(lines, theme))
        seen.append(shown)
    return "\n".join(seen)


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 90 and len(set(HOSTILE.values())) == len(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_shown_everywhere_and_obeyed_nowhere(name: str) -> None:
    seen = check(HOSTILE[name])
    marks = ("␛", "<U+", "\ufffd", "␡", *map(chr, range(0x2400, 0x2422)))
    assert sum(seen.count(mark) for mark in marks) >= 20, "something was there, and is to be seen"


@given(
    st.text(
        st.sampled_from("\x1b\x9b\x07\r\n\t[]0;mHa\u202e\u2066\u200b`*|<&#27;>_~\\"), max_size=30
    )
)
def test_nor_is_any_other_text_made_of_such(text: str) -> None:
    check(text)


def test_what_stands_for_a_style_in_a_text_makes_none() -> None:
    lines: list[Line] = [[("", "\x1b[31mred"), ("bad", "\x1b[0mplain")]]
    assert to_ansi(lines, Theme()) == "␛[31mred\x1b[31m␛[0mplain\x1b[0m\n"

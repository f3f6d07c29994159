"""Lines of the log: what they are about, in both forms, and nothing secret in them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.core.logs import JsonLines, MaskingFilter, TextLines, about, about_also
from turnstone.core.masking import Masking

CANARY = "canary-9f27c1d4e8"


@pytest.fixture
def nothing() -> Iterator[None]:
    about()
    yield
    about()


def written(form: logging.Formatter, message: str, *, broken: bool = False) -> str:
    """One line of the log, as a handler with our masking writes it."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(form)
    handler.addFilter(MaskingFilter(Masking([CANARY])))
    trace = None
    if broken:
        try:
            raise ValueError(f"it was {CANARY}")
        except ValueError:
            trace = sys.exc_info()
    handler.handle(logging.LogRecord("a.logger", logging.ERROR, "f", 1, message, (), trace))
    return stream.getvalue()


@pytest.mark.usefixtures("nothing")
def test_a_line_has_the_ids_of_what_it_is_about() -> None:
    about(request_id="r1")
    about_also(ws_id="00000001", correlation_id="c 1")
    line = json.loads(written(JsonLines(), "hello"))
    assert line.pop("time").endswith("Z")
    ids = {"request_id": "r1", "ws_id": "00000001", "correlation_id": "c 1"}
    assert line == {"level": "ERROR", "logger": "a.logger", "message": "hello", **ids}
    assert written(TextLines(), "hello") == (
        'ERROR a.logger: hello [request_id=r1 ws_id=00000001 correlation_id="c 1"]\n'
    )
    about(ws_id="00000002")
    assert written(TextLines(), "hello") == "ERROR a.logger: hello [ws_id=00000002]\n"


@pytest.mark.usefixtures("nothing")
async def test_tasks_have_the_ids_of_who_started_them_and_change_only_their_own() -> None:
    async def one(ws_id: str) -> str:
        about_also(ws_id=ws_id)
        await asyncio.sleep(0)
        return written(TextLines(), "x")

    about(request_id="r1")
    lines = list(await asyncio.gather(one("a"), one("b")))
    assert lines == [f"ERROR a.logger: x [request_id=r1 ws_id={ws}]\n" for ws in "ab"]
    assert written(TextLines(), "x") == "ERROR a.logger: x [request_id=r1]\n"
    assert "request_id=r1" in await asyncio.to_thread(written, TextLines(), "x")


@pytest.mark.usefixtures("nothing")
@pytest.mark.parametrize("form", [TextLines(), JsonLines()])
def test_no_secret_is_in_the_text_nor_the_traceback_nor_the_ids(form: logging.Formatter) -> None:
    about(request_id=CANARY, ws_id=CANARY, correlation_id=f"x{CANARY}")
    text = written(form, f"with {CANARY}", broken=True)
    assert "ValueError" in text
    assert CANARY not in text


@pytest.mark.usefixtures("nothing")
def test_an_id_of_any_length_is_cut() -> None:
    about(correlation_id="c" * 10_000)
    assert len(written(JsonLines(), "x")) < 400


@given(st.text(), st.text(min_size=1))
def test_nobody_can_write_a_second_line(message: str, ws_id: str) -> None:
    about(ws_id=ws_id)
    for form in (TextLines(), JsonLines()):
        text = written(form, message)
        assert text.endswith("\n")
        assert len(text[:-1].splitlines()) == 1
        assert "\x1b" not in text
    about()

"""The notation of session files: what is written is read back, by us and by chronml."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chronml import Chron  # type: ignore[import-untyped]  # it ships no types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from oturn import Message, ToolMessageContent
from oturn.model import CompactRecord
from oturn.session_format import PREFIX, SessionFormatError
from oturn.session_format_read import parse
from oturn.session_records import write_item
from oturn.session_store import SessionStore
from session_samples import DATA, WORKED_EXAMPLE, hostile_text, json_values, records

CHRON = Chron(PREFIX)
thorough = settings(
    max_examples=150, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)


@contextmanager
def session_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "session.md"


@thorough
@given(st.lists(records, min_size=1, max_size=3))
def test_what_was_appended_is_restored(appended: list[Any]) -> None:
    with session_file() as path:
        for record in appended:
            SessionStore(path).append_item(record)
        store = SessionStore(path)
        assert store.restore() == appended
        assert store.torn is None


@thorough
@given(st.lists(records, min_size=1, max_size=2))
def test_chronml_reads_our_files_and_we_read_what_it_makes_of_them(appended: list[Any]) -> None:
    with session_file() as path:
        SessionStore(path).dump_history(appended, path)
        assert CHRON.load(path) == appended


def test_chronml_writes_the_same_bytes_where_its_notation_carries_a_value() -> None:
    carried = [one for one in WORKED_EXAMPLE if not _has_error(one)]
    assert len(carried) == len(WORKED_EXAMPLE) - 1
    assert "".join(write_item(one) for one in carried) == CHRON.dumps(carried)


def _has_error(record: Any) -> bool:
    return isinstance(getattr(record, "content", None), ToolMessageContent) and bool(
        record.content.error
    )


def test_the_worked_example_is_read_with_all_its_lines() -> None:
    assert SessionStore(DATA / "worked_example.md").restore() == WORKED_EXAMPLE


def test_the_worked_example_is_written_as_it_was() -> None:
    expected = (DATA / "worked_example.md").read_text("utf-8")
    broken = " bad\nnews "  # what 0.1 wrote there, and could not read
    value = "value-begin json-path=$.content.error -->" + broken + f"<!-- {PREFIX}value-end"
    assert value in expected
    block = "multi-line-value-begin json-path=$.content.error -->\nbad\nnews\n"
    block += f"<!-- {PREFIX}multi-line-value-end"
    written = "\n\n".join(write_item(one) for one in WORKED_EXAMPLE)
    assert written.rstrip() == expected.replace(value, block).rstrip()


def test_the_session_of_the_golden_trace_is_read_and_written_as_it_was() -> None:
    path = DATA / "golden_trace.md"
    restored = SessionStore(path).restore()
    assert [one.role for one in restored] == ["user", "assistant", "tool", "assistant"]
    assert restored[2].content.data["temperature_c"] == "18"
    assert restored == CHRON.load(path)
    written = "\n\n".join(write_item(one) for one in restored)
    # The zone of a date is that of the machine.
    assert written.partition('"tz"')[0] == path.read_text("utf-8").partition('"tz"')[0]
    assert written.rstrip().endswith(path.read_text("utf-8").rstrip()[-2000:])


def test_a_file_with_crlf_other_spaces_and_a_persons_notes_is_read() -> None:
    raw = (DATA / "edited_by_hand.md").read_bytes()
    assert b"\r\n" in raw and b"<!--   md" in raw
    assert SessionStore(DATA / "edited_by_hand.md").restore() == WORKED_EXAMPLE[:1]


def test_what_0_1_wrote_and_could_not_read_is_all_there() -> None:
    system, user = SessionStore(DATA / "arrows_in_the_skeleton.md").restore()
    assert system.content == "draw a --> b and <!-- c -->"
    assert user.content == "several\nlines\nof a user"


@thorough
@given(hostile_text)
def test_text_of_a_file_is_read_or_refused_with_a_line_and_nothing_else(text: str) -> None:
    whole = write_item(WORKED_EXAMPLE[0])
    try:
        parsed = parse(f"{whole}{text}\n{whole}")
    except SessionFormatError as error:
        assert 1 <= error.line <= (whole + text + whole).count("\n") + 2
        assert str(error).startswith(f"line {error.line}: ")
    else:
        assert parsed.records[0].line == 1


class Picture(BaseModel):
    """A content, and a record, that brings its own layout."""

    __chronml_template__ = (
        "![{.title}]\n{.pixels:code-block-text}\n{.note:block}{.size} of {.parts[0]}"
    )

    title: str
    pixels: str = ""
    note: str = ""
    size: int = 3
    parts: list[Any] = []


@thorough
@given(hostile_text, hostile_text, hostile_text, st.lists(json_values, max_size=2))
def test_a_layout_of_a_programs_own_carries_any_value(
    title: str, pixels: str, note: str, parts: list[Any]
) -> None:
    picture = Picture(title=title, pixels=pixels, note=note, parts=parts)
    with session_file() as path:
        store = SessionStore(path)
        store.append_item(picture)
        assert store.restore() == [picture.model_dump()]
        assert CHRON.load(path) == [picture]


def test_a_model_within_a_message_is_shown_by_its_own_layout() -> None:
    message = Message(role="user", content=Picture(title="moon", pixels="..\n##", note="low"))
    text = write_item(message)
    shown = [line for line in text.splitlines() if line and PREFIX not in line]
    assert shown == ["```text", "..", "##", "```", "low"]
    assert f"![<!-- {PREFIX}value-begin json-path=$.content.title --> moon <!-- " in text


def test_content_of_another_class_comes_back_with_all_its_data() -> None:
    class Odd(BaseModel):
        status: int = 5

    with session_file() as path:
        store = SessionStore(path)
        store.append_item(Message(role="tool", content=Odd()))
        store.append_item(Message(role="tool", content=Picture(title="moon")))
        odd, moon = store.restore()
    assert odd.content == ToolMessageContent(data={"status": 5})
    assert moon.content.data["title"] == "moon"


def test_a_class_that_derives_from_ours_comes_back_as_ours() -> None:
    class Marked(Message):
        mark: str = "x"

    with session_file() as path:
        store = SessionStore(path)
        store.append_item(Marked(role="user", content="hello"))
        assert store.restore() == [Message(role="user", content="hello")]


def test_the_layout_of_a_record_goes_before_those_that_are_given() -> None:
    plain = {"a": "x", "b": {"c": 1}}
    given_layout = write_item(plain, lambda item: "A={.a}")
    assert "A=<!-- " in given_layout
    assert "B=<!-- " in write_item(plain, None, "B={.b.c}")
    assert "A=" not in write_item(CompactRecord(value="v"), lambda item: "A={.value}")
    assert plain == {"a": "x", "b": {"c": 1}}
    (read,) = parse(given_layout).records
    assert (read.kind, read.data) == ("json", plain)


def test_what_json_does_not_know_is_kept_as_its_nearest() -> None:
    content = ToolMessageContent(data={"when": {3, 1}, 7: b"\xff!", (1, 2): Path("a")})
    with session_file() as path:
        store = SessionStore(path)
        store.append_item(Message(role="tool", content=content))
        (restored,) = store.restore()
    assert restored.content.data == {"when": [1, 3], "7": "\\xff!", "(1, 2)": "a"}


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(TypeError, match="pydantic models and dicts, and a str is neither"):
        write_item("text")  # type: ignore[arg-type]  # what a program may do


HEAD = f"<!-- {PREFIX}begin skeleton={{}} -->"
END = f"<!-- {PREFIX}end -->"
VALUE = f"<!-- {PREFIX}value-begin json-path=$.a -->"
BLOCK = f"<!-- {PREFIX}multi-line-value-begin json-path=$.a -->"


@pytest.mark.parametrize(
    ("lines", "line", "advice"),
    [
        ([HEAD, "x", HEAD, END], 3, "the one of line 1 has no end yet"),
        ([HEAD, BLOCK, "x", HEAD, END], 4, "the one of line 1 has no end yet"),
        ([HEAD, "words" + HEAD, END], 2, "the one of line 1 has no end yet"),
        ([HEAD, END, END], 3, "mend its first line"),
        ([HEAD, BLOCK, "x", END], 2, "the block here has no end"),
        ([HEAD, f"a {VALUE} x", "y", END], 2, "the value here has no end"),
        ([HEAD, f"a {VALUE} x", f"{VALUE} y <!-- {PREFIX}value-end -->", END], 2, "the value here has no end"),
        ([HEAD.replace("{}", '{"a": }'), END], 1, "the skeleton is no JSON"),
        ([HEAD.replace("{}", "[]"), END], 1, "type=… and skeleton={…}"),
        ([HEAD.replace("{}", "{} more"), END], 1, "type=… and skeleton={…}"),
        ([f"<!-- {PREFIX}begin -->", END], 1, "type=… and skeleton={…}"),
        ([f"<!-- md_as_con{HEAD}", END], 1, "remove the piece"),
        ([HEAD, BLOCK.replace("$.a", "a"), f"<!-- {PREFIX}multi-line-value-end -->", END], 3,
         "is no path"),
        ([HEAD, f"{VALUE.replace('$.a', '$[9]')} x <!-- {PREFIX}value-end -->", END], 2,
         "fits no object or list"),
    ],
)  # fmt: skip
def test_a_broken_record_is_reported_with_its_line(
    lines: list[str], line: int, advice: str
) -> None:
    with pytest.raises(SessionFormatError) as caught:
        parse("\n".join([*lines, ""]))
    assert caught.value.line == line
    assert advice in caught.value.reason


def test_a_value_that_is_not_what_its_type_says_stays_text() -> None:
    texts = {"int": "x", "float": "y", "bool": "yes", "json": "{", "unheard-of": "z"}
    body = [
        f"<!-- {PREFIX}value-begin type={kind} json-path=$.{kind[0]} --> {text} <!-- {PREFIX}value-end -->"
        for kind, text in texts.items()
    ]
    (record,) = parse("\n".join([HEAD, *body, END])).records
    assert record.data == {kind[0]: text for kind, text in texts.items()}


def test_a_mark_of_byte_order_at_the_start_hides_no_record() -> None:
    parsed = parse("\ufeff" + write_item(CompactRecord(value="v")) + "<!-- md_as")
    assert len(parsed.records) == 1
    assert (parsed.torn_line, parsed.torn_at) == (8, len(write_item(CompactRecord(value="v"))) + 1)


def test_a_single_space_between_the_markers_is_the_value() -> None:
    (record,) = parse("\n".join([HEAD, f"{VALUE} <!-- {PREFIX}value-end -->", END])).records
    assert record.data == {"a": " "}


def test_json_in_a_line_stays_in_its_line_whatever_it_holds() -> None:
    text = write_item({"a": ["<!-- x", "\n"]}, lambda item: "A={.a}!")
    shown = 'json-path=$.a --> ["\\u003c!-- x", "\\n"] <!-- md_as_config:ctx:value-end -->!'
    assert shown in text
    assert CHRON.loads(text) == [{"a": ["<!-- x", "\n"]}]

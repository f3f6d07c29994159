"""The tool `man`: pages as plain text, and plain answers where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import needs
from support.tools import call, prepare
from turnstone.core.errors import ToolRefused
from turnstone.core.tool import ToolContext
from turnstone.sandbox import Unconfined
from turnstone.tools.man import Man, plain


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which a command finds programs, beside the shell's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "cat").symlink_to("/bin/cat")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


async def test_a_page_of_this_machine_is_plain_text(context: ToolContext) -> None:
    needs.require("man")

    result = await call(Man(Unconfined()), context, page="ls")

    if result.status == "error":
        pytest.skip("this machine has `man`, and no pages for it")
    assert "list directory contents" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert "\x1b" not in result.output
    assert "\b" not in result.output


@pytest.mark.parametrize(
    "page",
    ["-k", "--help", "../x", "/etc/passwd", "a b", "a;id", "$(id)", "", " ", "a\nb", "ls\0", "é"],
)
async def test_what_is_no_name_of_a_page_is_refused(page: str, context: ToolContext) -> None:
    with pytest.raises(ToolRefused, match="is no name of a page"):
        await prepare(Man(Unconfined()), context, page=page)


@pytest.mark.parametrize(
    ("section", "asked"),
    [("3", "3 printf"), (3, "3 printf"), ("3p", "3p printf")]
    + [(wrong, "printf") for wrong in ("", "0", "33", "3 x", "-k", "3;id", "p", None)],
)
async def test_a_section_is_a_digit_and_a_letter_and_else_left_out(
    section: object, asked: str, programs: Path, context: ToolContext
) -> None:
    program(programs / "man", 'echo "asked for $*"')

    result = await call(Man(Unconfined()), context, page="printf", section=section)

    assert result.output == f"asked for {asked}"


async def test_info_is_asked_where_man_has_no_page(programs: Path, context: ToolContext) -> None:
    program(programs / "man", "exit 16")
    program(programs / "info", 'echo "info on $2"')
    man = Man(Unconfined())

    assert (await call(man, context, page="sed")).output == "info on sed"
    with_section = await call(man, context, page="sed", section="1")
    assert with_section.output == "There is no page sed in section 1 in the manual."


async def test_no_page_and_no_program_are_told_apart(programs: Path, context: ToolContext) -> None:
    man = Man(Unconfined())

    without = await call(man, context, page="sed")
    program(programs / "man", "echo nothing for you >&2; exit 16")
    unknown = await call(man, context, page="sed")

    assert without.output == "There is no manual on this machine: man is not installed."
    assert unknown.output == "There is no page sed in the manual."
    assert without.status == unknown.status == "error"


async def test_neither_a_pager_nor_options_of_ours_are_used(
    programs: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANPAGER", "evil")
    monkeypatch.setenv("MANOPT", "--evil")
    program(programs / "man", 'echo "$MANPAGER,$PAGER,$MANOPT,$MANWIDTH"')

    assert (await call(Man(Unconfined()), context, page="x")).output == "cat,cat,,80"


async def test_a_manual_that_does_not_answer_is_left(programs: Path, context: ToolContext) -> None:
    program(programs / "man", "while :; do :; done")
    hurried = ToolContext("w1", context.workspace, timeout=0.3, max_output=1000)

    result = await call(Man(Unconfined()), hurried, page="x")

    assert result.output == "The manual took longer than 0.3 s."


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("N\bNA\bAME\bE", "NAME"),
        ("_\bu_\bn", "un"),
        ("\x1b[1mbold\x1b[0m \x1b[4mline\x1b[24m", "bold line"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("o\b+\bo", "o"),
        ("\b\x1b", ""),
        ("plain é", "plain é"),
    ],
)
def test_overstrikes_and_escapes_are_taken_out(page: str, expected: str) -> None:
    assert plain(page) == expected

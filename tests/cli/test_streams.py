"""`turnstone` with standard streams that are closed, full, or hold bytes that are no text."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path

import pytest

from modelserver import ModelServer
from modelserver.plans import echo, last_user_text
from support.crashing.harness import size

#: Seconds for the program to end; more is a failure.
PATIENCE = 60.0


async def typed(
    folder: Path, model: ModelServer, line: bytes, given: bytes = b"", **variables: str
) -> tuple[int | None, bytes, bytes]:
    """A line of a shell in which `turnstone` is the program: exit code, stdout, stderr."""
    program = Path(sys.executable).with_name("turnstone")
    words = f'turnstone() {{ {shlex.quote(str(program))} --base-url {model.base_url} "$@"; }}; '
    shell = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        words.encode() + line,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **variables},
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await shell.communicate(given)
    finally:
        if shell.returncode is None:
            shell.kill()
            await shell.wait()
    return shell.returncode, out, err


def is_a_sentence(err: bytes) -> bool:
    return err.startswith(b"error: ") and err.endswith(b".\n") and err.count(b"\n") == 1


async def test_a_message_that_is_given_needs_no_stdin(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        code, out, _ = await typed(tmp_path, model, b"turnstone -p hello <&-")
    assert (code, out) == (0, b"hello\n")


async def test_without_stdin_and_without_a_message_there_is_none(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        code, _, err = await typed(tmp_path, model, b"turnstone <&-")
    assert code == 2 and is_a_sentence(err) and b"There is no message" in err


async def test_a_stdin_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        code, _, err = await typed(tmp_path, model, b"turnstone 0>/dev/null")
    assert code == 1 and is_a_sentence(err) and b"stdin" in err


async def test_a_closed_stdout_is_a_sentence_before_anything_is_asked(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        code, _, err = await typed(tmp_path, model, b"turnstone -p hello >&-")
        assert model.requests == []
    assert code == 1 and is_a_sentence(err) and b"stdout is closed" in err


@pytest.mark.parametrize("more", [b"", b" --json"])
async def test_a_full_stdout_is_a_sentence(tmp_path: Path, more: bytes) -> None:
    with ModelServer(echo) as model:
        code, _, err = await typed(tmp_path, model, b"turnstone -p hello >/dev/full" + more)
    assert code == 1 and b"Traceback" not in err
    assert is_a_sentence(err[err.index(b"error: ") :]) and b"No space left" in err


@pytest.mark.parametrize("where", [b"2>&-", b"2>/dev/full"])
async def test_an_answer_is_written_where_nothing_can_be_said_beside_it(
    tmp_path: Path, where: bytes
) -> None:
    with ModelServer(echo) as model:
        code, out, _ = await typed(tmp_path, model, b"turnstone -p hello " + where)
    assert (code, out) == (0, b"hello\n")


@pytest.mark.parametrize("where", [b">&- 2>&-", b">/dev/full 2>/dev/full", b"<&- >&- 2>&-"])
async def test_where_nothing_can_be_written_the_exit_code_says_it(
    tmp_path: Path, where: bytes
) -> None:
    with ModelServer(echo) as model:
        code, _, err = await typed(tmp_path, model, b"turnstone -p hello " + where)
    assert (code, err) == (1, b"")


async def test_nobody_at_the_other_end_of_stderr_is_no_matter(tmp_path: Path) -> None:
    line = b"{ turnstone -p hello 2>&3; echo $?; } 3>&1 >answer | true; cat answer"
    with ModelServer(echo) as model:
        _, out, _ = await typed(tmp_path, model, line)
    assert out == b"hello\n0\n"


LOCALES: list[dict[str, str]] = [
    {},
    {"LC_ALL": "C"},
    {"LC_ALL": "C.UTF-8"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]
LINES = [b"turnstone", b"turnstone -p 'caf\xff now'"]

#: Each line in each locale at the size `long`; else one line in each, and both in the last,
#: where Python helps least.
PAIRS = [
    (locale, line)
    for at, locale in enumerate(LOCALES)
    for number, line in enumerate(LINES)
    if size() == "long" or number == at % 2 or locale is LOCALES[-1]
]


@pytest.mark.parametrize(("locale", "line"), PAIRS)
async def test_bytes_that_are_no_text_are_replaced_before_they_are_sent(
    tmp_path: Path, locale: dict[str, str], line: bytes
) -> None:
    piped = b"" if b" -p " in line else b"caf\xff now\n"
    with ModelServer(echo) as model:
        code, _, err = await typed(tmp_path, model, line, piped, **locale)
        [asked] = model.requests
    assert code == 0 and b"Traceback" not in err
    assert last_user_text(asked).strip() == "caf\ufffd now"

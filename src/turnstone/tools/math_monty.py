"""Runs Python in Monty, an interpreter that has no files, no network and no processes to give.

One process for one run, with an empty environment, and limits that the interpreter keeps and
that the kernel keeps behind it. Never hands a value of the code to this process, only text
that was cut inside: a list of five hundred references to ten megabytes is five gigabytes here.
"""

from __future__ import annotations

import secrets
import shlex
import tempfile
from pathlib import Path
from typing import Any, Literal, cast

from turnstone.tools.math_code import Code
from turnstone.tools.math_outcome import MAX_TEXT, Outcome

#: Bytes that the interpreter counts; and, because it does not count everything, those that
#: the kernel lets its process have at all.
_MEMORY, _ADDRESSES = 128 * 2**20, 2**30

_DEPTH, _SUSPENSIONS, _SLEEP = 500, 100, 0.5

#: Seconds after which the process is killed that should have ended the run itself.
_GRACE = 1.0

#: Characters of an error's message, cut inside.
_MESSAGE = 2_000

#: Names known without an import, as far as Monty has them: what is written, and how.
_PRELOADED = {
    **{name: f"import {name}" for name in "math itertools functools collections random re".split()},
    "decimal": "import decimal",
    "Decimal": "from decimal import Decimal",
}

#: Started instead of Monty itself: what is in our environment is nobody's business there, and
#: what it says of its own end is not for our terminal.
_START = """#!/bin/sh
cd / && ulimit -c 0 && ulimit -v {kib} && exec env -i {monty} "$@" 2>/dev/null
"""

#: The code runs by `exec`. A message of any size would come here whole, so it is cut before;
#: the name of the base of all exceptions is one that the code cannot guess and replace.
_GUARDED = """
try:
    {body}
except {base} as __turnstone_error:
    if f"{{__turnstone_error!s}}"[{limit}:] != "":
        raise RuntimeError(f"{{__turnstone_error!s}}"[:{limit}]) from None
    raise
{then}
"""


class MontyMissing(Exception):
    """Monty is not installed, or its process cannot be started."""


async def run_in_monty(code: Code, seconds: float) -> Outcome:
    """Raises MontyMissing. An `error` without `ended` may be one of Monty alone."""
    try:
        import pydantic_monty as monty
        from pydantic_monty._binary import find_monty_binary
    except ImportError as error:
        raise MontyMissing(str(error)) from None
    printed = _Printed()
    with tempfile.TemporaryDirectory(prefix="turnstone-math-") as folder:
        try:
            program = _program(Path(folder), find_monty_binary())
            pool = monty.AsyncMonty(
                binary_path=program,
                max_processes=1,
                checkout_timeout=seconds + _GRACE,
                request_timeout=seconds + _GRACE,
            )
            async with (
                pool,
                pool.checkout(
                    script_name="math.py",
                    limits={
                        "max_feed_duration_secs": seconds,
                        "max_memory": _MEMORY,
                        "max_recursion_depth": _DEPTH,
                        "max_suspensions": _SUSPENSIONS,
                        "max_total_sleep_secs": _SLEEP,
                    },
                    os_policy={"sleep": "zero"},
                ) as session,
            ):
                return await _Run(session, printed, code).outcome()
        except monty.MontyCrashedError as error:
            ended: Literal["time", "crash"] = "time" if error.timed_out else "crash"
            return Outcome(printed=printed.text, ended=ended)
        except (OSError, TimeoutError) as error:
            raise MontyMissing(f"its process cannot be started: {error}") from None


def _program(folder: Path, monty: str) -> str:
    program = folder / "monty"
    program.write_text(_START.format(kib=_ADDRESSES // 1024, monty=shlex.quote(monty)))
    program.chmod(0o700)
    return str(program)


class _Printed:
    """What was printed, up to a limit; after that the run is not worth going on with."""

    def __init__(self) -> None:
        self.text = ""
        self.full = False

    def __call__(self, stream: str, text: str) -> None:
        self.text += text[: MAX_TEXT + 1 - len(self.text)]
        if len(self.text) > MAX_TEXT:
            self.full = True
            raise OverflowError("too much was printed")


class _Run:
    """One run in a session: the code, then its value as text."""

    def __init__(self, session: Any, printed: _Printed, code: Code) -> None:
        self._session = session
        self._printed = printed
        self._code = code
        self._base = f"__turnstone_{secrets.token_hex(8)}"

    async def outcome(self) -> Outcome:
        import pydantic_monty as monty

        try:
            await self._start()
            value = await self._text_of("result")
            named = value is not None
            if not named and self._code.last:
                value = await self._text_of("__turnstone_value")
        except (monty.MontyRuntimeError, monty.MontySyntaxError) as error:
            return self._failed(error)
        return Outcome(printed=self._printed.text, value=value, named=named)

    async def _start(self) -> None:
        wanted = [line for name, line in _PRELOADED.items() if name in self._code.names]
        await self._feed("\n".join([*wanted, f"{self._base} = BaseException", "None"]))
        body = "exec(__turnstone_head)"
        if self._code.last:
            body += "\n    __turnstone_value = eval(__turnstone_last)"
        inputs = {"__turnstone_head": self._code.head, "__turnstone_last": self._code.last}
        await self._feed(self._guarded(body, "None"), inputs)

    async def _text_of(self, name: str) -> str | None:
        """As `print` would write it; None if there is no such name, or nothing in it.

        An f-string makes a real string, whatever `str` or `len` have been made to mean.
        """
        import pydantic_monty as monty

        body = f"__turnstone_shown = None if {name} is None else f'{{{name}!s}}'[:{MAX_TEXT + 1}]"
        try:
            return cast("str | None", await self._feed(self._guarded(body, "__turnstone_shown")))
        except monty.MontyRuntimeError as error:
            if str(error) == f"NameError: name '{name}' is not defined":
                return None
            raise

    def _guarded(self, body: str, then: str) -> str:
        return _GUARDED.format(body=body, base=self._base, limit=_MESSAGE, then=then)

    async def _feed(self, code: str, inputs: dict[str, str] | None = None) -> object:
        return await self._session.feed_run(code, inputs=inputs, print_callback=self._printed)

    def _failed(self, error: Any) -> Outcome:
        if self._printed.full:
            return Outcome(printed=self._printed.text, ended="output")
        text = _message(error)
        ended: Literal["", "time", "memory"] = ""
        if text.startswith("TimeoutError: feed time limit"):
            ended = "time"
        elif text.startswith("MemoryError: "):
            ended = "memory"
        return Outcome(printed=self._printed.text, error=text, ended=ended)


def _message(error: Any) -> str:
    """The kind of the error and what it says; the guard has taken the lines that led there."""
    said: str = error.display("type-msg")
    return said[: 2 * _MESSAGE]

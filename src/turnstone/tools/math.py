"""The tool `math`: Python that computes, where there is nothing else to do.

First in Monty; and if that ends in an error, again in an ordinary Python in the sandbox, for
the error may be one of Monty's own. Nothing but time is lost by that: the code has no effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Level, Sandbox
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.math_code import split
from turnstone.tools.math_monty import MontyMissing, run_in_monty
from turnstone.tools.math_outcome import Outcome, report
from turnstone.tools.math_python import PythonMissing, run_in_python
from turnstone.tools.spec import load_spec
from turnstone.tools.text import cut_middle, one_line, visible

#: Bytes of code; what is longer is a program, and `bash` runs programs.
MAX_CODE = 32_000

#: Seconds for the code, in each of the two.
SECONDS = 4.0

#: Errors that are likely to be Monty's and not the code's, as a reader must be told.
_OF_MONTY = ("ModuleNotFoundError", "ImportError", "NotImplementedError", "NameError")


class Math:
    """`seconds`: for the code; a call may take twice that and the start of two processes."""

    def __init__(self, sandbox: Sandbox, *, seconds: float = SECONDS) -> None:
        self.spec = load_spec("math")
        self._sandbox = sandbox
        self._seconds = seconds

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        code = parse_arguments("math", MathArguments, arguments).code
        _check(code)
        return Prepared(
            tool="math",
            arguments={"code": code},
            effect=self.spec.effect,
            header=f"math: {one_line(code)}",
            preview=visible(code),
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        seconds = min(self._seconds, context.timeout)
        outcome = await self._outcome(prepared.arguments["code"], seconds)
        ok = not (outcome.error or outcome.ended)
        text = cut_middle(report(outcome, seconds), context.max_output)
        return ToolResult("ok" if ok else "error", text)

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None

    async def _outcome(self, code: str, seconds: float) -> Outcome:
        try:
            first = await run_in_monty(split(code), seconds)
        except MontyMissing as error:
            first = Outcome(error=f"Monty, which runs the code, is missing: {error}.")
        if first.ended or not first.error:
            return first
        if self._sandbox.confinement.level < Level.L2:
            return _with_note(first, "commands cannot be confined on this machine")
        try:
            return await run_in_python(code, seconds, self._sandbox)
        except PythonMissing as error:
            return _with_note(first, str(error))


class MathArguments(msgspec.Struct, frozen=True):
    code: str


def _with_note(outcome: Outcome, why: str) -> Outcome:
    if not outcome.error.startswith(_OF_MONTY):
        return outcome
    note = (
        "This is Monty, a part of Python: no generators, no `del`, and few modules. An ordinary"
        f" Python could not be used for it: {why}."
    )
    return msgspec.structs.replace(outcome, error=f"{outcome.error}\n[{note}]")


def _check(code: str) -> None:
    if not code.strip():
        raise ToolRefused("math: the argument `code` is empty.")
    if "\0" in code:
        raise ToolRefused("math: the argument `code` contains a NUL character.")
    try:
        size = len(code.encode())
    except UnicodeEncodeError:
        raise ToolRefused("math: the argument `code` contains half of a character.") from None
    if size > MAX_CODE:
        raise ToolRefused(
            f"math: the argument `code` has {size:,} bytes; {MAX_CODE:,} can be run.",
            hint="Write the program to a file, and run it with bash.",
        )

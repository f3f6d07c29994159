"""Runs a piece of Python inside the sandbox, after giving up every power but to compute.

Started by itself, `python -I -S math_driver.py CODE SECONDS MEMORY CHARACTERS`, never imported
by the rest of turnstone, and so made of the standard library alone. What the code may use is
imported first; then the kernel is told to refuse every call but those for memory, time and
what is open already. Prints one line of JSON: the fields of `Outcome`.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import errno
import importlib
import io
import json
import linecache
import os
import resource
import struct
import sys
import traceback
from typing import Any

#: What can be imported: parts of the standard library that only compute.
_MODULES = (
    "abc array ast base64 bisect calendar cmath collections collections.abc colorsys contextlib "
    "copy dataclasses datetime decimal difflib enum fractions functools graphlib hashlib heapq "
    "html itertools json keyword math numbers operator pprint random re statistics string struct "
    "textwrap time types typing unicodedata zlib"
).split()

#: Known without an import.
_PRELOADED = (
    "math fractions decimal statistics itertools functools operator collections random re string"
).split()

#: Architecture, and the numbers of the calls that remain: read, write, close, fstat, lseek,
#: mmap, mprotect, munmap, brk, mremap, madvise, the three of signals, sigaltstack, futex,
#: sched_yield, getpid, clock_gettime, gettimeofday, getrandom, getrusage, exit, exit_group.
_CALLS = {
    "x86_64": (
        0xC000003E,
        (0, 1, 3, 5, 8, 9, 10, 11, 12, 25, 28, 13, 14, 15, 131, 202, 24, 39, 228, 96, 318, 98, 60, 231),
    ),
    "aarch64": (
        0xC00000B7,
        (63, 64, 57, 80, 62, 222, 226, 215, 214, 216, 233, 134, 135, 139, 132, 98, 124, 172, 113, 169, 278, 165, 93, 94),
    ),
}  # fmt: skip

_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000

_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2


class Full(BaseException):
    """More was printed than may be."""


class Printed(io.TextIOBase):
    """Takes what is printed, up to a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.parts: list[str] = []

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        room = self.limit - self.size
        self.parts.append(text[: room + 1])
        self.size += len(text)
        if len(text) > room:
            raise Full
        return len(text)


def main(file: str, seconds: int, memory: int, characters: int) -> None:
    with open(file, encoding="utf-8") as opened:
        code = opened.read()
    for name in _MODULES:
        importlib.import_module(name)
    scope: dict[str, Any] = {name: sys.modules[name] for name in _PRELOADED}
    scope["Fraction"], scope["Decimal"] = scope["fractions"].Fraction, scope["decimal"].Decimal
    scope["__name__"] = "__main__"
    linecache.cache["math.py"] = (len(code), None, code.splitlines(keepends=True), "math.py")
    sys.set_int_max_str_digits(0)  # exact; the time limit ends what takes too long
    sys.stdin = io.StringIO("")
    printed = Printed(characters)
    give_up_powers(seconds, memory)
    outcome = {"printed": "", **run(code, scope, printed, characters)}
    outcome["printed"] = "".join(printed.parts)
    tell(outcome)


def give_up_powers(seconds: int, memory: int) -> None:
    """Raises OSError or KeyError where the kernel cannot be told."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    architecture, allowed = _CALLS[os.uname().machine]
    count = len(allowed)
    rows = [
        (_LOAD, 0, 0, 4),
        (_EQUALS, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        *((_EQUALS, count - at, 0, number) for at, number in enumerate(allowed)),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    program = b"".join(struct.pack("=HBBI", *row) for row in rows)
    held = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(rows), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, first, second in (
        (_NO_NEW_PRIVILEGES, 1, 0),
        (_SET_SECCOMP, _FILTER, ctypes.create_string_buffer(header, len(header))),
    ):
        if libc.prctl(option, first, second, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


def run(code: str, scope: dict[str, Any], printed: Printed, characters: int) -> dict[str, Any]:
    """The fields of `Outcome` but what was printed."""
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            last = _run_code(code, scope)
            if scope.get("result") is not None:
                return {"value": text_of(scope["result"], characters), "named": True}
            return {"value": None if last is None else text_of(last, characters)}
        except Full:
            return {"ended": "output"}
        except MemoryError:
            return {"ended": "memory"}
        except BaseException as error:
            return {"error": _message(error)[-characters:]}


def _run_code(code: str, scope: dict[str, Any]) -> Any:
    """The value of the last statement, if it is an expression."""
    tree = ast.parse(code, "math.py")
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    exec(compile(tree, "math.py", "exec"), scope)  # noqa: S102 - what this program is for
    return eval(compile(last, "math.py", "eval"), scope) if last else None  # noqa: S307 - the same


def text_of(value: object, characters: int) -> str:
    return f"{value!s}"[: characters + 1]


def _message(error: BaseException) -> str:
    """The traceback without this file's own lines."""
    try:
        shown = traceback.TracebackException.from_exception(error, limit=-8)
        shown.stack = traceback.StackSummary.from_list(
            [frame for frame in shown.stack if frame.filename == "math.py"]
        )
        return "".join(shown.format(chain=False)).rstrip("\n")
    except BaseException:
        return f"an exception of the kind {type(error).__name__[:100]}, which cannot be shown"


def tell(outcome: dict[str, Any]) -> None:
    """Whole characters only: halves of a surrogate pair have no place in JSON."""
    clean = {
        key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for key, value in outcome.items()
    }
    sys.__stdout__.write(json.dumps(clean) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))

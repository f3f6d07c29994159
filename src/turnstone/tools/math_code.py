"""Finds the last bare expression of a piece of Python, and the names in it. Pure.

Works on tokens and runs nothing: Python's own parser can be made to take for ever by text that
is made for it, and this process must not wait for a stranger's code. So it may be wrong about
text that is no Python; then the code is left whole, and whoever runs it will say so.
"""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

#: Keywords that an expression may begin with; any other begins a statement.
_BEGIN_EXPRESSIONS = frozenset({"None", "True", "False", "not", "lambda", "await"})

_ASSIGNMENTS = frozenset("= += -= *= /= //= %= @= &= |= ^= >>= <<= **=".split())
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_SILENT = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER})


@dataclass(frozen=True, slots=True)
class Code:
    """`head` is run, then `last`, an expression on the lines where it stood; it may be empty."""

    head: str
    last: str
    names: frozenset[str]


def split(code: str) -> Code:
    """`last` is empty where the last statement is none, or where this is no Python."""
    lines = code.splitlines(keepends=True)
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        return Code(code, "", frozenset())
    names = frozenset(token.string for token in tokens if token.type == tokenize.NAME)
    statement = _last_statement([token for token in tokens if token.type not in _SILENT])
    if not _is_expression(statement):
        return Code(code, "", names)
    (row, column), (end_row, end_column) = statement[0].start, statement[-1].end
    before, inside = lines[: row - 1], lines[row - 1 : end_row]
    head = "".join(before) + inside[0][:column]
    inside[-1] = inside[-1][:end_column]
    inside[0] = inside[0][column:]
    return Code(head.rstrip(" \t;"), "\n" * (row - 1) + f"({''.join(inside)}\n)", names)


def _last_statement(tokens: Sequence[tokenize.TokenInfo]) -> list[tokenize.TokenInfo]:
    """The tokens of the last statement that is not part of another one; empty if there is none."""
    statement: list[tokenize.TokenInfo] = []
    indented = depth = 0
    ended = True
    for token in tokens:
        if token.type == tokenize.INDENT:
            indented += 1
        elif token.type == tokenize.DEDENT:
            indented -= 1
        if indented or token.type in {tokenize.INDENT, tokenize.DEDENT}:
            statement = [token]  # the end of a block: never an expression
            ended = True
        elif token.type == tokenize.NEWLINE or (token.string == ";" and not depth):
            ended = True
        else:
            if ended:
                statement = []
            ended = False
            statement.append(token)
            depth += (token.string in _OPENING) - (token.string in _CLOSING)
    return statement


def _is_expression(statement: Sequence[tokenize.TokenInfo]) -> bool:
    if not statement or statement[0].type in {tokenize.INDENT, tokenize.DEDENT}:
        return False
    first = statement[0].string
    if keyword.iskeyword(first) and first not in _BEGIN_EXPRESSIONS:
        return False
    depth = lambdas = 0
    for token in statement:
        depth += (token.string in _OPENING) - (token.string in _CLOSING)
        if depth or token.type not in {tokenize.OP, tokenize.NAME}:
            continue
        if token.string == "lambda":
            lambdas += 1
        elif token.string == ":" and lambdas:
            lambdas -= 1
        elif token.string == ":" or (token.string in _ASSIGNMENTS and not lambdas):
            return False
    return True

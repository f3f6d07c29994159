"""The arguments of a tool call: read, repaired where that is certain, and written back. Pure.

It never raises for what a model sends, and never guesses: arguments that cannot be read for
certain become a sentence for the model that says what is wrong and where.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from oturn.argument_repair import repair

#: Finish reasons with which a model ended its answer by itself, so that its last word is there.
_ENDED_BY_ITSELF = frozenset({"stop", "tool_calls", "function_call"})
#: Characters shown on each side of the place where an argument text stops to be JSON.
_SNIPPET = 30


@dataclass(frozen=True, slots=True)
class Arguments:
    """What an argument text stands for: `parsed`, or None with the reason in `problem`.

    `repaired` says what had to be put right, one phrase for each kind of fault.
    """

    parsed: dict[str, Any] | None
    problem: str = ""
    repaired: tuple[str, ...] = ()


def read_arguments(text: str, finish: str | None = None) -> Arguments:
    """The object that a model meant. `finish`: the finish_reason of its answer.

    An answer that was cut off at the limit of output is never repaired: what is missing may
    be anything. Brackets missing at the end are added only when the model ended by itself.
    """
    parsed, problem = parse_arguments(text)
    if finish == "length" and (parsed is None or not text.strip()):
        return Arguments(None, _cut_off(text))
    if parsed is not None:
        return Arguments(parsed)
    repaired = repair(text, may_close=finish in _ENDED_BY_ITSELF)
    return Arguments(None, problem) if repaired is None else Arguments(repaired[0], "", repaired[1])


def parse_arguments(text: str) -> tuple[dict[str, Any] | None, str]:
    """(the object, "") or (None, what the model must put right). Blank text is no arguments.

    Nothing is repaired here: what is no JSON object is a problem.
    """
    if not text.strip():
        return {}, ""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as problem:
        where = _snippet(text, problem)
        return None, f"Not run: the arguments are not valid JSON ({where}). {_SEND_AN_OBJECT}"
    if not isinstance(value, dict):
        kind = _KINDS.get(type(value), "something else")
        return None, f"Not run: the arguments are {kind}, not a JSON object. {_SEND_AN_OBJECT}"
    return value, ""


def sendable_arguments(arguments: object, finish: str | None = None) -> str:
    """Arguments as a provider takes them back: always the text of one JSON object.

    A text that is one already comes out unchanged; what cannot be read becomes `{}`, because
    some providers refuse a whole conversation for one broken call in it. `finish` as above.
    """
    if isinstance(arguments, str):
        parsed, _ = parse_arguments(arguments)
        if parsed is not None and arguments.strip():
            return arguments
        arguments = read_arguments(arguments, finish).parsed
    return _written(arguments) if isinstance(arguments, Mapping) else "{}"


def _written(arguments: Mapping[str, Any]) -> str:
    try:
        return json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except ValueError:  # a number like 1e999, which is infinite here; JSON has no word for it
        finite = json.loads(json.dumps(arguments), parse_constant=lambda _: None)
        return json.dumps(finite, ensure_ascii=False)


def _cut_off(text: str) -> str:
    return (
        f"Not run: the call was cut off by the output limit, after {len(text)} characters of "
        "its arguments. Call the tool again with less in one call."
    )


def _snippet(text: str, problem: Exception) -> str:
    if not isinstance(problem, json.JSONDecodeError):
        return str(problem)
    around = text[max(0, problem.pos - _SNIPPET) : problem.pos + _SNIPPET]
    return f"{problem}, near {around!r}"


_SEND_AN_OBJECT = 'Call the tool again with one JSON object, like {"name": "value"}.'

_KINDS: Mapping[type, str] = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)  # made once: it costs more than a call

"""Turns what a model sent as arguments into a typed value, or into a sentence about it.

Numbers written as text are taken as numbers, as in `"limit": "20"`. Names that the tool does
not know are dropped: models add them, and they mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from turnstone.core.errors import ToolRefused

T = TypeVar("T", bound=msgspec.Struct)

_MISSING = re.compile(r"missing required field `(\w+)`")
_WRONG = re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?.* - at `\$\.(\w+)")
_WHOLE_FLOAT = re.compile(r"-?\d+\.0+")
_WORDS = {"str": "text", "int": "a whole number", "bool": "true or false", "float": "a number"}
_GOT = {**_WORDS, "null": "null", "array": "a list", "object": "an object"}


def parse_arguments(tool: str, kind: type[T], arguments: Mapping[str, Any]) -> T:
    """Raises ToolRefused with the argument's name and what it should have been."""
    try:
        return msgspec.convert(_coerced(kind, arguments), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ToolRefused(f"{tool}: {_sentence(str(error))}") from None


def _coerced(kind: type[msgspec.Struct], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`"12.0"` is a number too, where one is wanted."""
    numbers = {f.name for f in msgspec.structs.fields(kind) if f.type in (int, int | None)}
    return {
        name: value.partition(".")[0]
        if name in numbers and isinstance(value, str) and _WHOLE_FLOAT.fullmatch(value)
        else value
        for name, value in arguments.items()
    }


def _sentence(message: str) -> str:
    if missing := _MISSING.search(message):
        return f"the argument `{missing[1]}` is missing."
    if wrong := _WRONG.search(message):
        wanted, got, name = wrong.groups()
        wanted = _WORDS.get(wanted.removesuffix(" | null"), wanted)
        found = f", not {_GOT.get(got, got)}" if got and _GOT.get(got) != wanted else ""
        return f"the argument `{name}` must be {wanted}{found}."
    return f"the arguments are wrong: {message}."

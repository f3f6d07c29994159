"""Checks the arguments of a tool call against the tool's JSON schema. Pure.

The part of JSON Schema that tools use: type, enum, const, properties, required,
additionalProperties, items, the limits of numbers, lengths and counts, pattern, anyOf, oneOf,
allOf, and `$ref` into the same schema. Keywords that are not known here allow everything: a
check that is missing is made up by the tool's own. One thing is taken more lightly than there:
null for a property that is not required counts as leaving it out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

#: How deep a schema is followed: far beyond any tool, and short of the stack's end.
MAX_DEPTH = 64
#: Longest value that a sentence quotes.
QUOTED_CHARACTERS = 60


def problems(value: object, schema: Schema, root: Schema | None = None) -> list[str]:
    """One sentence for each thing that is wrong, with its path; empty when all is well."""
    return list(_check(value, schema, "", root or schema, 0))


def _check(value: object, schema: object, path: str, root: Schema, depth: int) -> Iterator[str]:
    if schema is False:
        yield f"{_at(path)} is not allowed."
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return
    if "$ref" in schema:
        yield from _check(value, _target(schema["$ref"], root), path, root, depth + 1)
    wanted = schema.get("type")
    if wanted is not None and not _is_type(value, wanted):
        yield f"{_at(path)} must be {_type_words(wanted)}, not {_kind(value)}."
        return
    yield from _check_value(value, schema, path)
    yield from _check_combined(value, schema, path, root, depth)
    if isinstance(value, Mapping):
        yield from _check_object(value, schema, path, root, depth)
    elif isinstance(value, list):
        yield from _check_list(value, schema, path, root, depth)


def _check_value(value: object, schema: Schema, path: str) -> Iterator[str]:
    allowed = schema.get("enum")
    if isinstance(allowed, list) and not any(_same(value, one) for one in allowed):
        choices = ", ".join(_quoted(one) for one in allowed)
        yield f"{_at(path)} must be one of {choices}, not {_quoted(value)}."
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{_at(path)} must be {_quoted(schema['const'])}, not {_quoted(value)}."
    if _is_type(value, "number"):
        yield from _check_limits(value, schema, path, _NUMBER_LIMITS)
    if isinstance(value, str):
        yield from _check_limits(len(value), schema, path, _LENGTH_LIMITS)
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and not _matches(pattern, value):
            yield f"{_at(path)} must match {pattern!r}, which {_quoted(value)} does not."


def _check_limits(
    size: Any, schema: Schema, path: str, limits: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    for keyword, (sign, words) in limits.items():
        limit = schema.get(keyword)
        if isinstance(limit, bool) or not isinstance(limit, (int, float)):
            continue
        if not _HOLDS[sign](size, limit):
            yield f"{_at(path)} {words.format(limit)}, not {size}."


_HOLDS: Mapping[str, Any] = {
    ">=": lambda size, limit: size >= limit,
    "<=": lambda size, limit: size <= limit,
    ">": lambda size, limit: size > limit,
    "<": lambda size, limit: size < limit,
}
_NUMBER_LIMITS = {
    "minimum": (">=", "must be at least {}"),
    "maximum": ("<=", "must be at most {}"),
    "exclusiveMinimum": (">", "must be more than {}"),
    "exclusiveMaximum": ("<", "must be less than {}"),
}
_LENGTH_LIMITS = {
    "minLength": (">=", "must have at least {} characters"),
    "maxLength": ("<=", "must have at most {} characters"),
}
_COUNT_LIMITS = {
    "minItems": (">=", "must have at least {} items"),
    "maxItems": ("<=", "must have at most {} items"),
}


def _check_combined(
    value: object, schema: Schema, path: str, root: Schema, depth: int
) -> Iterator[str]:
    for part in schema.get("allOf") or ():
        yield from _check(value, part, path, root, depth + 1)
    for keyword in ("anyOf", "oneOf"):
        parts = schema.get(keyword)
        if isinstance(parts, list) and parts:
            found = [list(_check(value, part, path, root, depth + 1)) for part in parts]
            if all(found):
                shortest = min(found, key=len)
                yield f"{_at(path)} has none of its allowed forms. {shortest[0]}"


def _check_object(
    value: Mapping[str, Any], schema: Schema, path: str, root: Schema, depth: int
) -> Iterator[str]:
    known = schema.get("properties")
    known = known if isinstance(known, Mapping) else {}
    required = schema.get("required") or ()
    for name in required:
        if name not in value:
            yield f"{_at(_below(path, name))} is missing."
    for name, inner in value.items():
        if inner is None and name in known and name not in required:
            continue  # how models leave an argument out
        if name in known:
            yield from _check(inner, known[name], _below(path, name), root, depth + 1)
        elif schema.get("additionalProperties") is False:
            names = ", ".join(known) or "none"
            yield f"{_at(_below(path, name))} is not known. Known here: {names}."
        else:
            rest = schema.get("additionalProperties")
            yield from _check(inner, rest, _below(path, name), root, depth + 1)


def _check_list(
    value: list[Any], schema: Schema, path: str, root: Schema, depth: int
) -> Iterator[str]:
    yield from _check_limits(len(value), schema, path, _COUNT_LIMITS)
    for place, inner in enumerate(value):
        yield from _check(inner, schema.get("items"), f"{path}[{place}]", root, depth + 1)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (Mapping,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "integer": (int,),
    "null": (type(None),),
}
_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "boolean": "true or false",
    "number": "a number",
    "integer": "a whole number",
    "null": "null",
}


def _is_type(value: object, wanted: object) -> bool:
    if isinstance(wanted, list):
        return any(_is_type(value, one) for one in wanted)
    if not isinstance(wanted, str) or wanted not in _TYPES:
        return True
    if isinstance(value, bool):
        return wanted == "boolean"
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[wanted])


def _type_words(wanted: object) -> str:
    names = [str(name) for name in (wanted if isinstance(wanted, list) else [wanted])]
    return " or ".join(_WORDS.get(name, name) for name in names)


def _kind(value: object) -> str:
    if isinstance(value, (bool, int, float)):
        return _quoted(value)
    found = next((name for name in _WORDS if _is_type(value, name)), "")
    return _WORDS.get(found, type(value).__name__)


def _same(one: object, other: object) -> bool:
    """JSON equality: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True  # a pattern in another dialect than Python's: the tool must check itself


def _target(ref: object, root: Schema) -> object:
    """What a local reference (`#/$defs/name`) names; everything is allowed where it names none."""
    if not isinstance(ref, str) or not ref.startswith("#"):
        return True
    found: object = root
    for part in ref.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return True
        found = found[name]
    return found


def _at(path: str) -> str:
    return f"'{path}'" if path else "The value"


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _quoted(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}…"

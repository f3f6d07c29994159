"""Bodies of requests: read within a limit, decoded into their struct, or refused in a sentence.

Senders of 0.2 were allowed much: an empty body, one that is no JSON, any content type. They
still are if they show a token of their own. From a browser each of these may be a forgery.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from starlette.requests import Request

from turnstone.api.problems import BodyTooLarge, TooSlow, WrongMediaType
from turnstone.core.errors import InvalidRequest
from turnstone.server.auth import Identity

#: Bytes of one body. A message of this length is ten times any model's window.
MAX_BODY = 1024 * 1024

#: Seconds in which a body must be whole.
BODY_TIME = 30.0

#: Said to a program whose body was read as if it were empty, as 0.2 did.
_UNREAD = "(The body was not JSON, or had half a surrogate pair, and was read as an empty one.)"

_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<where>.*)`", re.DOTALL)

_UNKNOWN = re.compile(r"Object contains unknown field (?P<name>.*)", re.DOTALL)

_KINDS = re.compile(r"Expected (?P<wanted>[\w |]+), got (?P<got>\w+)")
_IN_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}

BodyT = TypeVar("BodyT", bound=msgspec.Struct)


async def read_body(
    request: Request, kind: type[BodyT], identity: Identity | None, limit: int = MAX_BODY
) -> BodyT:
    """The request's body, of at most `limit` bytes. Raises InvalidRequest, BodyTooLarge,
    WrongMediaType, TooSlow."""
    lax = identity is not None and identity.via == "bearer"
    if not lax:
        _check_type(request)
    content = await _read(request, limit)
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(error, kind) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if lax:
            request.state.unread = _UNREAD
            return kind()
        raise InvalidRequest(
            "The body is not a JSON object.", hint="Send one, as UTF-8, of the documented fields."
        ) from error


def unread(request: Request) -> str:
    """What is to be added to an error about a body that was taken for an empty one."""
    return str(getattr(request.state, "unread", ""))


def _check_type(request: Request) -> None:
    """A page elsewhere can make a browser post a form or plain text, and not this type."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise WrongMediaType(
            f"The body is declared as {media_type or 'nothing'}, and must be application/json.",
            hint="Send Content-Type: application/json.",
        )


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_TIME):
            async for piece in request.stream():
                content += piece
                if len(content) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise TooSlow(
            f"The body was not whole after {BODY_TIME:g} s.", hint="Send less, or faster."
        ) from None
    return bytes(content)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is longer than {limit} bytes.", hint="Send less, or a file's path."
    )


def _invalid(error: msgspec.ValidationError, kind: type[msgspec.Struct]) -> InvalidRequest:
    """The decoder's words, as a sentence that begins with the field's name."""
    told = _AT.fullmatch(str(error))
    what = (told["what"] if told else str(error)).replace("`", "")
    where = (told["where"] if told else "") or "body"
    if unknown := _UNKNOWN.fullmatch(what):
        return _misspelt(kind, where, unknown["name"])
    if words := _words(kind, where):
        what = f"{what.removeprefix('Invalid enum value ')} is none of {words}"
        return InvalidRequest(f"{where}: {what}.")
    if kinds := _KINDS.fullmatch(what):
        wanted, got = (_kind(kinds[name]) for name in ("wanted", "got"))
        return InvalidRequest(f"{where}: {wanted} is expected, not {got}.")
    return InvalidRequest(f"{where}: {what[:1].lower()}{what[1:]}.")


def _misspelt(kind: type[msgspec.Struct], where: str, name: str) -> InvalidRequest:
    """Of a field that is not known, in the object at `where`."""
    found: Any = kind
    for step in () if where == "body" else where.split("."):
        found = next(f.type for f in msgspec.structs.fields(found) if f.encode_name == step)
    known = ", ".join(field.encode_name for field in msgspec.structs.fields(found))
    full = name[:60] if where == "body" else f"{where}.{name[:60]}"
    return InvalidRequest(f"{full}: there is no such field; the fields there are {known}.")


def _kind(names: str) -> str:
    """What the decoder calls `int` or `str | null`, in words."""
    return " or ".join(_IN_WORDS.get(name, name) for name in names.split(" | "))


def _words(kind: type[msgspec.Struct], name: str) -> str:
    """The words that a field may have, if it has words."""
    for field in msgspec.structs.fields(kind):
        if field.encode_name == name and get_origin(field.type) is Literal:
            return ", ".join(repr(word) for word in get_args(field.type))
    return ""

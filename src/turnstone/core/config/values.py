"""From what a person wrote to the value of a setting: by its row, or a refusal in words.

Two steps: a text (flag, variable) is decoded to what a file would say; what a file says is
checked and given its type. Nothing here knows which file, flag or variable it was, and no
refusal repeats a secret.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

from turnstone.core.config.structs import AuthToken, Role, Secret
from turnstone.core.config.table import Setting

_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off")
#: What a flag or variable may spell a number as; int() and float() take much more than this.
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
#: Larger ones fit no database and no float; they are slips.
_LARGEST: Final = 10**18
#: How Python hands on the bytes of a command line or variable that are no UTF-8.
_NOT_UTF_8: Final = re.compile(r"[\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN_NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
#: Longer values are cut in messages.
_SHOWN_CHARACTERS: Final = 60


class WrongValue(Exception):
    """A value that the setting cannot have: what was given, and what is right, in words."""

    def __init__(self, given: str, right: str) -> None:
        super().__init__(f"{given}; it must be {right}")
        self.given = given
        self.right = right


def from_text(row: Setting, text: str, resolve: Callable[[str], Path]) -> object:
    """The value that a flag or an environment variable gives. WrongValue if it cannot."""
    if _NOT_UTF_8.search(text):
        raise WrongValue("a text that is not UTF-8", expected(row))
    return from_file(row, _decoded(row, text), resolve)


def from_file(row: Setting, raw: object, resolve: Callable[[str], Path]) -> object:
    """The value that a parsed TOML value (or a typed flag) gives. WrongValue if it cannot.

    `resolve` makes a path absolute, and raises ValueError with a few words if it cannot.
    """
    if isinstance(raw, int) and abs(raw) > _LARGEST:
        raise WrongValue("a number of more than eighteen digits", expected(row))
    match row.kind:
        case "text" | "secret" | "url" | "choice" | "path" if isinstance(raw, str):
            return _checked_text(row, raw, resolve)
        case "path" if isinstance(raw, Path):
            return _checked_text(row, str(raw), resolve)
        case "integer" if isinstance(raw, int) and not isinstance(raw, bool):
            return _within_limits(row, raw)
        case "number" if isinstance(raw, int | float) and not isinstance(raw, bool):
            return _within_limits(row, float(raw))
        case "boolean" if isinstance(raw, bool):
            return raw
        case "list" if isinstance(raw, list | tuple):
            return _checked_list(row, list(raw))
        case "tokens" if isinstance(raw, list | tuple):
            return tuple(_token(row, entry) for entry in raw)
        case _:
            raise WrongValue(_shown(row, raw), expected(row))


def expected(row: Setting) -> str:
    """What the setting may be, in a few words: for messages and for the documentation."""
    match row.kind:
        case "text" | "secret":
            return "a text" if row.default == "" else "a text that is not empty"
        case "url":
            return "a URL that begins with http:// or https://, without user name and password"
        case "choice":
            return f"one of {', '.join(row.choices)}"
        case "path":
            return "a path"
        case "integer":
            return "a whole number" + _limits(row)
        case "number":
            return "a number" + _limits(row)
        case "boolean":
            return "true or false"
        case "list":
            return "a list of texts"
        case "tokens":
            return f"a list of tokens, each with a value and a role ({', '.join(row.choices)})"


def _limits(row: Setting) -> str:
    if row.minimum is not None and row.maximum is not None:
        return f" from {row.minimum:g} to {row.maximum:g}"
    return f" not below {row.minimum:g}" if row.minimum is not None else ""


def _decoded(row: Setting, text: str) -> object:
    stripped = text.strip()
    match row.kind:
        case "integer" if _INTEGER.fullmatch(stripped):
            return int(stripped)
        case "number" if _NUMBER.fullmatch(stripped):
            return float(stripped)
        case "boolean" if stripped.lower() in _TRUE:
            return True
        case "boolean" if stripped.lower() in _FALSE:
            return False
        case "list":
            return [part.strip() for part in text.split(",") if part.strip()]
        case "tokens":
            return [_decoded_token(part) for part in text.split(",") if part.strip()]
        case _:  # a text, or something that is none of the above and refused as such
            return text


def _decoded_token(part: str) -> dict[str, str]:
    """`role:value`, or a value alone, which then has the role that a file gives by default."""
    role, colon, value = part.strip().partition(":")
    return {"value": value, "role": role} if colon else {"value": role}


def _checked_text(row: Setting, raw: str, resolve: Callable[[str], Path]) -> object:
    if "\0" in raw or (not raw.strip() and row.default != ""):
        raise WrongValue(_shown(row, raw), expected(row))
    match row.kind:
        case "secret":
            return _checked_secret(row, raw.strip())
        case "url":
            return _checked_url(row, raw.strip())
        case "choice":
            return _chosen(row, raw)
        case "path":
            if "://" in raw:  # it may hold a password, and is not shown
                database = "; a PostgreSQL database is named with --store-url"
                raise WrongValue("a URL", "a path" + database * (row.name == "store.path"))
            try:
                return resolve(raw)
            except ValueError as error:
                raise WrongValue(_shown(row, raw), str(error)) from error
        case _:
            return raw


def _checked_secret(row: Setting, raw: str) -> Secret:
    """A line break at the end is never meant; one inside would break into a header."""
    if _CONTROL.search(raw):
        raise WrongValue("a text with control characters in it", expected(row))
    return Secret(raw)


def _checked_url(row: Setting, raw: str) -> str:
    if not raw:
        return ""
    try:
        parts = urlsplit(raw)
        wrong = not parts.hostname or (parts.port or 1) < 1
    except ValueError:
        raise WrongValue(_shown(row, raw), expected(row)) from None
    if parts.username is not None or parts.password is not None:
        # It would be shown wherever the address is.
        raise WrongValue("a URL with a user name or password in it", expected(row))
    if (
        wrong
        or parts.scheme not in ("http", "https")
        or re.search(r"\s", raw)
        or _CONTROL.search(raw)
    ):
        raise WrongValue(_shown(row, raw), expected(row))
    return raw.rstrip("/")


def _chosen(row: Setting, raw: str) -> str:
    for choice in row.choices:
        if choice.casefold() == raw.strip().casefold():
            return choice
    raise WrongValue(_shown(row, raw), expected(row))


def _within_limits(row: Setting, number: float) -> float:
    too_small = row.minimum is not None and number < row.minimum
    too_large = row.maximum is not None and number > row.maximum
    if too_small or too_large or not math.isfinite(number):
        raise WrongValue(_shown(row, number), expected(row))
    return number


def _checked_list(row: Setting, raw: list[object]) -> tuple[str, ...]:
    texts = [entry.strip() for entry in raw if isinstance(entry, str)]
    if len(texts) != len(raw) or not all(texts):
        raise WrongValue(_shown(row, raw), expected(row))
    return tuple(texts)


def _token(row: Setting, entry: object) -> AuthToken:
    if not isinstance(entry, dict):
        raise WrongValue("a list with something else in it", expected(row))
    unknown = sorted(str(key) for key in entry.keys() - {"value", "role", "name"})
    if unknown:
        raise WrongValue(f'a token with the unknown key "{unknown[0]}"', expected(row))
    value, role = entry.get("value"), entry.get("role", "read")
    if not isinstance(value, str) or not value.strip():
        raise WrongValue("a token without a value", expected(row))
    if role not in row.choices:
        # Not shown: in `role:value` it may be a part of a token that has a colon.
        raise WrongValue("a token with another role", expected(row))
    name = entry.get("name", "")
    if not isinstance(name, str) or (name and not _TOKEN_NAME.fullmatch(name)):
        raise WrongValue("a token with a name that is none", expected(row))
    if value.strip().startswith("sha256:") and not _DIGEST.fullmatch(value.strip()):
        raise WrongValue("a token that begins with sha256: and is no digest", expected(row))
    return AuthToken(value=Secret(value.strip()), role=cast("Role", role), name=name)


def _shown(row: Setting, raw: object) -> str:
    if row.secret:
        return "a value of another type"
    text = _spelled(raw)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _spelled(raw: object) -> str:
    """As in the file, but with everything escaped that a terminal could take for an order."""
    if not isinstance(raw, str | bool | list | tuple | dict):
        return str(raw)
    text = json.dumps(raw, ensure_ascii=False, default=str)
    return text if text.isprintable() else json.dumps(raw, default=str)

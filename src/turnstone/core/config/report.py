"""The settings as a table for people: each with its value and its source, secrets masked."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec

from turnstone.core.config.rows import SETTINGS, model_rows
from turnstone.core.config.structs import AuthToken, Secret, Settings, Source


class Described(msgspec.Struct, frozen=True):
    """One line of `turnstone config show --sources`. `value` is spelled as in the file."""

    name: str
    value: str
    source: Source
    meaning: str = ""
    secret: bool = False


def describe(settings: Settings, *, every: bool = False) -> list[Described]:
    """The settings that the program makes use of, or every one, in the table's order."""
    named = [row for model in settings.models for row in model_rows(model.name)]
    return [
        Described(
            row.name,
            shown(settings.value(row.name)),
            settings.source(row.name),
            row.meaning,
            row.secret,
        )
        for row in (*SETTINGS, *named)
        if every or settings.program in row.programs
    ]


def shown(value: object) -> str:
    """A value as the file would spell it; of a secret, a mask of one length."""
    match value:
        case Secret():
            return shown(str(value))
        case Path():
            return shown(str(value))
        case tuple():
            return f"[{', '.join(_entry(entry) for entry in value)}]"
        case _:
            return msgspec.json.encode(value).decode()


def _entry(entry: object) -> str:
    if isinstance(entry, AuthToken):
        return f"{{ value = {shown(entry.value)}, role = {shown(entry.role)} }}"
    return shown(cast("str", entry))

"""What an answer to a question means. Pure; strict, because a guess here runs a tool.

Futures are not read here: what a program sets as their result counts as it did in 0.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_NO_CHOICE = {"selected": None, "confirmed": False}


def verdict(value: object) -> bool:
    """Yes or no. Raises ValueError for what is neither a bool nor `{"approved": bool}`."""
    said = value.get("approved") if isinstance(value, dict) else value
    if isinstance(said, bool):
        return said
    raise ValueError(
        f'{value!r} is neither yes nor no: give True, False, or {{"approved": True or False}}.'
    )


def selection(value: object, choices: Sequence[Any] | None) -> dict[str, Any]:
    """What was chosen, as the future of a `choice_request` has it. Raises ValueError for what
    is neither one of the choices, nor None, nor a dict with `selected`."""
    offered = list(choices or ())
    if value is None:
        return dict(_NO_CHOICE)
    if not isinstance(value, dict):
        _check(value, offered)
        return {"selected": value, "confirmed": True}
    if not value.get("confirmed") and value.get("selected") is None:
        if value.keys() & _NO_CHOICE.keys():
            return dict(_NO_CHOICE)
        raise ValueError(
            f'{value!r} chooses nothing: give {{"selected": one of {offered!r}, "confirmed": True}}.'
        )
    _check(value.get("selected"), offered)
    return value


def _check(selected: object, offered: list[Any]) -> None:
    if selected not in offered:
        raise ValueError(f"{selected!r} is no choice here: give one of {offered!r}, or None.")

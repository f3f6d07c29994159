"""Which part of a call a person changes in the editor, and the call that it makes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from turnstone.core.events import ToolItem
from turnstone.core.masking import MASK

#: The argument of a tool that is a text for people, and the ending of such a file; where there
#: is no ending, that of the file that the call is about. Of other tools it is all, as JSON.
_TEXTS: Mapping[str, tuple[str, str]] = {
    "bash": ("command", ".sh"),
    "write_file": ("content", ""),
    "edit_file": ("new_string", ""),
    "math": ("code", ".py"),
    "task": ("prompt", ".md"),
    "plan": ("prompt", ".md"),
}


def why_not(item: ToolItem) -> str:
    """Why this call cannot be changed here; empty if it can."""
    if MASK in msgspec.json.encode(item.arguments).decode():
        return "It holds a secret that is not shown, so it cannot be changed here."
    return ""


def text_of(item: ToolItem) -> tuple[str, str]:
    """The text to change, and the ending that tells an editor what it is."""
    name, suffix = _TEXTS.get(item.name, ("", ".json"))
    text = item.arguments.get(name)
    if not isinstance(text, str) or not text:
        return msgspec.json.format(msgspec.json.encode(item.arguments)).decode(), ".json"
    return text, suffix or PurePath(str(item.arguments.get("path", ""))).suffix or ".txt"


def arguments_of(item: ToolItem, text: str) -> dict[str, Any]:
    """The whole arguments after the text was changed. ValueError, in words, for what is none."""
    before, suffix = text_of(item)
    if text.endswith("\n") and not before.endswith("\n"):
        text = text[:-1]  # which editors add
    if not text.strip():
        raise ValueError("there is no text")
    name = _TEXTS.get(item.name, ("", ""))[0]
    if item.arguments.get(name) == before and suffix:
        return {**item.arguments, name: text}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"it is no JSON object ({error})") from None

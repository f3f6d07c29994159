"""How many tokens a text will be, before anybody has counted them. Pure.

The provider's own count is the truth, and comes with each answer; between two answers this
estimate stands in. It goes by kinds of characters, since a fixed number of characters per
token is 40 % off on JSON and logs and fourfold on Japanese, and is corrected by the ratio
that the counts of this conversation have had to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: By kind: tokens of each run of characters, and of each character in it, as byte-pair
#: vocabularies of current models have them. Fitted to `cl100k_base`; single blanks cost nothing,
#: for they are one token with the word behind them. Text that looks like chance (base64) is
#: taken for a third too little.
_KINDS = (
    (re.compile(r"[A-Z]?[a-z]+|[A-Z]+"), 0.52, 0.13),
    (re.compile(r"[0-9]{1,3}"), 1.0, 0.0),
    (re.compile(r"[!-/:-@\[-`{-~]+"), 0.75, 0.15),
    (re.compile(r"[ \t]{2,}"), 0.8, 0.0),
    (re.compile(r"[\r\n\x00-\x08\x0b\x0c\x0e-\x1f]+"), 0.35, 0.02),
    (re.compile(r"[\u0080-\u024f\u1e00-\u1eff]+"), 1.1, 0.2),
    (re.compile(r"[\u0250-\u1dff\u2000-\u25ff\ua000-\uabff]+"), 0.0, 0.5),
    (
        re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]+"),
        0.0,
        0.95,
    ),
    (re.compile(r"[\u2600-\u27bf\U0001f000-\U0001faff]+"), 0.0, 2.0),
)

#: What a message costs beside its text, and a tool beside its schema.
_MESSAGE, _TOOL = 4, 8

#: What an image costs with most providers, scaled by them to some million pixels.
_IMAGE = 1_500

#: The correction stays within these: a count that is further off counts something else.
_LEAST, _MOST = 0.5, 2.5

#: How much one new count moves the correction.
_WEIGHT = 0.5


def of_text(text: str) -> float:
    """The estimate for one text, uncorrected."""
    tokens = 0.0
    for kind, of_run, of_character in _KINDS:
        runs = kind.findall(text)
        tokens += of_run * len(runs)
        if of_character:
            tokens += of_character * sum(map(len, runs))
    return tokens


def of_message(message: Mapping[str, Any]) -> float:
    """The estimate for one message as a model is sent it, uncorrected."""
    content = message.get("content") or ""
    tokens = _MESSAGE + of_text(content if isinstance(content, str) else json.dumps(content))
    tokens += _IMAGE * len(message.get("images", ()))
    for call in message.get("tool_calls") or ():
        function = call.get("function", {})
        tokens += _TOOL + of_text(function.get("name", "")) + of_text(function.get("arguments", ""))
    return tokens


def of_tools(tools: Sequence[Mapping[str, Any]]) -> float:
    """The estimate for the tools that a request offers, uncorrected."""
    return sum(_TOOL + of_text(json.dumps(tool, ensure_ascii=False)) for tool in tools)


def of_messages(messages: Iterable[Mapping[str, Any]]) -> float:
    """The estimate for messages together, uncorrected."""
    return sum(map(of_message, messages))


def corrected(ratio: float, estimate: float, counted: int) -> float:
    """The correction once a request that was estimated as `estimate` was counted as `counted`.

    1 is none. It is what later estimates are multiplied with.
    """
    if estimate < 1 or counted < 1:
        return ratio
    found = min(_MOST, max(_LEAST, counted / estimate))
    return ratio + (found - ratio) * _WEIGHT

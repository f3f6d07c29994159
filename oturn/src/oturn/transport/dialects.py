"""What some servers refuse in a request, and how to ask without it. A table; pure, no I/O.

A row is used when the server's refusal names the field and says that it does not know or
support it; a value that is out of range is the caller's mistake, and stays one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Body: TypeAlias = Mapping[str, Any]
"""The body of a request."""

#: The statuses of a request that was understood, and refused for what it holds.
REFUSALS = frozenset({400, 422})


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way of asking that some servers need. `field` is what their refusals name."""

    name: str
    field: str
    rewritten: Callable[[Body], Body]  # the same body where there is nothing to change


def _without(field: str) -> Callable[[Body], Body]:
    def rewritten(body: Body) -> Body:
        return {key: value for key, value in body.items() if key != field}

    return rewritten


def _renamed(field: str, to: str) -> Callable[[Body], Body]:
    def rewritten(body: Body) -> Body:
        if field not in body:
            return body
        rest = {key: value for key, value in body.items() if key != field}
        return {to: body[field], **rest}

    return rewritten


def _system_for_developer(body: Body) -> Body:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    return {**body, "messages": [_as_system(message) for message in messages]}


def _as_system(message: Any) -> Any:
    if isinstance(message, Mapping) and message.get("role") == "developer":
        return {**message, "role": "system"}
    return message


#: In the order in which they are tried, when one refusal fits several.
DIALECTS = (
    # Older Azure versions, Mistral, and many small servers.
    Dialect("without stream_options", "stream_options", _without("stream_options")),
    # OpenAI's o-series and everything since.
    Dialect(
        "max_completion_tokens for max_tokens",
        "max_tokens",
        _renamed("max_tokens", "max_completion_tokens"),
    ),
    # Servers of the time before it.
    Dialect(
        "max_tokens for max_completion_tokens",
        "max_completion_tokens",
        _renamed("max_completion_tokens", "max_tokens"),
    ),
    # DeepSeek, Mistral, and chat templates that know three roles.
    Dialect("role system for developer", "developer", _system_for_developer),
    # DeepSeek's reasoner, llama.cpp without --jinja, small servers.
    Dialect("without tool_choice", "tool_choice", _without("tool_choice")),
    # OpenAI's o-series takes its own values only.
    Dialect("without temperature", "temperature", _without("temperature")),
    Dialect("without top_p", "top_p", _without("top_p")),
)

_UNKNOWN = re.compile(
    r"unsupport|not? (be )?support|n't support|unrecogni|unknown|unexpected|invalid role"
    r"|extra_forbidden|extra (inputs|fields)|not (be )?(permitted|allowed|compatible|implemented)"
    r"|incompatible|only the default|deprecated|should be '?(system|user)|invalid[_ ]param",
    re.IGNORECASE,
)


def dialect_for(
    body: Body, status: int | None, refusal: str, used: Collection[Dialect]
) -> Dialect | None:
    """The row that answers this refusal and changes this body; none of `used`, so it must end.

    `refusal` is the text of the answer, in any shape.
    """
    if status not in REFUSALS or not _UNKNOWN.search(refusal):
        return None
    for dialect in DIALECTS:
        if (
            dialect not in used
            and _names(dialect.field, refusal)
            and dialect.rewritten(body) != body
        ):
            return dialect
    return None


def _names(field: str, refusal: str) -> bool:
    return re.search(rf"(?<![A-Za-z_]){field}(?![A-Za-z_])", refusal) is not None

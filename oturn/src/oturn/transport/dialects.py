"""What some servers refuse in a request, and how to ask without it. A table; pure, no I/O.

A row is used when the server's refusal says of this very field that it is not known or not
supported: as its `param`, or in words next to it. A value that is out of range is the caller's
mistake, and stays one: a refusal that speaks of a range changes no field that holds a value.
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
    """One way of asking that some servers need. `field` is what their refusals name.

    `also`: what one says of this field alone, besides what is said of any.
    """

    name: str
    field: str
    rewritten: Callable[[Body], Body]  # the same body where there is nothing to change
    also: re.Pattern[str] | None = None

    def fits(self, refusal: str) -> bool:
        """Whether the refusal is of the field itself."""
        if self.also is not None and self.also.search(refusal):
            return True
        if _OF_A_VALUE.search(refusal) and not _DEFAULT_ONLY.search(refusal):
            return False
        name = rf"(?<![A-Za-z_]){re.escape(self.field)}(?![A-Za-z_])"
        if re.search(rf"{_UNKNOWN}{_BETWEEN}{name}|{name}{_BETWEEN}{_UNKNOWN}", refusal, _FLAGS):
            return True
        is_param = re.search(rf"[\"']param[\"']\s*:\s*[\"']{re.escape(self.field)}[\"']", refusal)
        return is_param is not None and re.search(_UNKNOWN, refusal, _FLAGS) is not None


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


_FLAGS = re.IGNORECASE
#: What servers say of a field that they do not take.
_UNKNOWN = (
    r"(?:unsupported(?:_parameter|_value)?|unrecogni[sz]ed|unknown|unexpected|incompatible|deprecated"
    r"|invalid[ ]role|extra_forbidden|extra[ ](?:inputs|fields)[ ](?:are[ ])?not[ ]permitted"
    r"|not[ ](?:be[ ])?(?:supported|permitted|allowed|compatible|implemented|recogni[sz]ed)"
    r"|(?:not|n't)[ ]support|is[ ]not[ ]one[ ]of)"
)
#: What may stand between that and the field: marks, and words that say what kind of thing it is.
_BETWEEN = (
    r"(?:[\s:'\"`\\,\[\](){}-]|->|\.(?=\S)|\b(?:request|body|input|parameters?|params?|fields?"
    r"|arguments?|args?|property|properties|keys?|values?|keyword|option|role|variant|supplied|named"
    r"|this|the|is|are|was|currently|for|loc|msg|(?:on|with|by)[ ]this[ ]model)\b){0,20}"
)
#: What they say of a value that they do not take in a field which they know.
_OF_A_VALUE = re.compile(
    r"\brange|between|maximum|minimum|must be|should be|at (?:most|least)|(?:less|greater|more) than"
    r"|\btoo (?:large|big|high|long|small|low|short)|exceed|above|below|out of|larger|smaller"
    r"|unexpected value|unsupported[ _]value|support -?\d"
    r"|[\[(]\s*-?[\d.]+\s*,|\d\s*\.\.+\s*\d|(?<!-)[<>≤≥]=?\s*-?\d",
    _FLAGS,
)
#: Of a field that takes one value only, which is sent by leaving it out.
_DEFAULT_ONLY = re.compile(r"only the default", _FLAGS)

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
    Dialect(
        "role system for developer",
        "developer",
        _system_for_developer,
        re.compile(
            r"\bdeveloper\b.*(?:should|must) be (?:one of )?\W*(?:system|user)"
            r"|(?:should|must) be (?:one of )?\W*(?:system|user).*\bdeveloper\b",
            _FLAGS | re.DOTALL,
        ),
    ),
    # DeepSeek's reasoner, llama.cpp without --jinja, small servers.
    Dialect("without tool_choice", "tool_choice", _without("tool_choice")),
    # OpenAI's o-series takes its own values only.
    Dialect("without temperature", "temperature", _without("temperature")),
    Dialect("without top_p", "top_p", _without("top_p")),
    # OpenAI and Mistral: templates are their own affair.
    Dialect(
        "without chat_template_kwargs", "chat_template_kwargs", _without("chat_template_kwargs")
    ),
    # Models that do not reason; Ollama says so without naming the field.
    Dialect(
        "without reasoning_effort",
        "reasoning_effort",
        _without("reasoning_effort"),
        re.compile(r"does not support (?:thinking|reasoning)\b", _FLAGS),
    ),
)


def dialect_for(
    body: Body, status: int | None, refusal: str, used: Collection[Dialect]
) -> Dialect | None:
    """The row that answers this refusal and changes this body; none of `used`, so it must end.

    `refusal` is the text of the answer, in any shape.
    """
    if status not in REFUSALS:
        return None
    for dialect in DIALECTS:
        if dialect not in used and dialect.fits(refusal) and dialect.rewritten(body) != body:
            return dialect
    return None

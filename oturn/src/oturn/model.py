"""The records of a conversation, as programs and session files know them. No I/O.

`Message` and `CompactRecord` are named by their import path inside session files, so they
stay here. Built once per message; fragments and signals are lighter things, elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_serializer,
    field_validator,
    model_serializer,
)

Role: TypeAlias = Literal["user", "assistant", "system", "tool"]
ROLE_USER: Literal["user"] = "user"
ROLE_ASSISTANT: Literal["assistant"] = "assistant"
ROLE_SYSTEM: Literal["system"] = "system"
ROLE_TOOL: Literal["tool"] = "tool"


@runtime_checkable
class MessageTextRenderable(Protocol):
    """Content that says itself how the model reads it."""

    def to_message_text(self) -> str: ...


@dataclass
class FunctionInfo:
    """The function of a tool call; `arguments` as an object, None when it had none or broken."""

    name: str
    arguments: Any = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FunctionInfo:
        return cls(value.get("name") or "", value.get("arguments"))

    def to_dict(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"name": self.name}
        if self.arguments is not None:
            shown["arguments"] = self.arguments
        return shown


@dataclass
class ToolCallInfo:
    id: str
    type: str
    function: FunctionInfo

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ToolCallInfo:
        function = FunctionInfo.from_json(value.get("function") or {})
        return cls(value.get("id") or "", value.get("type") or "", function)

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, "type": self.type, "function": self.function.to_dict()}


class UserContent(BaseModel):
    """What a person said, with who and when. `date` is kept in the local zone.

    It may be given as a datetime, an ISO string (both local when they name no zone), seconds
    since the epoch, or {"ts": seconds, "tz": name or ±HH:MM}; it is dumped as the last.
    """

    #: How session files show it; see `oturn.session_format_write`. The same below.
    __chronml_template__: ClassVar[str] = (
        "From: {.user_name}\nDate: {.date}\n\n{.content:block}\n\n"
    )

    user_name: str
    date: datetime
    content: str
    email: str | None = None
    tool_contents: list[UserContent] | None = None
    channel_headers: dict[str, str] | None = None
    platform_event_id: str | None = None

    @field_validator("date", mode="before")
    @classmethod
    def _read_date(cls, value: object) -> datetime:
        try:
            return _moment(value).astimezone()
        except (OverflowError, OSError) as problem:
            raise ValueError(f"{value!r} is no date that a clock can show") from problem

    @field_serializer("date")
    def _dump_date(self, value: datetime) -> dict[str, Any]:
        return {"ts": value.timestamp(), "tz": _zone_name(value)}

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Files keep their form when the two newer fields are not used."""
        dumped: dict[str, Any] = handler(self)
        for name in ("channel_headers", "platform_event_id"):
            if dumped.get(name) is None:
                dumped.pop(name, None)
        return dumped

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> UserContent:
        return cls(
            user_name=value.get("user_name", ""),
            date=value.get("date", datetime.now(UTC)),
            content=value.get("content", ""),
            email=value.get("email"),
            tool_contents=value.get("tool_contents"),
            channel_headers=value.get("channel_headers"),
            platform_event_id=value.get("platform_event_id"),
        )

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump()

    def to_message_text(self) -> str:
        """Header lines, an empty line, notices of tools (numbered from 1), then the words.

        Joined by newlines, where 0.1 put the two characters backslash and n.
        """
        sender = f"{self.user_name} <{self.email}>" if self.email else self.user_name
        headers = {"From": sender, "Date": self.date.strftime("%a, %d %b %Y %H:%M:%S %z")}
        headers |= self.channel_headers or {}
        if self.platform_event_id:
            headers["X-Platform-Event-Id"] = self.platform_event_id
        lines = [f"{name}: {_one_line(value)}" for name, value in headers.items()]
        notices = [
            f"[{number}]\n{notice.to_message_text()}\n"
            for number, notice in enumerate(self.tool_contents or (), start=1)
        ]
        return "\n".join([*lines, "", *notices, self.content])


class ToolMessageContent(BaseModel):
    """How a tool call ended; the model reads it as JSON."""

    __chronml_template__: ClassVar[str] = (
        "{.status}\n{.data:code-block-json}\n{.error}\n"
        "{.metadata:code-block-json}\n{.info:code-block-json}\n\n"
    )

    status: str | None = None
    data: Any = None
    error: str | None = None
    metadata: dict[str, Any] | None = None
    info: dict[str, Any] | None = None

    def to_message_text(self) -> str:
        value = {name: getattr(self, name) for name in type(self).model_fields}
        return json.dumps(value, ensure_ascii=False, default=str)


class Message(BaseModel):
    """One message of the history. Content given as a dict becomes one of the content models:
    `UserContent` where it has a name, a date and words, `ToolMessageContent` where it has only
    fields of that, and else a `ToolMessageContent` with the dict as its `data`."""

    role: Role
    content: str | UserContent | ToolMessageContent | SerializeAsAny[BaseModel]
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[ToolCallInfo] | None = None
    usage: dict[str, Any] | None = None
    reasoning_content: str | None = None
    model_name: str | None = None
    extra: dict[str, Any] | None = None

    @property
    def __chronml_template__(self) -> str:
        return _LAYOUTS.get(self.role, "")

    @field_validator("content", mode="before")
    @classmethod
    def _read_content(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        if {"user_name", "date", "content"} <= value.keys():
            return UserContent.model_validate(value)
        if value.keys() <= ToolMessageContent.model_fields.keys():
            try:
                return ToolMessageContent.model_validate(value)
            except ValidationError:
                pass  # data that has only the names of these fields
        return ToolMessageContent(data=value)


class CompactRecord(BaseModel):
    """From here on the model sees `value` in the place of everything before."""

    __chronml_template__: ClassVar[str] = (
        "**Compact Summary:** {.value}\n\n**User Intent:** {.user_intent}"
    )

    type: str = "compact"
    value: str = ""
    user_intent: str = ""


_LAYOUTS: dict[Role, str] = {
    "user": "# [{.role}]\n\n{.content}",
    "assistant": "# [{.role}]\n\n{.reasoning_content:block}\n{.content:block}\n"
    "{.tool_calls:code-block-json}\n{.usage:code-block-json}",
    "tool": "# [{.role}]\n\n{.content}",
    "system": "",
}


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    if isinstance(value, Mapping):
        return datetime.fromtimestamp(_seconds(value.get("ts")), _zone(value.get("tz")))
    return datetime.fromtimestamp(_seconds(value), UTC)


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError(f"a date must be given in seconds, a datetime or ISO text, not {value!r}")


def _zone(name: object) -> tzinfo:
    """An IANA name or ±HH:MM; UTC for what is neither."""
    if not isinstance(name, str):
        return UTC
    try:
        offset = datetime.strptime(name, "%z").utcoffset()
        return timezone(offset or timedelta())
    except ValueError:
        pass
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _zone_name(value: datetime) -> str:
    key = getattr(value.tzinfo, "key", None)
    if isinstance(key, str):
        return key
    offset = value.strftime("%z")
    return f"{offset[:3]}:{offset[3:5]}"


def _one_line(value: str) -> str:
    """A header stays one header, whatever its value holds."""
    return " ".join(str(value).split())

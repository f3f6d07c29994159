"""What requests about messages, questions and commands carry, and their answers. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from turnstone.core.events import Grant, StepFinished, ToolFinished, TurnEnded
from turnstone.core.host import Attachment, Decided, WhenBusy


class SendRequest(msgspec.Struct, frozen=True, kw_only=True):
    message: str = ""
    ws_id: str = ""
    correlation_id: str = ""
    busy: WhenBusy = "queue"
    auto_approve: bool = False
    auto_approve_tools: list[str] = []
    attachments: list[Attachment] = []


class SendReply(msgspec.Struct, frozen=True, kw_only=True):
    """Status `busy` is for senders that asked with `busy: reject`; then nothing was taken.

    `notice` as in `NewReply`.
    """

    status: Literal["ok", "busy"] = "ok"
    ws_id: str = ""
    correlation_id: str = ""
    duplicate: bool = False
    notice: str = ""


class ApproveRequest(msgspec.Struct, frozen=True, kw_only=True):
    ws_id: str = ""
    approved: bool = False
    request_id: str = ""
    feedback: str | None = None
    always: bool = False
    expired: bool = False
    args_hash: str = ""
    grants: list[Grant] | None = None
    refused: list[str] = []
    edited: dict[str, dict[str, Any]] = {}


class ApproveReply(msgspec.Struct, frozen=True, kw_only=True):
    """`answered` is false where no request was named and none waited."""

    status: Literal["ok"] = "ok"
    answered: bool = True


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True):
    ws_id: str = ""
    feedback: str | None = None
    request_id: str = ""
    expired: bool = False
    unreviewed: bool = False


class DecisionsReply(msgspec.Struct, frozen=True, kw_only=True):
    decisions: Sequence[Decided]


class RevokeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One of the `grants` of `/api/policy`. The tool `*` is the workstream's auto-approve."""

    ws_id: str = ""
    tool: str = ""
    path: str = ""
    command: str = ""
    confined: str = ""


class RevokeReply(msgspec.Struct, frozen=True, kw_only=True):
    """`revoked` is false where there was no such permission."""

    status: Literal["ok"] = "ok"
    revoked: bool = False


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Without `correlation_id`: whatever turn is in progress."""

    ws_id: str = ""
    correlation_id: str = ""


class CancelReply(msgspec.Struct, frozen=True, kw_only=True):
    """`cancelled` is false where there was nothing to stop."""

    status: Literal["ok"] = "ok"
    cancelled: bool = False


class EndingReply(msgspec.Struct, frozen=True, kw_only=True):
    """`ending` is null while the turn goes on, and where the workstream has never accepted
    such a message: then `known` is false. `steps`: what the turn has said and done, where that
    was asked for."""

    ending: TurnEnded | None = None
    known: bool = True
    steps: list[StepFinished | ToolFinished] = []


class CommandRequest(msgspec.Struct, frozen=True, kw_only=True):
    ws_id: str = ""
    command: str = ""
    command_id: str = ""


class CommandReply(msgspec.Struct, frozen=True, kw_only=True):
    """Status `ok` for every command, as in 0.2; `error` is the code of what went wrong."""

    status: Literal["ok"] = "ok"
    text: str = ""
    error: str = ""
    ws_id: str = ""
    command_id: str = ""


class CommandRow(msgspec.Struct, frozen=True, kw_only=True):
    """A slash command. `choices`: what may stand behind it; empty: any text, or nothing where
    there are no `arguments`."""

    name: str
    usage: str
    help: str
    arguments: str = ""
    required: bool = False
    choices: list[str] = []
    aliases: list[str] = []
    where: Literal["everywhere", "terminal"] = "everywhere"


class CommandsReply(msgspec.Struct, frozen=True, kw_only=True):
    commands: list[CommandRow]

"""What requests about the node itself carry, and their answers: who is signed in, settings,
memories, timers. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from turnstone.api.rows import Role
from turnstone.core.host import Memory, NodeHealth
from turnstone.core.timers import Timer


class OkReply(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ok"] = "ok"


class HealthReply(NodeHealth, frozen=True, kw_only=True):
    """`role`: what the token of this very request may do."""

    role: Role = "read"


class LoginRequest(msgspec.Struct, frozen=True, kw_only=True):
    token: str = ""


class LoginReply(msgspec.Struct, frozen=True, kw_only=True):
    role: Role
    status: Literal["ok"] = "ok"


class SignedOutReply(msgspec.Struct, frozen=True, kw_only=True):
    """`ended`: browsers that were signed in."""

    status: Literal["ok"] = "ok"
    ended: int = 0


class SettingRow(msgspec.Struct, frozen=True, kw_only=True):
    """`value` as the file spells it, of a secret a mask. `source`: `default`, `file`,
    `environment` or `command line`; `where`: the file and line, the variable, or the flag."""

    name: str
    value: str
    source: str
    where: str = ""
    meaning: str = ""
    secret: bool = False


class SettingsReply(msgspec.Struct, frozen=True, kw_only=True):
    """Of the program that serves; empty where it was not started from settings."""

    program: str = ""
    file: str = ""  # that was read
    settings: Sequence[SettingRow] = ()
    warnings: Sequence[str] = ()


class MemoriesReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    memories: Sequence[Memory]
    next: str = ""  # the `after` of the next page; empty: there is none


class RememberRequest(msgspec.Struct, frozen=True, kw_only=True):
    key: str = ""
    value: str = ""
    scope: str = "user"


class TimersReply(msgspec.Struct, frozen=True, kw_only=True):
    timers: Sequence[Timer]


class PauseTimerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`paused` false: it goes on."""

    timer_id: str = ""
    paused: bool = True

"""What a node grants to the senders of queued messages: whether one is trusted at all, and
whether what it permits beforehand is passed on. The node's own policy decides after that.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TypeVar

from turnstone.mq import protocol as p
from turnstone.mq.signing import Key, Keyring, Untrusted

_SWITCHED_OFF = (
    "auto_approve is not honoured on this node ([queue] auto_approve = false): calls are asked."
)
_NO_RIGHT = (
    "auto_approve is not honoured: the secret that this message is signed with does not have that"
    " right. Calls are asked."
)

Permitting = TypeVar("Permitting", p.SendMessage, p.CreateWorkstreamMessage)


@dataclass(frozen=True)
class Rights:
    """`auto_approve`: whether that wish of a sender is honoured here at all. With a `keyring`
    only signed messages are taken."""

    auto_approve: bool = True
    keyring: Keyring | None = None

    def problem(self, raw: bytes) -> str:
        """Why nothing is done for a message, or an answer; empty if it is trusted."""
        if self.keyring is None:
            return ""
        try:
            self.keyring.sender(raw, time.time())
        except Untrusted as untrusted:
            return str(untrusted)
        return ""

    def honoured(self, message: Permitting, raw: bytes) -> tuple[Permitting, str]:
        """The message with what of its permissions is passed on; and what its sender is told
        where that is less than it has asked for."""
        if not message.auto_approve and not message.auto_approve_tools:
            return message, ""
        why = "" if self.auto_approve else _SWITCHED_OFF
        if not why and self.keyring is not None and not self._signer(raw).auto_approve:
            why = _NO_RIGHT
        return (
            (replace(message, auto_approve=False, auto_approve_tools=[]), why)
            if why
            else (
                message,
                "",
            )
        )

    def _signer(self, raw: bytes) -> Key:
        """Of a message that was trusted when it came; accepted before there were secrets here,
        or under one that is gone, it permits nothing."""
        assert self.keyring is not None
        try:
            return self.keyring.signer(raw)
        except Untrusted:
            return _NOBODY


_NOBODY = Key(b"", "read", auto_approve=False)

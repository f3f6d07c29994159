"""What a tool says about a call before it runs: go on, do not, or ask a person. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STATUS_ALLOW = "allow"
STATUS_DENY = "deny"
STATUS_NEEDS_APPROVAL = "needs_approval"


@dataclass
class ToolPrecheckResult:
    """`status` is one of the three above; any other counts as allow."""

    status: str
    message: str | None = None
    reasons: list[str] | None = None
    metadata: dict[str, Any] | None = None

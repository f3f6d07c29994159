"""The user of Redis that `docs/redis.md` describes: as its line says, for any prefix."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from turnstone.mq.connection import RedisAddress

PAGE = Path(__file__).resolve().parents[2] / "docs" / "redis.md"

#: What stands on the page in the place of a password.
PASSWORD = "PASSWORD"


def rule(prefix: str = "turnstone") -> list[str]:
    """The words of the line, without its first two: what the user `turnstone` may do."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r"^user turnstone (.*)$", text, re.MULTILINE)
    assert found is not None, "the page names no user"
    return [word.replace("turnstone:", f"{prefix}:") for word in found[1].split()]


def restrict(client: Any, address: RedisAddress, prefix: str = "turnstone") -> RedisAddress:
    """Make the user on this server; the address with its name and password."""
    client.execute_command("ACL", "SETUSER", "turnstone", "reset", *rule(prefix))
    return replace(address, username="turnstone", password=PASSWORD)

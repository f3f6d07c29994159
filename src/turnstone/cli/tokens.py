"""`turnstone token`: tokens for other people and programs. A new one is printed once."""

from __future__ import annotations

from datetime import UTC, datetime

from turnstone.api.endpoints import Role
from turnstone.api.token_file import TokenFile
from turnstone.core.config import Settings


def new(settings: Settings, name: str, role: Role) -> str:
    """What to tell the person. Raises ConfigurationError."""
    file = _file(settings)
    token = file.add(name, role)
    return f"{token}\nThis is the token of {name}, with the role {role}. It is shown only now."


def listed(settings: Settings) -> str:
    """One line each. Raises ConfigurationError."""
    rows = [
        f"{token.name}  {token.role}  {_date(token.created)}" for token in _file(settings).known()
    ]
    return "\n".join(rows) or "There are no tokens but the node's own and those of its settings."


def revoke(settings: Settings, name: str) -> str:
    """Raises ConfigurationError."""
    _file(settings).revoke(name)
    return f"The token {name} is good for nothing from now on."


def _file(settings: Settings) -> TokenFile:
    return TokenFile(settings.store.path.parent)


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")

"""The slash commands, the same in every front end: one table, and how a line is read.

Pure: what a command does is in `turnstone.core.commanding`.
"""

from __future__ import annotations

from turnstone.core.commands.parsing import Parsed, is_command, named, parse
from turnstone.core.commands.table import COMMANDS, Command

__all__ = ["COMMANDS", "Command", "Parsed", "is_command", "named", "parse"]

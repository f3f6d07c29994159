"""`turnstone queue`, whose commands are those of `turnstone.cli.queue`."""

from __future__ import annotations

from turnstone.cli.queue import queue_commands
from turnstone.main.running import run, settings_of

queue = queue_commands(settings_of, run)

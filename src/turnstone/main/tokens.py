"""`turnstone token`: made, listed, taken back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Literal

import click

from turnstone.core.config import Settings
from turnstone.core.config.flags import options_for
from turnstone.main.running import Flags, run, say, settings_of


@click.group("token")
def token() -> None:
    """Tokens for other people and programs, each with a name and a role."""


@token.command()
@options_for("turnstone token")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["read", "approve", "full"]),
    default="read",
    help="What it may do; each includes those before it.  [default: read]",
)
def new(flags: Flags, name: str, role: Literal["read", "approve", "full"]) -> None:
    """Make a token, and print it this once. Nodes of this store take it at once."""
    sys.exit(run(_told(flags, lambda tokens, settings: tokens.new(settings, name, role))))


@token.command("list")
@options_for("turnstone token")
def list_(flags: Flags) -> None:
    """List the tokens that were made: name, role, day."""
    sys.exit(run(_told(flags, lambda tokens, settings: tokens.listed(settings))))


@token.command()
@options_for("turnstone token")
@click.argument("name")
def revoke(flags: Flags, name: str) -> None:
    """Take a token back: who shows it is refused from now on."""
    sys.exit(run(_told(flags, lambda tokens, settings: tokens.revoke(settings, name))))


async def _told(flags: Flags, what: Callable[[ModuleType, Settings], str]) -> int:
    from turnstone.cli import tokens

    say(what(tokens, settings_of("turnstone token", flags)))
    return 0

"""The table of slash commands as front ends are told it. Under a second."""

from __future__ import annotations

from support.servers import READ, Served
from turnstone.core.commands import COMMANDS


async def test_a_front_end_is_told_every_command_and_what_may_stand_behind_it(
    node: Served,
) -> None:
    async with node.client(READ) as client:
        told = (await client.get("/api/commands")).json()["commands"]

    assert [row["name"] for row in told] == [command.name for command in COMMANDS]
    by_name = {row["name"]: row for row in told}
    assert by_name["/reason"]["choices"] == ["low", "medium", "high", "none"]
    assert by_name["/exit"]["aliases"] == ["/quit", "/q"]
    assert by_name["/ws"]["where"] == "terminal"
    assert (by_name["/resume"]["arguments"], by_name["/resume"]["required"]) == ("SESSION", True)
    assert by_name["/clear"]["usage"] == "/clear"

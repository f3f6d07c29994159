"""`turnstone cluster`: what `/cluster` shows, for the shell."""

from __future__ import annotations

import sys

import click

from turnstone.core.config.flags import options_for
from turnstone.main.running import Flags, run, say, settings_of

_PROGRAM = "turnstone cluster"
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


@click.group("cluster")
def cluster() -> None:
    """Show the nodes of a cluster, and their workstreams."""


@cluster.command()
@options_for(_PROGRAM)
@_AS_JSON
def status(flags: Flags, as_json: bool) -> None:
    """How many nodes and workstreams there are, and in which states."""
    _told(flags, ["status"], as_json=as_json)


@cluster.command()
@options_for(_PROGRAM)
@_AS_JSON
def nodes(flags: Flags, as_json: bool) -> None:
    """Every node, with its address and how busy it is."""
    _told(flags, ["nodes"], as_json=as_json)


@cluster.command()
@options_for(_PROGRAM)
@click.argument("filters", nargs=-1)
@_AS_JSON
def workstreams(flags: Flags, filters: tuple[str, ...], as_json: bool) -> None:
    """The workstreams of all nodes: of one state, node=ID, or search=TEXT, if that is given."""
    _told(flags, ["workstreams", *filters], as_json=as_json)


@cluster.command()
@options_for(_PROGRAM)
@click.argument("node_id")
@_AS_JSON
def node(flags: Flags, node_id: str, as_json: bool) -> None:
    """One node: what it says of itself, and its workstreams."""
    _told(flags, ["node", node_id], as_json=as_json)


def _told(flags: Flags, words: list[str], *, as_json: bool) -> None:
    async def done() -> int:
        from turnstone.cli.cluster import answer

        say(await answer(settings_of(_PROGRAM, flags), words, as_json=as_json))
        return 0

    sys.exit(run(done()))

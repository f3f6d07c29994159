"""The commands that a terminal carries out itself: `/ws`, `/cluster`, leaving.

The same for every front end on a terminal; what they show and where they go is theirs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

import msgspec

from turnstone.core.errors import InvalidRequest
from turnstone.core.host import CreateWorkstream, Host, WorkstreamInfo

#: What the words behind `/cluster` are answered with. Raises TurnstoneError.
Cluster: TypeAlias = Callable[[str], Awaitable[str]]

_NO_CLUSTER = "No cluster is known here. /ws lists what is on this node."


class Front(Protocol):
    """`ws_id` is the workstream that is talked to."""

    @property
    def ws_id(self) -> str: ...

    def tell(self, line: str) -> None: ...

    async def go_to(self, ws_id: str) -> None:
        """Talk to another workstream from now on."""

    def leave(self) -> None: ...


class Here:
    """`create` says how other workstreams are made; `cluster` tells of the nodes, where it can."""

    def __init__(
        self, host: Host, front: Front, create: CreateWorkstream, cluster: Cluster | None = None
    ) -> None:
        self._host = host
        self._front = front
        self._create = create
        self._cluster = cluster

    async def workstreams(self, argument: str) -> None:
        """`/ws`: see the table of commands. Raises InvalidRequest, and what the node raises."""
        word, _, rest = argument.partition(" ")
        match word.lower(), rest.strip():
            case (("" | "list"), ""):
                await self._list()
            case "new", name:
                await self._begin(name)
            case "close", number:
                await self._close(number)
            case "rename", name if name:
                info = await self._host.rename(self._front.ws_id, name)
                self._front.tell(f"This workstream is called {info.name}.")
            case number, "":
                await self._front.go_to((await self._numbered(number)).id)
            case _:
                hint = "/help ws says what it knows."
                raise InvalidRequest(f"/ws knows no {argument!r}.", hint=hint)

    async def cluster(self, argument: str) -> None:
        """`/cluster`: see the table of commands. Raises what asking the cluster raises."""
        if self._cluster is None:
            self._front.tell(_NO_CLUSTER)
            return
        for line in (await self._cluster(argument)).splitlines():
            self._front.tell(line)

    async def leave(self, _argument: str) -> None:
        self._front.leave()

    async def _list(self) -> None:
        for number, info in enumerate(await self._host.list(), start=1):
            here = "*" if info.id == self._front.ws_id else " "
            title = f" · {info.title}" if info.title else ""
            self._front.tell(f"{here} {number} {info.name} ({info.id}) {info.state}{title}")

    async def _begin(self, name: str) -> None:
        name = name or self._create.name
        info = await self._host.create(msgspec.structs.replace(self._create, ws_id="", name=name))
        self._front.tell(f"{info.name} ({info.id}), a new workstream.")
        await self._front.go_to(info.id)

    async def _close(self, number: str) -> None:
        here = self._front.ws_id
        ws_id = (await self._numbered(number)).id if number else here
        await self._host.close(ws_id)
        self._front.tell(f"Workstream {ws_id} is closed.")
        if ws_id != here:
            return
        others = await self._host.list()
        if others:
            await self._front.go_to(others[-1].id)
        else:
            await self._begin("")

    async def _numbered(self, number: str) -> WorkstreamInfo:
        """The workstream of this number in the list, or of this id."""
        for place, info in enumerate(await self._host.list(), start=1):
            if number in (str(place), info.id):
                return info
        raise InvalidRequest(f"There is no workstream {number!r}.", hint="/ws lists them.")


Command: TypeAlias = Callable[[Here, str], Awaitable[None]]

HERE: Mapping[str, Command] = {
    "/ws": Here.workstreams,
    "/cluster": Here.cluster,
    "/exit": Here.leave,
    "/quit": Here.leave,
    "/q": Here.leave,
}
"""The commands that a terminal carries out itself."""

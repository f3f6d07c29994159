"""A node somewhere else, as a `Host`: each method is one row of the endpoint table.

Holds no state of the node and no copy of what it decides. Errors come back as the classes
that the node raised.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence

import msgspec

from turnstone.api import endpoints as api
from turnstone.api.follow import follow
from turnstone.api.http_calls import decoded, object_of
from turnstone.api.http_timers import TimerCalls
from turnstone.core.errors import (
    UnknownRequest,
    WorkstreamBusy,
)
from turnstone.core.events import Budget, Event, EventId, Grant, TurnEnded
from turnstone.core.host import (
    Accepted,
    Answer,
    BudgetView,
    CommandReply,
    CreateWorkstream,
    Decided,
    ExportFormat,
    Image,
    Imported,
    Memory,
    NodeHealth,
    PlanReply,
    PolicyView,
    Rewound,
    SearchHit,
    SendMessage,
    SessionInfo,
    Told,
    UsageView,
    WorkstreamInfo,
)


class HttpHost(TimerCalls):
    """Implements `turnstone.core.host.Host` over HTTP. Makes no connection before it is used.

    `token_from` says where the token was read, for errors: a file, a variable, an argument.
    Raises ConfigurationError for a URL or a token that cannot be one. Every method may raise
    NodeUnavailable, NotAuthenticated and NotPermitted. The node names the senders of messages
    and answers itself, after their tokens: `SendMessage.sender` and `Answer.by` are not sent.
    """

    async def create(self, request: CreateWorkstream) -> WorkstreamInfo:
        """`Host.create`; asked once more after a lost connection if it names the workstream."""
        reply = await self._call("new", api.NewReply, request, again=bool(request.ws_id))
        return reply.workstream

    async def send(self, request: SendMessage) -> Accepted:
        """`Host.send`. A connection lost on the way is no doubt: it is sent once more, under
        the same correlation id, and so accepted once."""
        body = api.SendRequest(
            message=request.message,
            ws_id=request.ws_id,
            correlation_id=request.correlation_id or secrets.token_hex(6),
            busy=request.busy,
            auto_approve=request.auto_approve,
            auto_approve_tools=request.auto_approve_tools,
            attachments=request.attachments,
        )
        reply = await self._call("send", api.SendReply, body, again=True)
        if reply.status == "busy":
            raise WorkstreamBusy("A turn is running; the message was not taken.")
        return Accepted(
            ws_id=reply.ws_id,
            correlation_id=reply.correlation_id,
            duplicate=reply.duplicate,
            notice=reply.notice,
        )

    async def approve(self, answer: Answer) -> None:
        body = api.ApproveRequest(
            ws_id=answer.ws_id,
            approved=answer.approved,
            request_id=answer.request_id,
            feedback=answer.feedback,
            always=answer.always,
            expired=answer.expired,
            args_hash=answer.args_hash,
            grants=answer.grants,
            refused=answer.refused,
            edited=answer.edited,
        )
        reply = await self._call("approve", api.ApproveReply, body)
        if not reply.answered:
            raise UnknownRequest(f"No question waits in workstream {answer.ws_id}.")

    async def answer_plan(self, reply: PlanReply) -> None:
        """`Host.answer_plan`; the node names who said it, after its token, and not `by`."""
        body = api.PlanRequest(
            ws_id=reply.ws_id,
            feedback=reply.feedback,
            request_id=reply.request_id,
            expired=reply.expired,
            unreviewed=reply.unreviewed,
        )
        if not (await self._call("plan", api.ApproveReply, body)).answered:
            raise UnknownRequest(f"No plan waits in workstream {reply.ws_id}.")

    async def policy(self, ws_id: str) -> PolicyView:
        return await self._call("policy", PolicyView, query={"ws_id": ws_id}, again=True)

    async def decisions(self, ws_id: str, limit: int = 100) -> Sequence[Decided]:
        query = {"ws_id": ws_id, "limit": str(limit)}
        return (
            await self._call("decisions", api.DecisionsReply, query=query, again=True)
        ).decisions

    async def revoke(self, ws_id: str, grant: Grant, by: str = "") -> bool:
        """`Host.revoke`; the node names who did it, after its token, and not `by`."""
        body = api.RevokeRequest(ws_id=ws_id, **msgspec.structs.asdict(grant))
        return (await self._call("revoke", api.RevokeReply, body)).revoked

    async def set_budget(self, ws_id: str, budget: Budget, by: str = "") -> BudgetView:
        """`Host.set_budget`; the node names who did it, after its token, and not `by`."""
        body = api.BudgetRequest(
            ws_id=ws_id,
            tokens=budget.tokens,
            seconds=budget.seconds,
            tool_calls=budget.tool_calls,
            money=budget.money,
        )
        reply = await self._call("budget", api.BudgetReply, body)
        return BudgetView(budget=reply.budget, left=reply.left, notice=reply.notice)

    async def usage(self, ws_id: str) -> UsageView:
        return await self._call("usage", UsageView, query={"ws_id": ws_id}, again=True)

    async def cancel(self, ws_id: str, correlation_id: str = "") -> bool:
        body = api.CancelRequest(ws_id=ws_id, correlation_id=correlation_id)
        return (await self._call("cancel", api.CancelReply, body)).cancelled

    async def rewind(self, ws_id: str, to: str) -> Rewound:
        body = api.RewindRequest(ws_id=ws_id, to=to)
        return Rewound(message=(await self._call("rewind", api.RewindReply, body)).message)

    async def fork(self, ws_id: str, at: str = "") -> WorkstreamInfo:
        body = api.ForkRequest(ws_id=ws_id, at=at)
        return (await self._call("fork", api.ForkReply, body)).workstream

    async def command(
        self, ws_id: str, text: str, *, command_id: str = "", by: str = ""
    ) -> CommandReply:
        """`Host.command`; the node names who gave it, after its token, and not `by`."""
        body = api.CommandRequest(ws_id=ws_id, command=text, command_id=command_id)
        told = await self._call("command", api.CommandReply, body)
        return CommandReply(
            text=told.text, error=told.error, ws_id=told.ws_id, command_id=told.command_id
        )

    async def ending(self, ws_id: str, correlation_id: str) -> TurnEnded | None:
        query = {"ws_id": ws_id, "correlation_id": correlation_id}
        return (await self._call("ending", api.EndingReply, query=query, again=True)).ending

    async def image(self, ws_id: str, name: str) -> Image:
        response = await self._request("image", None, ws_id=ws_id, name=name)
        return Image(media_type=response.headers["content-type"], data=response.content)

    async def steps(self, ws_id: str, correlation_id: str) -> list[Told]:
        query = {"ws_id": ws_id, "correlation_id": correlation_id, "steps": "true"}
        return (await self._call("ending", api.EndingReply, query=query, again=True)).steps

    async def knows(self, ws_id: str, correlation_id: str) -> bool:
        query = {"ws_id": ws_id, "correlation_id": correlation_id}
        return (await self._call("ending", api.EndingReply, query=query, again=True)).known

    async def close(self, ws_id: str) -> None:
        await self._call("close", api.OkReply, api.WorkstreamRequest(ws_id=ws_id))

    async def erase(self, ws_id: str, *, force: bool = False) -> None:
        query = {"force": "true"} if force else None
        await self._call("erase", api.OkReply, query=query, ws_id=ws_id)

    async def list(
        self, parent: str = "", *, limit: int | None = None, after: str = ""
    ) -> list[WorkstreamInfo]:
        query = {"after": after} if after else {}
        if parent:
            query["parent"] = parent
        if limit is not None:
            query["limit"] = str(limit)
        reply = await self._call("workstreams", api.WorkstreamsReply, query=query, again=True)
        return reply.workstreams

    async def sessions(self, limit: int = 50, after: str = "") -> Sequence[SessionInfo]:
        query = {"limit": str(limit), "after": after}
        return (await self._call("sessions", api.SessionsReply, query=query, again=True)).sessions

    async def search(self, query: str, limit: int = 20, ws_id: str = "") -> Sequence[SearchHit]:
        asked = {"query": query, "limit": str(limit), "ws_id": ws_id}
        return (await self._call("search", api.SearchReply, query=asked, again=True)).hits

    async def rename(self, ws_id: str, name: str = "", alias: str | None = None) -> WorkstreamInfo:
        body = api.RenameRequest(ws_id=ws_id, name=name, alias=alias)
        return (await self._call("rename", api.WorkstreamReply, body)).workstream

    async def resume(self, name: str) -> WorkstreamInfo:
        body = api.ResumeRequest(session=name)
        return (await self._call("resume", api.WorkstreamReply, body, again=True)).workstream

    async def export(
        self,
        name: str,
        form: ExportFormat = "json",
    ) -> str:
        query = {"session": name, "format": form}
        return (await self._call("export", api.ExportReply, query=query, again=True)).text

    async def take_over(self, text: str, source: str = "") -> Imported:
        body = api.ImportRequest(text=text, source=source)
        return await self._call("import", Imported, body, again=True)

    async def memories(
        self, query: str = "", scope: str = "", limit: int = 100
    ) -> Sequence[Memory]:
        asked = {"query": query, "scope": scope, "limit": str(limit)}
        return (await self._call("memories", api.MemoriesReply, query=asked, again=True)).memories

    async def remember(self, key: str, value: str, scope: str = "user") -> Memory:
        body = api.RememberRequest(key=key, value=value, scope=scope)
        return await self._call("remember", Memory, body, again=True)

    async def forget(self, key: str, scope: str = "user") -> None:
        await self._call("forget", api.OkReply, query={"key": key, "scope": scope})

    async def health(self) -> NodeHealth:
        """`Host.health`; a node tells strangers only that it is up, which is no answer here."""
        response = await self._request("health", None)
        if set(object_of(response, self.base_url)) == {"status"}:
            raise self._stranger()
        return decoded(response, NodeHealth, self.base_url)

    def follow(self, ws_id: str, after: EventId | None = None) -> AsyncIterator[Event]:
        """`Host.follow`, across broken connections and restarts of the node."""
        return follow(self._client, api.BY_NAME["events"].path, {"ws": ws_id}, after)

    def follow_all(self, after: EventId | None = None) -> AsyncIterator[Event]:
        """`Host.follow_all`; what is sent there is spelled alike in 0.2 and now."""
        return follow(self._client, api.BY_NAME["events_global"].path, {}, after)

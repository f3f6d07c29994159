"""One handler for each row of the endpoint table: from a request to the Host, and back.

A handler is called when the caller may do this, with the body decoded. It decides nothing
that the engine decides; what differs from the Host is only what the 0.2 wire wants otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from turnstone.api import endpoints as api
from turnstone.api.problems import BodyTooLarge, TooManyAttempts, body_of
from turnstone.core import events as ev
from turnstone.core.config import Settings
from turnstone.core.errors import (
    EmptyMessage,
    InvalidRequest,
    NodeUnavailable,
    NotPermitted,
    StoreError,
    TurnstoneError,
    UnknownRequest,
    UnknownWorkstream,
    WorkstreamBusy,
)
from turnstone.core.host import (
    Answer,
    CreateWorkstream,
    Host,
    PlanReply,
    SendMessage,
    WorkstreamInfo,
)
from turnstone.core.metrics import CONTENT_TYPE, Metrics
from turnstone.server.auth import (
    LOGIN_WINDOW,
    OWN_NAMES,
    Auth,
    Identity,
)
from turnstone.server.requests import MAX_BODY
from turnstone.server.sse import KEEPALIVE, Closing

#: States of a workstream that is at work, or waits for a person in the middle of it.
_ACTIVE = ("thinking", "running", "attention")

#: Seconds after which it is worth to try again, where the error itself does not know.
RETRY_AFTER: Mapping[type[TurnstoneError], int] = {
    TooManyAttempts: int(LOGIN_WINDOW),
    NodeUnavailable: 2,
    StoreError: 2,
}

#: What lines of the log name a request by.
_NAMES = ("ws_id", "correlation_id")

BodyT = TypeVar("BodyT", bound="msgspec.Struct | None")


@dataclass(frozen=True, slots=True)
class Node:
    """What the handlers of one server share. `closing` is set when it stops."""

    host: Host
    auth: Auth
    keepalive: float = KEEPALIVE
    metrics: Metrics = field(default_factory=Metrics)
    closing: Closing = field(default_factory=Closing)
    settings: Settings | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT]):
    """One request that was let through. Anonymous callers reach public endpoints only."""

    request: Request
    identity: Identity | None
    body: BodyT
    notes: dict[str, object] = field(default_factory=dict)

    def note(self, **said: object) -> None:
        """For the audit record: what the request itself does not say."""
        self.notes.update(said)

    @property
    def names(self) -> dict[str, str]:
        """The workstream and the message that it is about, as far as it names them."""
        asked = {**self.request.query_params, **self.request.path_params}
        found = {name: getattr(self.body, name, asked.get(name)) for name in _NAMES}
        return {name: value for name, value in found.items() if isinstance(value, str)}

    @property
    def sender(self) -> str:
        return self.identity.name if self.identity else ""

    @property
    def client(self) -> str:
        return self.request.client.host if self.request.client else ""

    @property
    def secure(self) -> bool:
        return self.request.url.scheme == "https"


Handler: TypeAlias = Callable[[Node, Call[Any]], Awaitable["ASGIApp"]]


async def health(node: Node, call: Call[None]) -> Response:
    if call.identity is None:
        return answer(api.OkReply())
    told = msgspec.structs.asdict(await node.host.health())
    return answer(api.HealthReply(**told, role=call.identity.role))


async def metrics(node: Node, _call: Call[None]) -> Response:
    return Response(
        await node.metrics.text(), headers={"Cache-Control": "no-store"}, media_type=CONTENT_TYPE
    )


async def workstreams(node: Node, call: Call[None]) -> Response:
    query = call.request.query_params
    limit = _limit(query.get("limit"))
    found = await node.host.list(query.get("parent", ""), limit=limit, after=query.get("after", ""))
    more = found[-1].id if found and len(found) == limit else ""
    return answer(api.WorkstreamsReply(workstreams=found, next=more))


async def dashboard(node: Node, _call: Call[None]) -> Response:
    infos = await node.host.list()
    uptime = (await node.host.health()).uptime_seconds
    return answer(
        api.DashboardReply(
            workstreams=[_dashboard_row(info) for info in infos],
            aggregate=api.Aggregate(
                total_tokens=sum(info.tokens for info in infos),
                total_tool_calls=sum(info.tool_calls for info in infos),
                active_count=sum(info.state in _ACTIVE for info in infos),
                total_count=len(infos),
                uptime_seconds=int(uptime),
            ),
        )
    )


async def ending(node: Node, call: Call[None]) -> Response:
    query = call.request.query_params
    ws_id, correlation_id = query.get("ws_id", ""), query.get("correlation_id", "")
    for name, given in (("ws_id", ws_id), ("correlation_id", correlation_id)):
        if not given:
            raise InvalidRequest(f"{name}: it is missing.", hint="Name a message by both.")
    found = await node.host.ending(ws_id, correlation_id)
    known = found is not None or await node.host.knows(ws_id, correlation_id)
    wanted = query.get("steps") == "true"
    steps = list(await node.host.steps(ws_id, correlation_id)) if wanted else []
    return answer(api.EndingReply(ending=found, known=known, steps=steps))


async def image(node: Node, call: Call[None]) -> Response:
    """As a file that nothing is made of but an image, whatever it holds."""
    places = call.request.path_params
    found = await node.host.image(places["ws_id"], places["name"])
    return Response(found.data, headers={"Cache-Control": "no-store"}, media_type=found.media_type)


async def new(node: Node, call: Call[api.NewRequest]) -> Response:
    budget = ev.Budget(**msgspec.structs.asdict(call.body.budget))
    wanted = msgspec.structs.asdict(call.body) | {"budget": budget}
    info = await node.host.create(CreateWorkstream(**wanted))
    call.note(ws_id=info.id)
    asked = call.body.auto_approve or call.body.auto_approve_tools
    notice = (await node.host.policy(info.id)).notice if asked else ""
    return answer(api.NewReply(ws_id=info.id, name=info.name, workstream=info, notice=notice))


async def close(node: Node, call: Call[api.WorkstreamRequest]) -> Response:
    try:
        await node.host.close(call.body.ws_id)
    except UnknownWorkstream as error:
        call.note(outcome=error.code)
        return refusal(error, status=400)  # and not 404: contract, section 2.3
    return answer(api.OkReply())


async def erase(node: Node, call: Call[None]) -> Response:
    wanted = call.request.query_params.get("force", "false")
    if wanted not in ("true", "false"):
        raise InvalidRequest(f"force: {wanted!r} is neither true nor false.")
    await node.host.erase(call.request.path_params["ws_id"], force=wanted == "true")
    return answer(api.OkReply())


async def send(node: Node, call: Call[api.SendRequest]) -> Response:
    _check_length(call.body)
    message = call.body.message.strip()
    files = call.body.attachments
    if not message and not files:  # before the workstream is looked for: contract, section 2.3
        raise EmptyMessage("The message is empty.", hint="Send some text.")
    asked = SendMessage(
        ws_id=call.body.ws_id,
        message=message,
        correlation_id=call.body.correlation_id,
        busy=call.body.busy,
        auto_approve=call.body.auto_approve,
        auto_approve_tools=call.body.auto_approve_tools,
        sender=call.sender,
        attachments=files,
    )
    try:
        accepted = await node.host.send(asked)
    except WorkstreamBusy as busy:
        given = call.body
        call.note(outcome=busy.code)
        return answer(
            api.SendReply(status="busy", ws_id=given.ws_id, correlation_id=given.correlation_id)
        )
    call.note(correlation_id=accepted.correlation_id)
    if accepted.duplicate:
        call.note(outcome="duplicate")
    return answer(
        api.SendReply(
            ws_id=accepted.ws_id,
            correlation_id=accepted.correlation_id,
            duplicate=accepted.duplicate,
            notice=accepted.notice,
        )
    )


async def approve(node: Node, call: Call[api.ApproveRequest]) -> Response:
    if not call.body.approved:
        call.note(action="edit" if call.body.edited else "deny")
    _may_edit(call)
    given = Answer(
        ws_id=call.body.ws_id,
        approved=call.body.approved,
        request_id=call.body.request_id,
        feedback=call.body.feedback or "",
        always=call.body.always,
        expired=call.body.expired,
        by="the user" if call.sender in OWN_NAMES else call.sender,
        args_hash=call.body.args_hash,
        grants=call.body.grants,
        refused=call.body.refused,
        edited=call.body.edited,
    )
    try:
        await node.host.approve(given)
    except UnknownRequest:
        if given.request_id:
            raise
        call.note(outcome="nothing")
        return answer(api.ApproveReply(answered=False))
    return answer(api.ApproveReply())


def _may_edit(call: Call[api.ApproveRequest]) -> None:
    """Whoever changes a call says what is done, as with a message, and not only whether."""
    role = call.identity.role if call.identity is not None else "read"
    if call.body.edited and not api.covers(role, "full"):
        raise NotPermitted(
            f"A token of role {role} answers questions, and changes no call.",
            hint="To change one, use a token of role full.",
        )


async def plan(node: Node, call: Call[api.PlanRequest]) -> Response:
    said = PlanReply(
        ws_id=call.body.ws_id,
        feedback=call.body.feedback or "",
        request_id=call.body.request_id,
        expired=call.body.expired,
        unreviewed=call.body.unreviewed,
        by=call.sender,
    )
    call.note(approved=not (said.feedback.strip() or said.expired))
    try:
        await node.host.answer_plan(said)
    except UnknownRequest:
        if said.request_id:
            raise
        call.note(outcome="nothing")
        return answer(api.ApproveReply(answered=False))
    return answer(api.ApproveReply())


async def policy(node: Node, call: Call[None]) -> Response:
    return answer(await node.host.policy(call.request.query_params.get("ws_id", "")))


async def revoke(node: Node, call: Call[api.RevokeRequest]) -> Response:
    wanted = call.body
    grant = ev.Grant(wanted.tool, wanted.path, wanted.command, wanted.confined)
    revoked = await node.host.revoke(call.body.ws_id, grant, by=call.sender)
    if not revoked:
        call.note(outcome="nothing")
    return answer(api.RevokeReply(revoked=revoked))


async def cancel(node: Node, call: Call[api.CancelRequest]) -> Response:
    stopped = await node.host.cancel(call.body.ws_id, call.body.correlation_id)
    if not stopped:
        call.note(outcome="nothing")
    return answer(api.CancelReply(cancelled=stopped))


HANDLERS: Mapping[str, Handler] = {
    "health": health,
    "metrics": metrics,
    "workstreams": workstreams,
    "dashboard": dashboard,
    "ending": ending,
    "image": image,
    "new": new,
    "close": close,
    "erase": erase,
    "send": send,
    "approve": approve,
    "plan": plan,
    "policy": policy,
    "revoke": revoke,
    "cancel": cancel,
}


def answer(body: msgspec.Struct, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(body),
        status,
        {"Cache-Control": "no-store"},
        media_type="application/json",
    )


def refusal(error: TurnstoneError, status: int | None = None) -> Response:
    """The error in its one shape."""
    response = answer(body_of(error), status or error.status)
    wait = RETRY_AFTER.get(type(error)) or getattr(error, "retry_after", 0)
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response


def _dashboard_row(info: WorkstreamInfo) -> api.DashboardRow:
    """What 0.2 called the title was the alias first."""
    shown = msgspec.structs.asdict(info) | {"title": info.alias or info.title}
    return api.DashboardRow(**shown)


def _limit(given: str | None) -> int | None:
    if given is None:
        return None
    try:
        return int(given)
    except ValueError as error:
        raise InvalidRequest(f"limit: {given!r} is no whole number.") from error


def _check_length(body: api.SendRequest) -> None:
    """A longer body is for attachments alone. Raises BodyTooLarge."""
    rest = len(msgspec.json.encode(msgspec.structs.replace(body, attachments=[])))
    if rest > MAX_BODY:
        raise BodyTooLarge(
            f"The message is longer than {MAX_BODY} bytes.", hint="Send less, or a file's path."
        )

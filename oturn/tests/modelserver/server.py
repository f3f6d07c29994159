"""The scripted server itself: an ASGI app, and uvicorn in a thread on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from modelserver.replies import Reply, error, event

Plan: TypeAlias = Callable[[dict[str, Any]], Reply]
"""What to answer to a chat-completions request body."""

#: What it tells of the context window, in the way of its make.
CONTEXT_WINDOW = 32_768
#: Whose questions about the window it answers; `plain` tells nothing of it.
Make: TypeAlias = Literal[
    "vllm", "llama.cpp", "ollama", "ollama set", "ollama loaded", "lm studio", "plain"
]
#: What the model was made for, where the server gives it less.
TRAINED = 1_048_576
#: How often a held reply looks whether the test has released it, seconds.
GATE_POLL = 0.005
#: A server that does not start or stop within this many seconds is a failure of the test.
PATIENCE = 10.0


class ModelServer:
    """A context manager: inside it, an OpenAI-compatible server answers at `base_url`.

    `requests` and `headers` hold every chat-completions request received, in order;
    `abandoned` counts the streams that their reader left before the end.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        model: str = "scripted-model",
        token_delay: float = 0.0,
        api_key: str | None = None,
        context_window: int = CONTEXT_WINDOW,
        make: Make = "vllm",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.plan = plan
        self.model = model
        self.token_delay = token_delay
        self.api_key = api_key
        self.context_window = context_window
        self.make = make
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.abandoned = 0
        self._address = (host, port)

    @property
    def base_url(self) -> str:
        return f"http://{self._address[0]}:{self._address[1]}/v1"

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/props", self._props),
                Route("/api/ps", self._ps),
                Route("/api/show", self._show, methods=["POST"]),
                Route("/api/v0/models", self._studio),
            ]
        )

    def __enter__(self) -> Self:
        self._socket = socket.create_server(self._address)
        self._address = self._socket.getsockname()[:2]
        config = uvicorn.Config(
            self.app, lifespan="off", ws="none", log_config=None, log_level="critical"
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="modelserver", daemon=True
        )
        self._thread.start()
        assert self._server.is_up.wait(PATIENCE), "the scripted model server did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(PATIENCE)
        self._socket.close()
        assert not self._thread.is_alive(), "the scripted model server did not stop"

    async def _models(self, request: Request) -> Response:
        model: dict[str, Any] = {
            "id": self.model,
            "object": "model",
            "owned_by": "modelserver",
        }
        if self.make == "vllm":
            model["max_model_len"] = self.context_window
        if self.make == "llama.cpp":
            model["meta"] = {"n_ctx_train": TRAINED}
        return self._unauthorized(request) or JSONResponse({"object": "list", "data": [model]})

    async def _props(self, request: Request) -> Response:
        told = {"default_generation_settings": {"n_ctx": self.context_window}}
        return self._of("llama.cpp", told)

    async def _ps(self, request: Request) -> Response:
        if self.make in ("ollama", "ollama set"):
            return JSONResponse({"models": []})
        loaded = {"name": self.model, "model": self.model, "context_length": self.context_window}
        return self._of("ollama loaded", {"models": [loaded]})

    async def _show(self, request: Request) -> Response:
        if (await request.json()).get("model") != self.model:
            return JSONResponse({"error": "model not found"}, 404)
        trained = self.context_window if self.make == "ollama" else TRAINED
        told = {
            "parameters": 'stop "<eot>"',
            "model_info": {"general.architecture": "llama", "llama.context_length": trained},
        }
        if self.make == "ollama set":
            told["parameters"] = f'num_ctx  {self.context_window}\nstop "<eot>"'
        return JSONResponse(told) if "ollama" in self.make else Response("Not Found", 404)

    async def _studio(self, request: Request) -> Response:
        loaded = {
            "id": self.model,
            "max_context_length": TRAINED,
            "loaded_context_length": self.context_window,
        }
        return self._of("lm studio", {"data": [loaded]})

    def _of(self, make: Make, told: dict[str, Any]) -> Response:
        """What servers of this make tell; others know no such path."""
        return JSONResponse(told) if self.make == make else Response("Not Found", 404)

    async def _chat(self, request: Request) -> Response:
        refused = self._unauthorized(request)
        if refused is not None:
            return refused
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        reply = self._planned(body)
        if reply.status != 200:
            while reply.gate is not None and not reply.gate.is_set():
                if await request.is_disconnected():
                    break
                await asyncio.sleep(GATE_POLL)
            detail = {"message": reply.message, "type": "scripted", "code": reply.status}
            return JSONResponse({"error": detail}, reply.status, dict(reply.headers))
        number = len(self.requests)
        if not body.get("stream"):
            return JSONResponse(self._whole(reply, number, body))
        return _Stream(self, reply, self._payloads(reply, number, body))

    def _planned(self, body: dict[str, Any]) -> Reply:
        try:
            return self.plan(body)
        except Exception as problem:  # a plan is a test's code: show its fault where it is seen
            return error(500, f"the plan of the test failed: {problem!r}")

    def _unauthorized(self, request: Request) -> Response | None:
        if self.api_key is None or request.headers.get("authorization") == f"Bearer {self.api_key}":
            return None
        return JSONResponse({"error": {"message": "Incorrect API key provided"}}, 401)

    def _payloads(self, reply: Reply, number: int, body: Mapping[str, Any]) -> Iterator[bytes]:
        if reply.raw is not None:
            yield from reply.raw
            return
        for delta in reply.deltas(f"call_{number}"):
            yield self._chunk(number, [{"index": 0, "delta": delta, "finish_reason": None}])
        last = {"index": 0, "delta": {}, "finish_reason": reply.finish_reason}
        yield self._chunk(number, [last])
        yield self._chunk(number, [], usage=_usage(reply, body))
        yield event("[DONE]")

    def _chunk(self, number: int, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return event(
            {
                "id": f"chatcmpl-{number}",
                "object": "chat.completion.chunk",
                "created": int(time.time()),
                "model": self.model,
                "choices": choices,
                **more,
            }
        )

    def _whole(self, reply: Reply, number: int, body: Mapping[str, Any]) -> dict[str, Any]:
        made = [
            {
                "id": c.id or f"call_{number}_{index}",
                "type": "function",
                "function": {"name": c.name, "arguments": c.arguments},
            }
            for index, c in enumerate(reply.calls)
        ]
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if made:
            message["tool_calls"] = made
        return {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
            "usage": _usage(reply, body),
        }


class _Server(uvicorn.Server):
    """uvicorn, telling when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


class _Stream(Response):
    """A reply as it goes out, cut or held as its plan says; ends when its reader is gone."""

    def __init__(self, server: ModelServer, reply: Reply, payloads: Iterator[bytes]) -> None:
        super().__init__()
        self._server, self._reply, self._payloads = server, reply, payloads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send_all(send))
        leaving = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                self._server.abandoned += 1
        finally:
            for task in (sending, leaving):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending

    async def _send_all(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for payload in self._timed():
            await send(_body(payload, more=True))
        if self._reply.die_after is None:
            await send(_body(b"", more=False))
        # An app that returns without a last body makes the server cut the connection.

    async def _timed(self) -> AsyncIterator[bytes]:
        reply = self._reply
        for place, payload in enumerate(self._payloads):
            if place == reply.die_after:
                return
            if reply.gate is not None and place == reply.gate_before:
                while not reply.gate.is_set():  # set by another thread: asyncio cannot wait for it
                    await asyncio.sleep(GATE_POLL)
            if self._server.token_delay and place:
                await asyncio.sleep(self._server.token_delay)
            yield payload


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(payload: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": payload, "more_body": more}


def _usage(reply: Reply, body: Mapping[str, Any]) -> dict[str, Any]:
    """Counts that are plausible and deterministic: four characters of JSON to a token."""
    if reply.usage is not None:
        return dict(reply.usage)
    prompt = len(json.dumps(body.get("messages", []))) // 4 + 1
    said = len(reply.text) + len(reply.reasoning) + sum(len(c.arguments) for c in reply.calls)
    completion = said // 4 + 1
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }

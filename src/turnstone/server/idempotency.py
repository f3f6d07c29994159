"""Requests that may be sent again: under the same `Idempotency-Key`, what was done is done once.

Where the engine has a durable id for that (a message, a command), the key is that id. For the
rest, the answer is kept here, in memory: for as long as this process runs, and for the last so
many.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp

from turnstone.api.problems import KeyUsed
from turnstone.core.errors import InvalidRequest

#: Answers that are kept.
_KEPT = 1000

_LONGEST = 128

_Key: TypeAlias = tuple[str, str, str]  # the caller, the endpoint, the key


@dataclass(frozen=True, slots=True)
class _Kept:
    request: bytes
    answer: asyncio.Future[Response]


class Answers:
    """The answers of one server to requests with a key."""

    def __init__(self) -> None:
        self._kept: dict[_Key, _Kept] = {}

    async def once(
        self,
        key: _Key,
        body: msgspec.Struct,
        make: Callable[[], Awaitable[ASGIApp]],
    ) -> ASGIApp:
        """What `make` gives, or gave the first time. A failure is not kept.

        Raises KeyUsed where the key stands for another request.
        """
        request = hashlib.sha256(msgspec.json.encode(body)).digest()
        while (kept := self._kept.get(key)) is not None:
            if kept.request != request:
                raise KeyUsed(
                    f"The Idempotency-Key {key[2]!r} was used for another request.",
                    hint="Choose a new key for each request that is not a repetition.",
                )
            await asyncio.wait({kept.answer})
            if not kept.answer.cancelled():
                return _copy(kept.answer.result())
        kept = _Kept(request, asyncio.get_running_loop().create_future())
        self._kept[key] = kept
        try:
            answer = await make()
        except BaseException:
            self._drop(key, kept)
            raise
        if not isinstance(answer, Response) or answer.status_code >= 400:
            self._drop(key, kept)
            return answer
        kept.answer.set_result(_copy(answer))
        self._forget()
        return answer

    def _drop(self, key: _Key, kept: _Kept) -> None:
        del self._kept[key]
        kept.answer.cancel()

    def _forget(self) -> None:
        done = (key for key, kept in self._kept.items() if kept.answer.done())
        while len(self._kept) > _KEPT:
            del self._kept[next(done)]
            done = (key for key, kept in self._kept.items() if kept.answer.done())


def read_key(header: str | None) -> str:
    """Empty where there is none. Raises InvalidRequest."""
    if header is None:
        return ""
    if not header.isascii() or not header.isprintable() or not 1 <= len(header) <= _LONGEST:
        raise InvalidRequest(
            f"Idempotency-Key: it must be 1 to {_LONGEST} printable ASCII characters."
        )
    return header


def with_key(body: msgspec.Struct, name: str, key: str) -> msgspec.Struct:
    """The body, its field `name` filled in. Raises InvalidRequest where that says otherwise."""
    given = getattr(body, name)
    if given not in ("", key):
        raise InvalidRequest(
            f"{name}: it is {given[:60]!r}, and the Idempotency-Key is {key!r}.",
            hint="Give one of them, or both alike.",
        )
    return msgspec.structs.replace(body, **{name: key})


def _copy(answer: Response) -> Response:
    """An answer is changed on its way (headers, compression), so each sender gets its own."""
    headers = {
        "Cache-Control": answer.headers.get("cache-control", "no-store"),
        "Idempotency-Replayed": "true",
    }
    return Response(answer.body, answer.status_code, headers, answer.media_type)

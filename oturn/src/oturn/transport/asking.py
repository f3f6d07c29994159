"""One request on its way to an answer: in which dialect it is sent, whether it is sent again.

Sends nothing itself, and never asks again for what a reader has seen a part of: that is told
to it. Every row of the dialects is tried at most once for a request, and retries are counted,
so it ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import httpx2

from oturn.errors import ModelError, ModelServerError
from oturn.transport import endpoint, failures
from oturn.transport.base import ModelRequest
from oturn.transport.chat_completions import request_body
from oturn.transport.dialects import Body, Dialect, dialect_for
from oturn.transport.failures import Hide
from oturn.transport.retry import RetryNotice, RetryPolicy

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asker:
    """What all requests of a transport share. Time and chance are given, so that tests need none.

    `dialects`: by model, what its server is known to need; `trying`: what it seems to need, where
    whoever asks sends the request again (`rephrase` is off). `hide` takes the key out of what
    others wrote: the server likes to quote it when it refuses it.
    """

    url: str
    timeout: float | None
    hide: Hide
    policy: RetryPolicy
    on_retry: Callable[[RetryNotice], None] | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    dialects: dict[str, tuple[Dialect, ...]] = field(default_factory=dict)
    trying: dict[str, tuple[Dialect, ...]] = field(default_factory=dict)
    rephrase: bool = True


class Asking:
    """One request: `body`, and `content` as bytes, are what is to be sent now.

    Raises ModelServerError when the request cannot be written as JSON.
    """

    def __init__(self, asker: Asker, request: ModelRequest, *, stream: bool) -> None:
        self._asker = asker
        self._model = request.model
        self._begun = asker.clock()
        self._sent = 1
        self._refusal = ""  # the text of the last one
        self._lost = False
        self._at_once = asker.rephrase or not stream
        try:
            known = asker.dialects.get(request.model, ())
            self._spoken = list(known if self._at_once else asker.trying.get(request.model, known))
            self.body: Body = request_body(request, stream=stream)
            for dialect in self._spoken:
                self.body = dialect.rewritten(self.body)
            self.content = _encoded(self.body)
        except (TypeError, ValueError, RecursionError) as problem:
            text = f"The request to {asker.url} cannot be written as JSON: {problem}"
            raise ModelServerError(ModelError("refused", text)) from problem

    def accepted(self) -> None:
        """The server answers: what was changed for it is right for the next requests too."""
        if self._spoken:
            self._asker.dialects[self._model] = tuple(self._spoken)
        self._asker.trying.pop(self._model, None)

    async def refused(self, response: httpx2.Response) -> ModelError:
        """The error that an answer other than 2xx stands for."""
        body = await endpoint.read(response, endpoint.MAX_ERROR_BYTES)
        self._refusal = body.decode("utf-8", "replace")
        self._lost = False
        return refusal(response, self._refusal, self._asker.url, self._model, self._asker.hide)

    def broken(self, problem: httpx2.HTTPError) -> ModelError:
        """The error of a connection that failed or broke."""
        self._refusal = ""
        # A server that is silent for the whole timeout is not asked to be so again.
        # Nor one without TLS, or with a certificate that is not trusted.
        lost = isinstance(problem, httpx2.NetworkError | httpx2.RemoteProtocolError)
        self._lost = lost and not endpoint.about_tls(problem)
        error = endpoint.broken(problem, self._asker.url, self._asker.timeout, self._asker.hide)
        return replace(error, lost=self._lost)

    async def again(self, error: ModelError) -> bool:
        """Whether to send `content` once more; waits before, if that is what helps."""
        return (self._at_once and self._in_another_dialect(error)) or await self._later(error)

    def told(self, error: ModelError) -> ModelError:
        """The error as whoever asks is told it, who may send the request again in another dialect
        where that is not done here."""
        if self._at_once:
            return error
        if self._in_another_dialect(error):
            self._asker.trying[self._model] = tuple(self._spoken)
            return replace(error, rephrased=True)
        self._asker.trying.pop(self._model, None)
        return error

    def _in_another_dialect(self, error: ModelError) -> bool:
        said = self._refusal or error.message
        dialect = dialect_for(self.body, error.status, said, self._spoken)
        if dialect is None:
            return False
        self._spoken.append(dialect)
        self.body = dialect.rewritten(self.body)
        self.content = _encoded(self.body)
        self._refusal = ""
        _log.info("%s refused %r: asked again %s.", self._asker.url, dialect.field, dialect.name)
        return True

    async def _later(self, error: ModelError) -> bool:
        asker = self._asker
        wait = asker.policy.wait(
            error,
            lost=self._lost,
            sent=self._sent,
            elapsed=asker.clock() - self._begun,
            chance=asker.chance(),
        )
        if wait is None:
            return False
        self._sent += 1
        _log.info("Asking again in %.1f s: %s", wait, error.message)
        if asker.on_retry is not None:
            try:
                asker.on_retry(RetryNotice(error, wait, self._sent, asker.policy.requests))
            except Exception:  # a stream never throws, whatever the caller's hook does
                _log.exception("The on_retry hook failed.")
        await asker.sleep(wait)
        self._refusal, self._lost = "", False
        return True


def _encoded(body: Body) -> bytes:
    # A lone surrogate, which JSON text may smuggle in, has no UTF-8: it goes out as "?".
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def refusal(response: httpx2.Response, body: str, url: str, model: str, hide: Hide) -> ModelError:
    """The error that an answer other than 2xx stands for, from its text."""
    status = response.status_code
    if response.is_redirect:
        target = hide(response.headers.get("location", "elsewhere"))
        text = f"{url} points to {target}: use that address in the base URL."
        return ModelError("refused", text, status)
    wait = endpoint.retry_after(response.headers)
    return failures.from_response(url, status, body, model=model, retry_after=wait, hide=hide)

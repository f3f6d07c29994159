"""How large a model's context window is, asked in the ways of those servers whose list of models
does not say.

Asks only the server that it is given, each question once, and guesses nothing: where no answer
tells, there is none. Never raises for a server that knows none of the questions.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from oturn.transport import endpoint

#: Seconds for a question: they are about what a server knows at once.
PATIENCE = 5.0
#: Answers are not longer; that of Ollama has the model's licence and template in it.
_MAX_BYTES = 4 * 1024 * 1024

#: Parameters of a model as Ollama prints them, a line each.
_NUM_CTX = re.compile(r"^\s*num_ctx\s+(\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Window:
    """A context window in `tokens`, and where that is told. `trained`: it is what the model was
    made for, and the server may give it less."""

    tokens: int
    told: str
    trained: bool = False


async def ask_window(
    base_url: str, model: str, api_key: str | None = None, patience: float = PATIENCE
) -> Window | None:
    """The window of `model` as LM Studio, llama.cpp or Ollama tell it; None if nothing does.

    They are asked beside the base URL's `/v1`. Raises ConfigError for a base URL that is none.
    """
    base = endpoint.checked(base_url)
    root = base.copy_with(path=base.path.rstrip("/").removesuffix("/v1") or "/")
    async with endpoint.new_client(base, patience) as client:
        asked = _Asked(client, root, endpoint.headers(api_key, None), patience)
        told = await asyncio.gather(
            asked.of("props"),
            asked.of("api/v0/models"),
            asked.of("api/ps"),
            asked.of("api/show", {"model": model}),
            asked.of("v1/models"),
        )
    return next(_told(model, *told), None)


def _told(model: str, props: Any, studio: Any, ps: Any, show: Any, models: Any) -> Iterator[Window]:
    """What the answers tell, the surest first: what a server gives, before what a model was
    made for."""
    yield from _number(_dig(props, "default_generation_settings", "n_ctx"), "/props")
    yield from _number(_dig(props, "n_ctx"), "/props")
    of_studio = _named(studio, "data", model)
    yield from _number(_dig(of_studio, "loaded_context_length"), "/api/v0/models")
    yield from _number(_dig(_named(ps, "models", model), "context_length"), "/api/ps")
    parameters = _dig(show, "parameters")
    if isinstance(parameters, str) and (found := _NUM_CTX.search(parameters)):
        yield from _number(int(found[1]), "/api/show")
    yield from _number(_dig(of_studio, "max_context_length"), "/api/v0/models", trained=True)
    info = _dig(show, "model_info")
    for key, value in info.items() if isinstance(info, Mapping) else ():
        if str(key).endswith(".context_length"):
            yield from _number(value, "/api/show", trained=True)
    meta = _dig(_named(models, "data", model), "meta")
    yield from _number(_dig(meta, "n_ctx"), "/v1/models")
    yield from _number(_dig(meta, "n_ctx_train"), "/v1/models", trained=True)


def _number(value: Any, told: str, *, trained: bool = False) -> Iterator[Window]:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        yield Window(value, told, trained)


def _dig(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _named(value: Any, key: str, model: str) -> Any:
    """The entry of the list under `key` that is about this model."""
    listed = _dig(value, key)
    for entry in listed if isinstance(listed, list) else ():
        if model in (_dig(entry, "id"), _dig(entry, "name"), _dig(entry, "model")):
            return entry
    return None


class _Asked:
    """One server, asked for JSON at a path; None for whatever it does not answer."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        root: httpx2.URL,
        headers: Mapping[str, str],
        patience: float,
    ) -> None:
        self._client, self._root, self._headers = client, root, dict(headers)
        self._patience = patience

    async def of(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        url = self._root.copy_with(path=endpoint.path(self._root, path))
        content = None if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        try:
            async with (
                asyncio.timeout(self._patience),
                self._client.stream(
                    method, url, headers=self._headers, content=content
                ) as response,
            ):
                if not response.is_success:
                    return None
                return json.loads(await endpoint.read(response, _MAX_BYTES))
        except (httpx2.HTTPError, TimeoutError, ValueError, RecursionError):
            return None

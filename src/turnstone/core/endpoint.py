"""Finds the model that a node asks: the configured endpoint, one on this machine, or practice.

Asks each place once, at the start, for its list of models; never looks outside this machine
for an endpoint that nobody named, and never changes models later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from oturn.errors import ConfigError, ModelServerError
from oturn.transport.base import ModelInfo, ModelTransport
from oturn.transport.openai import OpenAITransport, list_models
from oturn.transport.retry import ONE_REQUEST
from oturn.transport.windows import Window, ask_window
from turnstone.core.errors import ConfigurationError, ModelUnavailable
from turnstone.core.practice import PracticeTransport

#: Where model servers of the usual makes listen on the machine they run on.
USUAL = {
    "vLLM": "http://127.0.0.1:8000/v1",
    "Ollama": "http://127.0.0.1:11434/v1",
    "LM Studio": "http://127.0.0.1:1234/v1",
    "llama.cpp": "http://127.0.0.1:8080/v1",
}

#: Seconds for one of the usual places to answer: they are on this machine, or not there.
LOOK_AROUND = 1.5

#: How it shows that an endpoint is not there now, and may be later.
_AWAY = ("unreachable", "timeout", "server", "rate_limited")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model, ready to be asked. `found` says in words where it is, `window` what it tells of
    its context; None: it does not."""

    transport: ModelTransport
    model: str
    found: str
    url: str = ""  # empty: it is in this process
    window: Window | None = None
    practice: bool = False
    away: bool = False  # nothing answers there now


def transport_to(base_url: str, api_key: str = "") -> OpenAITransport:
    """The way to an endpoint, to be asked through a `Gate`, which alone sends a request again:
    it knows when the endpoint may be asked. Raises ConfigError."""
    return OpenAITransport(base_url, api_key or None, retry=ONE_REQUEST, rephrase=False)


async def connect(base_url: str, api_key: str = "", model: str = "") -> Endpoint:
    """The model `model` at this endpoint, or the first one that it lists.

    Raises ModelUnavailable (nothing there, no models, not this one) and ConfigurationError
    (no URL at all), with a sentence that says what to do.
    """
    try:
        chosen = await _listed(base_url, api_key, model)
    except ModelServerError as error:
        raise ModelUnavailable(
            f"No model at {base_url}: {error}",
            hint="Name the endpoint with --base-url or [api] base_url; try out with --model practice.",
        ) from error
    return await _reached(base_url, api_key, chosen, f"{chosen.id} at {base_url}")


async def connect_later(base_url: str, api_key: str, model: str) -> Endpoint:
    """The same for a model that is asked when it is needed: it need not be there now."""
    try:
        chosen = await _listed(base_url, api_key, model)
    except ModelServerError as error:
        if error.error.kind not in _AWAY:
            raise ModelUnavailable(f"No model at {base_url}: {error}") from error
        transport = transport_to(base_url, api_key)
        found = f"{model} at {base_url}, where nothing answers now"
        return Endpoint(transport, model, found, transport.url, away=True)
    return await _reached(base_url, api_key, chosen, f"{chosen.id} at {base_url}")


async def look_around(own_port: int = 0, usual: Mapping[str, str] = USUAL) -> Endpoint:
    """A model at one of the usual places of this machine; the practice model if there is none.

    `own_port` is where this node itself will listen: that place is left out.
    """
    places = [(make, url) for make, url in usual.items() if f":{own_port}/" not in url]
    found = await asyncio.gather(*(_models_at(url) for _, url in places))
    for (make, url), models in zip(places, found, strict=True):
        if models:
            return await _reached(url, "", models[0], f"{models[0].id} at {url} ({make})")
    return practice()


def practice() -> Endpoint:
    """The practice model: scripted, in this process, labelled wherever it answers."""
    return Endpoint(
        PracticeTransport(), "practice", "the practice model, in this process", practice=True
    )


async def _listed(base_url: str, api_key: str, model: str) -> ModelInfo:
    """The model, as the endpoint lists it. Raises ModelServerError, and as `connect`."""
    try:
        models = await list_models(base_url, api_key or None)
    except ConfigError as error:
        raise ConfigurationError(str(error)) from error
    except ModelServerError as error:
        if model and error.error.kind in ("not_found", "refused", "broken"):
            return ModelInfo(model)  # some servers answer chats and list nothing
        raise
    return _choose(models, model, base_url)


async def _reached(base_url: str, api_key: str, model: ModelInfo, found: str) -> Endpoint:
    if model.context_window:
        window: Window | None = Window(model.context_window, "its list of models")
    else:
        window = await ask_window(base_url, model.id, api_key or None)
    transport = transport_to(base_url, api_key)
    return Endpoint(transport, model.id, found, transport.url, window)


async def _models_at(url: str) -> list[ModelInfo]:
    try:
        async with asyncio.timeout(LOOK_AROUND):
            return await list_models(url, timeout=LOOK_AROUND)
    except (ModelServerError, TimeoutError):
        return []  # nothing there, or something that is no model server


def _choose(models: list[ModelInfo], wanted: str, base_url: str) -> ModelInfo:
    if not models:
        raise ModelUnavailable(
            f"{base_url} answers, but lists no model.",
            hint="Load one there, or name one with --model.",
        )
    if not wanted:
        return models[0]
    for model in models:
        if model.id == wanted:
            return model
    known = ", ".join(m.id for m in models[:5])
    raise ModelUnavailable(
        f"{base_url} has no model {wanted!r}; it lists: {known}.",
        hint="Choose one of those with --model, or leave it out.",
    )

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


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model, ready to be asked. `found` says in words where it is."""

    transport: ModelTransport
    model: str
    found: str
    context_window: int | None = None  # tokens, if the endpoint tells
    practice: bool = False


async def connect(base_url: str, api_key: str = "", model: str = "") -> Endpoint:
    """The model `model` at this endpoint, or the first one that it lists.

    Raises ModelUnavailable (nothing there, no models, not this one) and ConfigurationError
    (no URL at all), with a sentence that says what to do.
    """
    try:
        models = await list_models(base_url, api_key or None)
    except ConfigError as error:
        raise ConfigurationError(str(error)) from error
    except ModelServerError as error:
        if model and error.error.kind in ("not_found", "refused", "broken"):
            models = [ModelInfo(model)]  # some servers answer chats and list nothing
        else:
            raise ModelUnavailable(
                f"No model at {base_url}: {error}",
                hint="Name the endpoint with --base-url or [api] base_url; try out with --model practice.",
            ) from error
    chosen = _choose(models, model, base_url)
    transport = OpenAITransport(base_url, api_key or None)
    return Endpoint(transport, chosen.id, f"{chosen.id} at {base_url}", chosen.context_window)


async def look_around(own_port: int = 0, usual: Mapping[str, str] = USUAL) -> Endpoint:
    """A model at one of the usual places of this machine; the practice model if there is none.

    `own_port` is where this node itself will listen: that place is left out.
    """
    places = [(make, url) for make, url in usual.items() if f":{own_port}/" not in url]
    found = await asyncio.gather(*(_models_at(url) for _, url in places))
    for (make, url), models in zip(places, found, strict=True):
        if models:
            return Endpoint(
                OpenAITransport(url),
                models[0].id,
                f"{models[0].id} at {url} ({make})",
                models[0].context_window,
            )
    return practice()


def practice() -> Endpoint:
    """The practice model: scripted, in this process, labelled wherever it answers."""
    return Endpoint(
        PracticeTransport(), "practice", "the practice model, in this process", practice=True
    )


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

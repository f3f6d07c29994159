"""Puts the models of a node together: that of the plain settings, and those with names.

Asks each endpoint once, for its models and the size of their context, and says in words what
was found. A window that nobody tells stays unknown: none is made up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

import msgspec

from turnstone.core.budget import Price
from turnstone.core.config import NamedModel, Settings
from turnstone.core.endpoint import Endpoint, connect_later
from turnstone.core.errors import ConfigurationError, ModelUnavailable
from turnstone.core.model_gate import Gate
from turnstone.core.models import DEFAULT, Model, ModelRole, Models


async def set_up(settings: Settings, endpoint: Endpoint) -> Models:
    """All models that the settings name; `endpoint` is that of the plain ones.

    Raises ConfigurationError, with the name of the model: no such model there, a key refused.
    An endpoint that does not answer now is no error.
    """
    _check_roles(settings)
    named = [_placed(model, settings) for model in settings.models]
    found = await asyncio.gather(*map(_connected, named))
    api, plain = settings.api, settings.model
    declared = plain.context_window if settings.given("model.context_window") else 0
    places = [
        (endpoint.url, api.max_concurrent),
        *((one.url, model.max_concurrent) for one, model in zip(found, named, strict=True)),
    ]
    gates = _gates(places)
    default = Model(
        DEFAULT,
        endpoint.model,
        endpoint.transport,
        gates[endpoint.url],
        context_window=_window(endpoint, declared),
        price=Price(plain.price_input, plain.price_output),
        practice=endpoint.practice,
        vision=plain.vision,
        told=in_words(endpoint, declared, "--context-window"),
    )
    others = [
        Model(
            model.name,
            one.model,
            one.transport,
            gates[one.url],
            context_window=_window(one, model.context_window),
            price=Price(model.price_input, model.price_output),
            vision=model.vision,
            told=in_words(one, model.context_window, f"[models.{model.name}] context_window"),
        )
        for one, model in zip(found, named, strict=True)
    ]
    roles = {cast("ModelRole", k): v for k, v in msgspec.structs.asdict(settings.roles).items()}
    return Models(default, others, roles)


def in_words(endpoint: Endpoint, declared: int, setting: str) -> str:
    """Where a model is and how large its context; where that is unknown, what to set."""
    window = endpoint.window
    if endpoint.practice or (endpoint.away and not declared):
        return endpoint.found
    if declared:
        told = f"context of {declared:,} tokens, as the settings say"
    elif window is None:
        told = window_unknown(setting)
    elif window.trained:
        told = (
            f"context of {window.tokens:,} tokens, as {window.told} says of the model; where the"
            f" server gives it less, set {setting}"
        )
    else:
        told = f"context of {window.tokens:,} tokens, as {window.told} says"
    return f"{endpoint.found}; {told}"


def window_unknown(setting: str) -> str:
    """That it is, and what to set."""
    return f"context window unknown: set {setting} (see docs/howto/models.md)"


def _check_roles(settings: Settings) -> None:
    known = (DEFAULT, *(model.name for model in settings.models))
    for role, name in msgspec.structs.asdict(settings.roles).items():
        if name and name not in known:
            raise ConfigurationError(
                f"[roles] {role} names {name!r} ({settings.source(f'roles.{role}')}), and there is"
                " no such model.",
                hint=f"The models are {', '.join(known)}; others are sections [models.<name>].",
            )


def _placed(model: NamedModel, settings: Settings) -> NamedModel:
    """With its URL and key: those of [api] where it names no place of its own."""
    here = settings.api.base_url
    url, key = model.base_url or here, model.api_key
    if not key and url == here:
        key = settings.api.api_key
    return msgspec.structs.replace(model, base_url=url, api_key=key)


async def _connected(model: NamedModel) -> Endpoint:
    try:
        return await connect_later(model.base_url, model.api_key.reveal(), model.model)
    except (ConfigurationError, ModelUnavailable) as error:
        raise ConfigurationError(
            f"[models.{model.name}]: {error.message}",
            hint="Correct it in the configuration file, or leave it out.",
        ) from error


def _gates(places: Iterable[tuple[str, int]]) -> dict[str, Gate]:
    """One for each endpoint, by its URL; of several limits the smallest holds."""
    limits: dict[str, list[int]] = {}
    for url, limit in places:
        limits.setdefault(url, []).extend([limit] if limit else [])
    return {url: Gate(url, min(asked, default=0)) for url, asked in limits.items()}


def _window(endpoint: Endpoint, declared: int) -> int:
    return declared or (endpoint.window.tokens if endpoint.window is not None else 0)

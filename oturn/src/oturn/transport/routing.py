"""From a model string to the server, the name it knows the model by, and the key. Pure.

The environment comes in as a mapping. Whether LiteLLM is installed is not asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from oturn.errors import ConfigError
from oturn.transport.providers import ANONYMOUS, FOREIGN, KNOWN, Provider

#: Prefixes of `provider/model` that name a provider and are not sent when `api_base` is set.
#: Any other first part (`Qwen/Qwen3-8B`) belongs to the model's name. To send a name that
#: begins with one of these, write it twice: `openai/openai/gpt-oss-20b`.
PROVIDERS = ANONYMOUS | {name for name, known in KNOWN.items() if not known.names_models}


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model is. `base_url` is None where only LiteLLM may know; `model` is as sent."""

    base_url: str | None
    model: str
    api_key: str | None = field(default=None, repr=False)


def server_and_model(model: str, api_base: str) -> tuple[str, str]:
    """(base URL, model as sent) of a server that `api_base` names. Raises ConfigError without."""
    if not api_base:
        raise ConfigError(
            f"It is not known where the model {model!r} is: set api_base of OturnProviderConfig "
            "to the base URL of an OpenAI-compatible server, like http://localhost:8000/v1."
        )
    provider, slash, name = model.partition("/")
    sent = name if slash and provider in PROVIDERS else model
    return _with_root(api_base, KNOWN.get(provider)), sent


def route(model: str, api_base: str, api_key: str | None, environment: Mapping[str, str]) -> Route:
    """Where this model is asked, by `api_base`, or by the provider in its name.

    A key of the environment goes to the provider it belongs to, and never to an address that
    `api_base` names. Raises ConfigError when a hosted provider has no key.
    """
    key = (api_key or "").strip() or None
    provider, slash, name = model.partition("/")
    if slash and provider in FOREIGN:
        return Route(None, model, key)
    if api_base:
        base_url, sent = server_and_model(model, api_base)
        return Route(base_url, sent, key)
    known = KNOWN.get(provider) if slash else None
    if known is None:
        return Route(None, model, key)
    key = key or _first(environment, known.key_env)
    if key is None and known.needs_key:
        raise ConfigError(
            f"There is no API key for {model!r}: set api_key of OturnProviderConfig, or the "
            f"environment variable {known.key_env[0]}."
        )
    address = _first(environment, known.base_env) or known.base_url
    return Route(_with_root(address, known), name, key)


def model_as_sent(model: str, api_base: str) -> str:
    """The name under which the routed server, or LiteLLM, is asked for this model."""
    provider, slash, name = model.partition("/")
    if not slash or provider in FOREIGN:
        return model
    if api_base:
        return server_and_model(model, api_base)[1]
    return name if provider in KNOWN else model


def _with_root(address: str, known: Provider | None) -> str:
    """The address, with the provider's path where it has none (`http://localhost:11434`)."""
    bare = address.rstrip("/")
    _, found, rest = bare.partition("://")
    if known is None or not known.root or not found or "/" in rest:
        return address
    return bare + known.root


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    values = (environment.get(name, "").strip() for name in names)
    return next((value for value in values if value), None)

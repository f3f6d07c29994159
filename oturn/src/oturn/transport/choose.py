"""The transport that a configuration describes: a known provider, `api_base`, or LiteLLM.

Opens nothing: connections are made by the first request.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from oturn.errors import MissingExtraError
from oturn.runtime_config import OturnConfig, OturnModelConfig
from oturn.transport.client import OpenAIClient
from oturn.transport.litellm import LiteLLMTransport, litellm_is_installed
from oturn.transport.openai import DEFAULT_TIMEOUT
from oturn.transport.routing import model_as_sent, route


def transport_for(
    config: OturnConfig, environment: Mapping[str, str] | None = None
) -> OpenAIClient | LiteLLMTransport:
    """A transport for `config.model`; requests name the model as `sent_model(config)` says.

    Both kinds have `acreate`, for a program's own requests with the settings of the configuration.
    `environment` is where keys are looked up that the configuration leaves out; the process'
    own by default. Raises ConfigError for a missing key or a wrong address, MissingExtraError
    for a model that only LiteLLM may know when it is not installed.
    """
    provider = config.provider
    model, api_base = config.model.strip(), (provider.api_base or "").strip()
    timeout = float(config.model_config.timeout or DEFAULT_TIMEOUT)
    found = route(
        model, api_base, provider.api_key, os.environ if environment is None else environment
    )
    if found.base_url is not None:
        return OpenAIClient(
            found.base_url,
            found.api_key,
            model=found.model,
            params=_params(config.model_config),
            timeout=timeout,
            extra_headers=provider.extra_headers,
            query=provider.extra_query_params,
            debug_request=provider.debug_request,
            debug_sse=provider.debug_sse,
            text_tool_calls=config.model_config.text_tool_calls,
            think_tags=config.model_config.think_tags,
        )
    if not litellm_is_installed():
        raise MissingExtraError(
            f"It is not known where the model {model!r} is: set api_base of OturnProviderConfig "
            "to the base URL of an OpenAI-compatible server, like http://localhost:8000/v1, or "
            'install LiteLLM, which knows more providers: pip install "oturn[litellm]".'
        )
    return LiteLLMTransport(
        model=model,
        timeout=timeout,
        max_tokens=config.model_config.max_output_tokens,
        temperature=config.model_config.temperature,
        extra_body=config.model_config.extra_body,
        api_base=api_base,
        api_key=found.api_key,
        extra_headers=provider.extra_headers,
        extra_query_params=provider.extra_query_params,
        debug_request=provider.debug_request,
        debug_sse=provider.debug_sse,
    )


def sent_model(config: OturnConfig) -> str:
    """The model's name in the requests of `transport_for(config)`."""
    return model_as_sent(config.model.strip(), (config.provider.api_base or "").strip())


def _params(settings: OturnModelConfig) -> dict[str, Any]:
    params: dict[str, Any] = {}
    if settings.max_output_tokens:
        params["max_tokens"] = int(settings.max_output_tokens)
    if settings.temperature is not None:
        params["temperature"] = float(settings.temperature)
    return params | (settings.extra_body or {})

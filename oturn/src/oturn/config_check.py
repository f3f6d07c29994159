"""Refuses settings that cannot work, by the name of the field. Pure; looks at values, and never
at what they name (a server, a model)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, get_args

from oturn.runtime_config import OturnConfig
from oturn.transport.think_tags import ThinkTags


def check_config(config: OturnConfig) -> None:
    """Raises TypeError for a value of a wrong type, ValueError for one that is out of range."""
    _check_model(config.model)
    _type("OturnConfig.tool_choice", config.tool_choice, (str, dict), "a text or a dict")
    _check_provider(config.provider)
    _check_model_config(config.model_config)
    _check_agent_config(config.agent_config)


def _check_model(model: object) -> None:
    if not isinstance(model, str):
        raise TypeError(f"OturnConfig.model must be a text like openai/gpt-4o, not {model!r}.")
    if not model.strip():
        raise ValueError("OturnConfig.model is blank: name a model, like openai/gpt-4o.")
    if model.rstrip().endswith("/"):
        raise ValueError(f"OturnConfig.model is {model!r}: the name of a model is missing after /.")


def _check_provider(provider: Any) -> None:
    name = "OturnProviderConfig"
    _type(f"{name}.api_base", provider.api_base, str, "a text")
    _type(f"{name}.api_key", provider.api_key, str, "a text")
    _texts(f"{name}.extra_headers", provider.extra_headers, (str,))
    _texts(f"{name}.extra_query_params", provider.extra_query_params, (str, int, float))


def _check_model_config(model: Any) -> None:
    name = "OturnModelConfig"
    if model.max_output_tokens is not None:
        _number(f"{name}.max_output_tokens", model.max_output_tokens, int)
    if model.temperature is not None:
        _number(f"{name}.temperature", model.temperature, float)
    if model.timeout is not None:
        _number(f"{name}.timeout", model.timeout, float)
    _type(f"{name}.extra_body", model.extra_body, dict, "a dict")
    allowed = get_args(ThinkTags)
    if model.think_tags not in allowed:
        raise ValueError(f"{name}.think_tags must be one of {allowed}, not {model.think_tags!r}.")


def _check_agent_config(agent: Any) -> None:
    name = "OturnAgentConfig"
    _whole(f"{name}.max_steps", agent.max_steps, 1)
    _whole(f"{name}.max_broken_answers", agent.max_broken_answers, 0)
    _whole(f"{name}.event_backlog", agent.event_backlog, 1)
    _type(f"{name}.user_name", agent.user_name, str, "a text")
    _type(f"{name}.email", agent.email, str, "a text")
    _type(f"{name}.answer_grace", agent.answer_grace, (int, float), "a number of seconds")
    if agent.answer_grace is not None:
        _number(f"{name}.answer_grace", agent.answer_grace, float)


def _type(field: str, value: object, wanted: type | tuple[type, ...], words: str) -> None:
    if value is not None and not isinstance(value, wanted):
        # Not the value: it may be a key.
        raise TypeError(f"{field} must be {words}, not {_a(value)}.")


def _texts(field: str, value: object, of: tuple[type, ...]) -> None:
    _type(field, value, dict, "a dict of texts")
    for key, entry in value.items() if isinstance(value, dict) else ():
        if not isinstance(key, str) or not isinstance(entry, of):
            raise TypeError(f"{field}[{key!r}] must be a text under a text, not {_a(entry)}.")


def _a(value: object) -> str:
    return type(value).__name__


def _number(field: str, value: Any, convert: Callable[[Any], float]) -> None:
    """At least 0. A text that reads as a number is one, as it was in 0.1."""
    try:
        number = convert(value)
    except (TypeError, ValueError, OverflowError) as problem:
        raise TypeError(f"{field} must be a number, not {value!r}.") from problem
    if math.isnan(number) or number < 0:
        raise ValueError(f"{field} must be 0 or more, not {value!r}.")


def _whole(field: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{field} must be a whole number, not {value!r}.")
    if value < least:
        raise ValueError(f"{field} must be {least} or more, not {value}.")

"""Settings that cannot work are refused by the name of their field, when the agent is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_session import config
from oturn import Oturn

SHARES = {
    "OturnConfig": "",
    "OturnProviderConfig": "provider",
    "OturnModelConfig": "model_config",
    "OturnAgentConfig": "agent_config",
}


def agent_with(field: str, value: Any) -> Oturn:
    share, name = field.split(".")
    base: Any = config()
    part = SHARES[share]
    changed = (
        replace(base, **{part: replace(getattr(base, part), **{name: value})})
        if part
        else replace(base, **{name: value})
    )
    return Oturn(Path.cwd(), changed)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("OturnConfig.model", 3, TypeError),
        ("OturnConfig.model", " ", ValueError),
        ("OturnConfig.model", "openai/", ValueError),
        ("OturnConfig.tool_choice", ["auto"], TypeError),
        ("OturnProviderConfig.api_base", 8000, TypeError),
        ("OturnProviderConfig.api_key", b"k", TypeError),
        ("OturnProviderConfig.extra_headers", ["x"], TypeError),
        ("OturnProviderConfig.extra_headers", {"x": 1}, TypeError),
        ("OturnProviderConfig.extra_query_params", {"x": None}, TypeError),
        ("OturnModelConfig.max_output_tokens", "many", TypeError),
        ("OturnModelConfig.temperature", "hot", TypeError),
        ("OturnModelConfig.temperature", float("nan"), ValueError),
        ("OturnModelConfig.timeout", -1, ValueError),
        ("OturnModelConfig.timeout", [1], TypeError),
        ("OturnModelConfig.extra_body", "x", TypeError),
        ("OturnModelConfig.think_tags", "on", ValueError),
        ("OturnAgentConfig.max_steps", "3", TypeError),
        ("OturnAgentConfig.max_steps", 2.5, TypeError),
        ("OturnAgentConfig.max_steps", True, TypeError),
        ("OturnAgentConfig.max_steps", 0, ValueError),
        ("OturnAgentConfig.max_broken_answers", -1, ValueError),
        ("OturnAgentConfig.event_backlog", 0, ValueError),
        ("OturnAgentConfig.user_name", 3, TypeError),
        ("OturnAgentConfig.answer_grace", -0.1, ValueError),
        ("OturnAgentConfig.answer_grace", float("nan"), ValueError),
        ("OturnAgentConfig.answer_grace", "1", TypeError),
    ],
)
def test_a_setting_that_cannot_work_is_named(field: str, value: Any, problem: Any) -> None:
    with pytest.raises(problem, match=field):
        agent_with(field, value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("OturnModelConfig.temperature", "0.7"),  # 0.1 made numbers of such texts
        ("OturnModelConfig.temperature", 0),
        ("OturnModelConfig.timeout", 0),
        ("OturnModelConfig.timeout", float("inf")),
        ("OturnAgentConfig.answer_grace", 0),
        ("OturnAgentConfig.answer_grace", float("inf")),
        ("OturnConfig.tool_choice", {"type": "function", "function": {"name": "x"}}),
        ("OturnProviderConfig.extra_query_params", {"api-version": 1}),
        ("OturnProviderConfig.api_base", None),
    ],
)
def test_a_setting_that_works_is_let_through(field: str, value: Any) -> None:
    agent_with(field, value)


def test_a_key_of_a_wrong_type_is_not_shown() -> None:
    with pytest.raises(TypeError) as told:
        agent_with("OturnProviderConfig.api_key", b"sk-secret")
    assert "secret" not in str(told.value)

"""Every order and default of a call that programs written for oturn 0.1 rely on."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pickle
from typing import Any

import pytest

import oturn
from oturn import (
    Context,
    Oturn,
    OturnAgentConfig,
    OturnConfig,
    OturnModelConfig,
    OturnProviderConfig,
    ToolResult,
    Transition,
)
from oturn.llm_transport import LiteLLMTransport
from oturn.mcp_adapter import MCPAdapter
from oturn.model import FunctionInfo, ToolCallInfo
from oturn.session_store import SessionStore
from oturn.tool_runtime import ToolRuntime
from oturn.tools.base import ToolExecutionError, ToolStreamEvent
from oturn.tools.precheck import ToolPrecheckResult

REQUIRED = inspect.Parameter.empty


def parameters(function: Any, kind: Any = None) -> dict[str, Any]:
    """The names of a call's parameters in their order, with their defaults."""
    found = inspect.signature(function).parameters.values()
    wanted = [p for p in found if p.name != "self" and (kind is None or p.kind is kind)]
    return {p.name: p.default for p in wanted}


def first(count: int, function: Any) -> list[tuple[str, Any]]:
    positional = parameters(function, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return list(positional.items())[:count]


CONFIGS: list[tuple[type, dict[str, Any]]] = [
    (
        OturnProviderConfig,
        {
            "api_base": "",
            "api_key": None,
            "extra_headers": None,
            "extra_query_params": None,
            "debug_request": False,
            "debug_sse": False,
            "debug_tools": False,
        },
    ),
    (
        OturnModelConfig,
        {"max_output_tokens": None, "temperature": None, "timeout": None, "extra_body": None},
    ),
    (OturnAgentConfig, {"max_steps": 100, "user_name": "User", "email": None}),
    (
        OturnConfig,
        {
            "model": REQUIRED,
            "provider": REQUIRED,
            "model_config": REQUIRED,
            "agent_config": REQUIRED,
            "tool_choice": "auto",
            "debug_loop": False,
        },
    ),
]


@pytest.mark.parametrize(("config", "fields"), CONFIGS)
def test_a_configuration_has_its_order_its_defaults_and_is_frozen(
    config: type, fields: dict[str, Any]
) -> None:
    assert first(len(fields), config) == list(fields.items())
    needed = [default is REQUIRED for default in fields.values()].count(True)
    made: Any = config(*["x"] * needed)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, next(iter(fields)), "y")
    assert pickle.loads(pickle.dumps(made)) == made


ORDERS: list[tuple[Any, dict[str, Any]]] = [
    (Transition, {"state": REQUIRED}),
    (FunctionInfo, {"name": REQUIRED, "arguments": None}),
    (ToolCallInfo, {"id": REQUIRED, "type": REQUIRED, "function": REQUIRED}),
    (
        ToolResult,
        {
            "status": REQUIRED,
            "content": None,
            "error": None,
            "metadata": None,
            "needs_user_input": False,
        },
    ),
    (ToolStreamEvent, {"type": REQUIRED, "data": REQUIRED, "metadata": None}),
    (
        ToolPrecheckResult,
        {"status": REQUIRED, "message": None, "reasons": None, "metadata": None},
    ),
    (ToolExecutionError, {"message": REQUIRED}),
    (Oturn, {"work_dir": REQUIRED, "config": REQUIRED, "tool_policy": None, "tools": None}),
    (Context, {"file_backend": REQUIRED, "session_id": None, "work_dir": None}),
    (SessionStore, {"file_backend": REQUIRED, "session_id": None, "work_dir": None}),
    (MCPAdapter, {"enabled": None}),
    (
        ToolRuntime,
        {
            "tool_registry": REQUIRED,
            "publish": REQUIRED,
            "execute_remote_tool": REQUIRED,
            "cancel_event": REQUIRED,
            "debug_tools": False,
        },
    ),
    (Oturn.enqueue_user_input_nowait, {"text": None, "status": "agent", "input_type": "default"}),
    (Oturn.get_input_queue_snapshot, {"limit": 100}),
    (Context.append_compact, {"summary": REQUIRED, "user_intent": ""}),
    (Context.create_session, {"work_dir": REQUIRED, "session_id": None}),
    (Context.fork_session, {"work_dir": REQUIRED, "source_id": REQUIRED, "new_id": "[AUTO]"}),
    (Context.truncate_and_fork, {"split_index": REQUIRED, "target": REQUIRED}),
    (Context.export_md_as_config, {"path": REQUIRED, "template": None}),
]


@pytest.mark.parametrize(("called", "order"), ORDERS)
def test_positional_arguments_keep_their_order(called: Any, order: dict[str, Any]) -> None:
    assert first(len(order), called) == list(order.items())


BUILDERS = {
    "ev_message_sent": "",
    "ev_assistant_delta": "text model=None",
    "ev_assistant_reasoning_delta": "text model=None",
    "ev_tool_call_delta": "* tool args delta_id index=None tool_call_id=None preview=None",
    "ev_tool_call_request": "* tool delta_id future",
    "ev_approval_request": "* id tool args future precheck",
    "ev_choice_request": "* id tool prompt choices hint future",
    "ev_tool_output": "* stream text",
    "ev_tool_exit": "code",
    "ev_assistant_final": "text * usage_data=None reasoning=None",
    "ev_run_aborted": "reason='cancelled'",
    "ev_error": "error * exception_type=None traceback_text=None",
    "ev_debug_latency": "* stage ms",
    "ev_tool_call_debug_delta": "delta",
    "ev_tool_call_debug_assembled": "assembled",
    "ev_tool_call_debug_warning": "warning",
    "ev_tool_call_debug_stage": "* stage tool id index args_summary",
}


@pytest.mark.parametrize(("name", "signature"), BUILDERS.items())
def test_an_event_builder_is_called_as_before(name: str, signature: str) -> None:
    builder = getattr(importlib.import_module("oturn.events"), name)
    shown, positional = [], True
    for parameter in inspect.signature(builder).parameters.values():
        if positional and parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            shown.append("*")
            positional = False
        default = "" if parameter.default is REQUIRED else f"={parameter.default!r}"
        shown.append(f"{parameter.name}{default}")
    assert shown[: len(signature.split())] == signature.split()


def test_keyword_only_arguments_are_those_of_before() -> None:
    kind = inspect.Parameter.KEYWORD_ONLY
    folders = {"meta_dirname": ".oturn", "global_sessions_root": None}
    assert folders.items() <= parameters(Context, kind).items()
    assert folders.items() <= parameters(SessionStore, kind).items()
    assert parameters(Context.create_session, kind) == {"defer_persist": False, **folders}
    assert parameters(ToolExecutionError, kind) == {
        "metadata": None,
        "needs_user_input": False,
        "content": None,
    }
    assert list(parameters(ToolRuntime.process_tool_records, kind)) == [
        "ctx",
        "tool_records",
        "final",
        "reasoning",
        "reasoning_details",
        "usage_data",
        "model_name",
    ]
    assert list(parameters(LiteLLMTransport, kind).items())[:9] == [
        ("model", REQUIRED),
        ("timeout", 60.0),
        ("max_tokens", None),
        ("temperature", None),
        ("extra_body", None),
        ("api_base", ""),
        ("api_key", None),
        ("extra_headers", None),
        ("extra_query_params", None),
    ]
    assert parameters(oturn.start_global_litellm_prewarm, kind) == {
        "blocking": False,
        "timeout": None,
    }

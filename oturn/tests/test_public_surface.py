"""Every name that programs written for oturn 0.1 rely on. Orders: `test_public_signatures`."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
from pydantic import BaseModel

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
from oturn.agent_stream_state import TurnStreamState
from oturn.model import CompactRecord, Message, UserContent
from oturn.session_store import SessionStore
from oturn.tool_runtime import ToolRuntime
from oturn.tools.base import BaseTool, BaseToolRegistry

TOP_LEVEL = {
    "nucleus": "AsyncPubSub OTurnNucleus Reducer Transition",
    "oturn": "Oturn start_global_litellm_prewarm get_global_litellm_prewarm_error",
    "runtime_config": "OturnConfig OturnProviderConfig OturnModelConfig OturnAgentConfig",
    "context": "Context",
    "model": (
        "Message UserContent ToolMessageContent MessageTextRenderable FunctionInfo ToolCallInfo "
        "Role ROLE_USER ROLE_ASSISTANT ROLE_SYSTEM ROLE_TOOL"
    ),
    "tools.base": "BaseTool BaseToolRegistry ToolResult",
    "tools.examples": "WeatherTool HostConfigTool EXAMPLE_TOOLS",
}

ELSEWHERE = {
    "model": "CompactRecord",
    "session_store": "SessionStore DEFAULT_META_DIRNAME SESSIONS_DIRNAME",
    "tools": (
        "BaseTool BaseToolRegistry ToolResult ToolType WeatherTool HostConfigTool EXAMPLE_TOOLS"
    ),
    "tools.base": "ToolType ToolStreamEvent ToolExecutionError",
    "tools.precheck": "ToolPrecheckResult STATUS_ALLOW STATUS_DENY STATUS_NEEDS_APPROVAL",
    "events": (
        "ev_message_sent ev_assistant_delta ev_assistant_reasoning_delta ev_tool_call_delta "
        "ev_tool_call_request ev_approval_request ev_choice_request ev_tool_output ev_tool_exit "
        "ev_assistant_final ev_run_aborted ev_error ev_debug_latency ev_tool_call_debug_delta "
        "ev_tool_call_debug_assembled ev_tool_call_debug_warning ev_tool_call_debug_stage "
        "AssistantDeltaEvent AssistantReasoningDeltaEvent ToolCallDeltaEvent "
        "ToolCallRequestEvent ToolOutputEvent ToolExitEvent ApprovalPrecheckPayload "
        "ApprovalRequestEvent ChoiceRequestEvent ErrorEvent AssistantFinalEvent "
        "MessageSentEvent RunAbortedEvent DebugLatencyEvent ToolCallDebugDeltaEvent "
        "ToolCallDebugWarningEvent ToolCallDebugAssembledEvent ToolCallDebugStageEvent "
        "ToolCallDebugEvent StreamOutEvent CoreEvent ToolEvent EventPayload"
    ),
    "llm_transport": (
        "LiteLLMTransport start_global_litellm_prewarm get_global_litellm_prewarm_error"
    ),
    "mcp_adapter": "MCPAdapter",
    "tool_runtime": "ToolRuntime",
    "tool_runtime_utils": (
        "parse_tool_arguments parse_tool_arguments_with_status summarize_tool_arguments "
        "JsonObject JsonValue ToolArgsSummary"
    ),
    "agent_stream_state": (
        "TurnStreamState ToolCallAccumulator ingest_stream_event reduce_stream_signal "
        "build_tool_records build_assembled_debug StreamSignal AssistantReasoningDeltaSignal "
        "AssistantDoneSignal ToolCallDeltaSignal ToolCallsDoneSignal AssistantDeltaTransition "
        "AssistantReasoningDeltaTransition AssistantDoneTransition ToolCallDeltaTransition "
        "ToolCallDeltaDroppedTransition ToolCallsDoneTransition NoopTransition SignalType "
        "StreamSignalUnion StreamTransitionUnion StreamTransition ReasoningDetail UsageData "
        "ToolFunctionPayload ToolRecord ToolCallDeltaPayload AssistantDeltaPayload "
        "AssistantReasoningDeltaPayload AssistantDonePayload EmptyPayload ReasoningExtra "
        "AssistantDeltaTransitionPayload AssistantDoneTransitionPayload "
        "ToolCallTransitionPayload EmptyTransitionPayload"
    ),
}


def named(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(module, name) for module, names in table.items() for name in names.split()]


@pytest.mark.parametrize(("module", "name"), named(TOP_LEVEL))
def test_a_top_level_name_is_that_of_its_module(module: str, name: str) -> None:
    home = importlib.import_module(f"oturn.{module}")
    assert getattr(oturn, name) is getattr(home, name)
    assert name in oturn.__all__
    assert name in dir(oturn)


def test_there_are_29_top_level_names_and_no_others() -> None:
    assert sorted(oturn.__all__) == sorted(name for _, name in named(TOP_LEVEL))
    assert len(oturn.__all__) == 29


@pytest.mark.parametrize(("module", "name"), named(ELSEWHERE))
def test_a_name_of_a_submodule_is_there(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(f"oturn.{module}"), name)


def test_the_constants_have_their_values() -> None:
    roles = (oturn.ROLE_USER, oturn.ROLE_ASSISTANT, oturn.ROLE_SYSTEM, oturn.ROLE_TOOL)
    assert roles == ("user", "assistant", "system", "tool")
    store = importlib.import_module("oturn.session_store")
    assert (store.DEFAULT_META_DIRNAME, store.SESSIONS_DIRNAME) == (".oturn", "sessions")
    precheck = importlib.import_module("oturn.tools.precheck")
    assert precheck.STATUS_ALLOW == "allow"
    assert precheck.STATUS_DENY == "deny"
    assert precheck.STATUS_NEEDS_APPROVAL == "needs_approval"
    kinds = importlib.import_module("oturn.tools").ToolType
    assert {kind.name: kind.value for kind in kinds} == {
        "SYNC": "sync",
        "ASYNC": "async",
        "STREAM": "stream",
    }
    assert sorted(importlib.import_module("oturn.tools").__all__) == sorted(
        ELSEWHERE["tools"].split()
    )


def test_what_a_program_calls_on_an_agent_is_there() -> None:
    waits = "run_queues add_pending_event resolve_pending_future_id get_pending_events aclose"
    does = (
        "enqueue_user_input_nowait pending_input_count get_input_queue_snapshot "
        "dequeue_user_input_nowait clear_user_input_queue request_cancel_tool subscribe "
        "unsubscribe get_tool_class set_tool_policy get_last_usage get_last_total_tokens "
        "get_tool_call_deltas get_tool_call_delta"
    )
    for name in waits.split():
        assert inspect.iscoroutinefunction(getattr(Oturn, name)), name
    for name in does.split():
        assert callable(getattr(Oturn, name))
        assert not inspect.iscoroutinefunction(getattr(Oturn, name)), name
    provider = OturnProviderConfig(" http://127.0.0.1:9/v1 ", "k")
    config = OturnConfig(
        " openai/m ", provider, OturnModelConfig(5, 0.5, 0, {"a": 1}), OturnAgentConfig()
    )
    agent = Oturn(Path(), config)
    assert agent.work_dir.is_absolute()
    assert agent.cfg is config
    assert (agent.model, agent.api_base, agent.api_key) == (
        "openai/m",
        "http://127.0.0.1:9/v1",
        "k",
    )
    assert (agent.max_tokens, agent.temperature, agent.extra_body, agent.timeout) == (
        5,
        0.5,
        {"a": 1},
        60.0,
    )
    assert agent.client is not None


def test_what_a_program_calls_on_a_context_is_there() -> None:
    names = (
        "history history_file session_id work_dir append_message append_compact restore load fork "
        "truncate_and_fork with_session adopt export_md_as_config import_md_as_config "
        "ensure_persisted aensure_persisted create_session continue_session resume_session "
        "fork_session list_sessions list_global_sessions set_tool_registry "
        "select_template_for_item set_mcp_client get_mcp_client mark_mcp_ready is_mcp_ready "
        "update_mcp_tool_state clear_mcp_tool_state get_mcp_tool_schemas "
        "get_mcp_tool_availability get_mcp_tool_definition get_mcp_status_message "
        "set_mcp_last_ping get_mcp_last_ping"
    )
    missing = [name for name in names.split() if not hasattr(Context, name)]
    assert missing == []
    names = (
        "restore append_item dump_history export_md_as_config import_md_as_config "
        "ensure_persisted aensure_persisted sessions_dir ensure_sessions_dir global_sessions_dir "
        "ensure_global_sessions_dir history_candidates session_exists create_for_workdir "
        "continue_in_workdir resolve_session_path list_sessions list_global_sessions"
    )
    missing = [name for name in names.split() if not hasattr(SessionStore, name)]
    assert missing == []


def test_what_a_tool_may_define_is_there() -> None:
    abstract = "name description schema get_schema execute validate_arguments get_preview"
    assert BaseTool.__abstractmethods__ == set(abstract.split())
    optional = (
        "get_precheck get_request_template get_response_template user_input_hook on_denial "
        "tool_type requires_permission is_destructive run format_result _request_choice"
    )
    assert [name for name in optional.split() if not hasattr(BaseTool, name)] == []
    registry = "auto_register_tool get_tool_class list_tools get_schemas"
    assert [name for name in registry.split() if not hasattr(BaseToolRegistry, name)] == []


def test_session_files_name_their_records_by_these_paths() -> None:
    for record, fields in ((Message, 9), (CompactRecord, 3)):
        assert issubclass(record, BaseModel)
        assert record.__module__ == "oturn.model"
        assert len(record.model_fields) == fields
    assert list(Message.model_fields) == [
        "role",
        "content",
        "name",
        "tool_call_id",
        "tool_calls",
        "usage",
        "reasoning_content",
        "model_name",
        "extra",
    ]
    assert list(UserContent.model_fields)[:5] == [
        "user_name",
        "date",
        "content",
        "email",
        "tool_contents",
    ]


def test_records_of_one_kind_have_their_events_and_states_for_themselves() -> None:
    one: Transition[int, str] = Transition(1)
    other: Transition[int, str] = Transition(1)
    assert one == other
    one.events.append("x")
    assert other.events == []
    with pytest.raises(AttributeError):
        one.more = 1  # type: ignore[attr-defined] # slots
    assert ToolRuntime.__slots__
    assert TurnStreamState().tool_calls_by_id is not TurnStreamState().tool_calls_by_id
    assert ToolResult("success").success
    assert not ToolResult("done").success

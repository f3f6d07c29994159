"""What `Oturn` is told at its start. Data only: nothing is validated or looked up here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oturn.transport.think_tags import ThinkTags
from oturn.turn import MAX_BROKEN_ANSWERS

#: Events that a subscriber without a bound of its own may be behind before it loses some.
EVENT_BACKLOG = 100_000

#: Seconds that a subscriber has to take the future of a question before policy answers it.
ANSWER_GRACE = 0.5


@dataclass(frozen=True)
class OturnProviderConfig:
    """Where the model is. `extra_query_params` are added to the URL of every request."""

    api_base: str = ""
    api_key: str | None = None
    extra_headers: dict[str, str] | None = None
    extra_query_params: dict[str, str] | None = None
    debug_request: bool = False
    debug_sse: bool = False
    debug_tools: bool = False


@dataclass(frozen=True)
class OturnModelConfig:
    """How the model is asked. `timeout` in seconds, None or 0 for 60; `extra_body` is merged
    into the top level of the request body. `text_tool_calls`: tool calls that the model writes
    as text are run; `think_tags`: see `oturn.transport.think_tags` ("auto", "opened", "off").
    Both hold for OpenAI-compatible servers."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    timeout: float | None = None
    extra_body: dict[str, Any] | None = None
    text_tool_calls: bool = True
    think_tags: ThinkTags = "auto"


@dataclass(frozen=True)
class OturnAgentConfig:
    """`max_steps`: model requests allowed per user input. `answer_grace`: seconds.
    `max_broken_answers`: answers in a row with calls that cannot be understood which the model
    is told about; with one more the turn ends. `event_backlog`: how many events a subscriber
    may be behind, unless its own queue is bounded."""

    max_steps: int = 100
    user_name: str = "User"
    email: str | None = None
    answer_grace: float = ANSWER_GRACE
    max_broken_answers: int = MAX_BROKEN_ANSWERS
    event_backlog: int = EVENT_BACKLOG


@dataclass(frozen=True)
class OturnConfig:
    """`model` is `provider/model`; `tool_choice` is sent unless None, when there are tools."""

    model: str
    provider: OturnProviderConfig
    model_config: OturnModelConfig
    agent_config: OturnAgentConfig
    tool_choice: str | dict[str, Any] | None = "auto"
    debug_loop: bool = False

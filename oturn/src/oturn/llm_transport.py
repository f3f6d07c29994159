"""`oturn.llm_transport`, where programs of 0.1 look for LiteLLM. Nothing else; imports no LiteLLM."""

from __future__ import annotations

from oturn.transport.litellm import (
    LiteLLMTransport,
    get_global_litellm_prewarm_error,
    start_global_litellm_prewarm,
)

__all__ = [
    "LiteLLMTransport",
    "get_global_litellm_prewarm_error",
    "start_global_litellm_prewarm",
]

"""The place of the LiteLLM transport, which is not built yet; OpenAI-compatible servers need none.

The two functions are kept so that programs that call them at their start go on to run.
"""

from __future__ import annotations


def start_global_litellm_prewarm(*, blocking: bool = False, timeout: float | None = None) -> bool:  # noqa: ARG001
    """Whether LiteLLM is ready: it is not used, so never. Starts and imports nothing."""
    return False


def get_global_litellm_prewarm_error() -> str | None:
    """The error of the last failed import: there was none."""
    return None

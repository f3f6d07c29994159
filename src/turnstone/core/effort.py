"""How a server is told how much its model shall reason. Pure.

There are two ways, and most servers take one of them: a field of the request (OpenAI, vLLM,
Ollama), and an argument of the chat template (llama.cpp, vLLM, SGLang). Both are sent; what a
server refuses is left out by the transport. Where nobody has asked for an effort nothing is
sent, and the model's own default holds.
"""

from __future__ import annotations

from typing import Any

from turnstone.core.events import SettingsChanged

#: What a person writes for no effort at all: the model does as it does by itself.
NONE = "none"


def chosen(settings: SettingsChanged, default: str) -> str:
    """The effort of a conversation, empty for none; `default` where nobody has set it there."""
    return default if settings.effort is None else settings.effort


def params(effort: str) -> dict[str, Any]:
    """Of a request that asks for this effort; none for none."""
    if not effort:
        return {}
    return {"reasoning_effort": effort, "chat_template_kwargs": {"reasoning_effort": effort}}

"""From a model string to the server and the name it knows the model by. Pure."""

from __future__ import annotations

from oturn.errors import ConfigError

#: Prefixes of `provider/model` that name a provider and are not sent. Any other first part
#: (`Qwen/Qwen3-8B`) belongs to the model's name. To send a name that begins with one of these,
#: write it twice: `openai/openai/gpt-oss-20b`.
PROVIDERS = frozenset(
    {
        "anyscale",
        "custom_openai",
        "deepinfra",
        "deepseek",
        "fireworks_ai",
        "groq",
        "hosted_vllm",
        "litellm_proxy",
        "llamafile",
        "lm_studio",
        "mistral",
        "nvidia_nim",
        "ollama",
        "ollama_chat",
        "openai",
        "openai_like",
        "openrouter",
        "perplexity",
        "together_ai",
        "vllm",
        "xai",
    }
)


def server_and_model(model: str, api_base: str) -> tuple[str, str]:
    """(base URL, model as sent). Raises ConfigError when no server is named."""
    provider, slash, name = model.partition("/")
    sent = name if slash and provider in PROVIDERS else model
    if not api_base:
        raise ConfigError(
            f"It is not known where the model {model!r} is: set api_base of OturnProviderConfig "
            "to the base URL of an OpenAI-compatible server, like http://localhost:8000/v1."
        )
    return api_base, sent

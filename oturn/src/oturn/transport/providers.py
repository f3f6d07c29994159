"""The providers whose OpenAI-compatible endpoints are known: a table, and nothing that acts. Pure.

Every row is taken from the provider's own public documentation, which it names. A provider
that is not here is asked through LiteLLM, or by setting `api_base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provider:
    """One row. `name` is the prefix in `name/model`, and is not sent.

    `key_env` and `base_env`: environment variables, the first that is set counts. A provider
    that `needs_key` is hosted; the others are programs on one's own machine. `root`: the path
    of the compatible endpoint, added to an address that has no path. `names_models`: catalogues
    of other providers begin names of models with this prefix (`anthropic/claude-…`), so that
    it is kept when `api_base` says that another server is asked.
    """

    name: str
    base_url: str
    source: str
    key_env: tuple[str, ...] = ()
    base_env: tuple[str, ...] = ()
    needs_key: bool = True
    root: str = ""
    names_models: bool = False


_ROWS = (
    Provider(
        "openai",
        "https://api.openai.com/v1",
        "https://platform.openai.com/docs/api-reference",
        ("OPENAI_API_KEY",),
        ("OPENAI_BASE_URL", "OPENAI_API_BASE"),
    ),
    Provider(
        "anthropic",
        "https://api.anthropic.com/v1",
        "https://platform.claude.com/docs/en/api/openai-sdk",
        ("ANTHROPIC_API_KEY",),
        names_models=True,
    ),
    Provider(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "https://ai.google.dev/gemini-api/docs/openai",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
    Provider(
        "deepseek",
        "https://api.deepseek.com",
        "https://api-docs.deepseek.com/",
        ("DEEPSEEK_API_KEY",),
    ),
    Provider(
        "mistral",
        "https://api.mistral.ai/v1",
        "https://docs.mistral.ai/api/",
        ("MISTRAL_API_KEY",),
    ),
    Provider(
        "groq",
        "https://api.groq.com/openai/v1",
        "https://console.groq.com/docs/openai",
        ("GROQ_API_KEY",),
    ),
    Provider(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "https://openrouter.ai/docs/quickstart",
        ("OPENROUTER_API_KEY",),
    ),
    Provider(
        "together_ai",
        "https://api.together.ai/v1",
        "https://docs.together.ai/docs/inference/openai-compatibility",
        ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"),
    ),
    Provider(
        "fireworks_ai",
        "https://api.fireworks.ai/inference/v1",
        "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
        ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
    ),
    Provider("xai", "https://api.x.ai/v1", "https://docs.x.ai/api/integrations", ("XAI_API_KEY",)),
    Provider(
        "perplexity",
        "https://api.perplexity.ai",
        "https://docs.perplexity.ai/guides/chat-completions-guide",
        ("PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"),
    ),
    Provider(
        "deepinfra",
        "https://api.deepinfra.com/v1/openai",
        "https://deepinfra.com/docs/advanced/openai_api",
        ("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"),
    ),
    Provider(
        "nvidia_nim",
        "https://integrate.api.nvidia.com/v1",
        "https://docs.api.nvidia.com/nim/reference/llm-apis",
        ("NVIDIA_NIM_API_KEY", "NVIDIA_API_KEY"),
    ),
    Provider(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "https://inference-docs.cerebras.ai/resources/openai",
        ("CEREBRAS_API_KEY",),
    ),
    Provider(
        "moonshot",
        "https://api.moonshot.ai/v1",
        "https://platform.kimi.ai/docs/api/chat",
        ("MOONSHOT_API_KEY",),
    ),
    # Programs on one's own machine, at the address where they listen unless told otherwise.
    Provider(
        "ollama",
        "http://localhost:11434/v1",
        "https://docs.ollama.com/api/openai-compatibility",
        ("OLLAMA_API_KEY",),
        ("OLLAMA_API_BASE",),
        needs_key=False,
        root="/v1",
    ),
    Provider(
        "ollama_chat",
        "http://localhost:11434/v1",
        "https://docs.ollama.com/api/openai-compatibility",
        ("OLLAMA_API_KEY",),
        ("OLLAMA_API_BASE",),
        needs_key=False,
        root="/v1",
    ),
    Provider(
        "lm_studio",
        "http://localhost:1234/v1",
        "https://lmstudio.ai/docs/developer/openai-compat",
        ("LM_STUDIO_API_KEY",),
        ("LM_STUDIO_API_BASE",),
        needs_key=False,
    ),
    Provider(
        "vllm",
        "http://localhost:8000/v1",
        "https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html",
        ("HOSTED_VLLM_API_KEY",),
        ("HOSTED_VLLM_API_BASE",),
        needs_key=False,
    ),
    Provider(
        "hosted_vllm",
        "http://localhost:8000/v1",
        "https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html",
        ("HOSTED_VLLM_API_KEY",),
        ("HOSTED_VLLM_API_BASE",),
        needs_key=False,
    ),
    Provider(
        "llamafile",
        "http://localhost:8080/v1",
        "https://github.com/mozilla-ai/llamafile",
        ("LLAMAFILE_API_KEY",),
        ("LLAMAFILE_API_BASE",),
        needs_key=False,
    ),
    Provider(
        "litellm_proxy",
        "http://localhost:4000",
        "https://docs.litellm.ai/docs/providers/litellm_proxy",
        ("LITELLM_PROXY_API_KEY",),
        ("LITELLM_PROXY_API_BASE",),
        needs_key=False,
    ),
)

KNOWN: Mapping[str, Provider] = {row.name: row for row in _ROWS}

#: Prefixes that mean "any OpenAI-compatible server": they say nothing about where it is.
ANONYMOUS = frozenset({"anyscale", "custom_openai", "openai_like"})

#: Providers with protocols of their own, which no `api_base` makes compatible: always LiteLLM.
FOREIGN = frozenset({"azure", "bedrock", "sagemaker", "vertex_ai", "watsonx"})

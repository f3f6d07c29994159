"""Settings as the rest of the code sees them: typed, frozen, with the secrets masked.

Says nothing about where values come from or which are allowed: the rows in `rows` do, and a
test holds the two together. Nothing here reads a file, a variable or a flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

ReasoningEffort: TypeAlias = Literal["low", "medium", "high"]
LogLevel: TypeAlias = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LogFormat: TypeAlias = Literal["text", "json"]
TerminalTheme: TypeAlias = Literal["auto", "dark", "light"]
Role: TypeAlias = Literal["read", "approve", "full"]
WebSearchService: TypeAlias = Literal["tavily", "searxng", "provider", "auto"]
SourceKind: TypeAlias = Literal["command line", "environment", "file", "default"]

#: Shown in place of a secret; of one length, so that it tells nothing about the secret's own.
MASK: Final = "********"


class Secret:
    """A text that is shown to nobody by accident. An empty one is false, and means "none"."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that must send or compare it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __str__(self) -> str:
        return MASK if self._text else ""

    def __repr__(self) -> str:
        return f"Secret({str(self)!r})"


class Source(msgspec.Struct, frozen=True):
    """Where a value was set: the flag, the variable, or the file as `path:line`."""

    kind: SourceKind
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}" if self.where else self.kind


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str  # without a closing slash
    api_key: Secret
    tavily_key: Secret
    max_concurrent: int  # requests at a time; 0: any number


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    name: str  # empty: ask the endpoint
    temperature: float
    max_tokens: int
    reasoning_effort: ReasoningEffort
    context_window: int  # tokens; see Settings.given
    price_input: float  # of a million tokens
    price_output: float
    vision: bool  # takes images


class RoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Names of models, by what they are for; empty: no other than without it."""

    chat: str
    agent: str
    title: str
    compaction: str
    extraction: str


class NamedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of [models.<name>]."""

    name: str
    model: str  # the endpoint's id for it
    base_url: str  # without a closing slash; empty: that of [api]
    api_key: Secret
    context_window: int  # tokens; 0: ask the endpoint
    max_concurrent: int  # requests at a time; 0: any number
    price_input: float  # of a million tokens
    price_output: float
    vision: bool  # takes images


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    persona: str
    instructions: str
    retention_days: int  # 0: for ever
    compact_max_tokens: int
    auto_compact_pct: float  # a fraction, 0.8 and not 80
    titles: bool


class ToolSettings(msgspec.Struct, frozen=True, kw_only=True):
    timeout: int  # seconds
    truncation: int  # characters; 0: half the context window
    agent_max_turns: int  # negative: no limit of its own
    agent_depth: int
    skip_permissions: bool
    auto_approve_tools: tuple[str, ...]
    max_steps: int
    turn_timeout: int  # seconds of work; 0: no limit
    turn_max_tokens: int  # 0: no limit
    workspace: Path  # absolute


class BudgetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of every new workstream; 0: no limit."""

    tokens: int
    seconds: float  # of work
    tool_calls: int
    money: float


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int  # 0: any free one
    workstream_idle_timeout: int  # minutes; 0: never
    max_workstreams: int
    queue: bool
    allowed_hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    max_connections: int
    rate_limit: int  # requests of one token in a minute; 0: no limit
    anonymous_rate_limit: int  # the same of one address, without a token


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    labels: tuple[str, ...]


class BridgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    server_url: str  # without a closing slash
    node_id: str  # empty: made from the host name
    approval_timeout: float  # seconds; 0: no limit
    heartbeat_ttl: int  # seconds
    log_level: LogLevel


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int
    user: str
    password: Secret
    prefix: str
    db: int
    tls: bool
    tls_ca_file: str  # empty, as the next two: none
    tls_cert_file: str
    tls_key_file: str
    sentinels: tuple[str, ...]  # each host:port; empty: Redis is where host and port say
    sentinel_name: str
    sentinel_user: str
    sentinel_password: Secret
    wait_replicas: int
    wait_ms: int


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    port: int  # 0: any free one
    url: str  # empty: no console
    poll_interval: float  # seconds
    log_level: LogLevel


class AuthToken(msgspec.Struct, frozen=True, kw_only=True):
    """`value` is the token, or `sha256:` and its digest in hex."""

    value: Secret
    role: Role = "read"
    name: str = ""


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    enabled: bool
    token: Secret
    tokens: tuple[AuthToken, ...]


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    path: Path  # absolute
    url: Secret  # empty: everything is in the file


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True):
    allow: tuple[str, ...]
    ask: tuple[str, ...]
    deny: tuple[str, ...]


class SandboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    required: bool


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    allow_private: tuple[str, ...]  # networks, addresses, hosts, `.suffix`
    ports: tuple[str, ...]
    search: WebSearchService
    searxng_url: str  # without a closing slash; empty: none
    search_model: str  # empty: the model of the node


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    format: LogFormat


class TerminalSettings(msgspec.Struct, frozen=True, kw_only=True):
    theme: TerminalTheme


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True):
    public: bool


class TracesSettings(msgspec.Struct, frozen=True, kw_only=True):
    endpoint: str  # empty: nowhere
    contents: bool


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True):
    auto_approve: bool
    slots: int
    node_lost_after: float
    signing_secret: Secret
    signing_file: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one program, each with its source; made by `load_settings` only."""

    api: ApiSettings
    model: ModelSettings
    roles: RoleSettings
    session: SessionSettings
    tools: ToolSettings
    budget: BudgetSettings
    server: ServerSettings
    node: NodeSettings
    bridge: BridgeSettings
    redis: RedisSettings
    console: ConsoleSettings
    auth: AuthSettings
    store: StoreSettings
    policy: PolicySettings
    sandbox: SandboxSettings
    web: WebSettings
    log: LogSettings
    terminal: TerminalSettings
    metrics: MetricsSettings
    traces: TracesSettings
    queue: QueueSettings
    models: tuple[NamedModel, ...]  # those of [models.<name>]
    program: str
    file: Path | None  # the configuration file that was read, if there was one
    sources: Mapping[str, Source]  # by "section.key"
    warnings: tuple[str, ...]  # one sentence each, for the program to print

    def source(self, name: str) -> Source:
        """Where the value of `name` ("section.key") was set. KeyError if there is no such name."""
        return self.sources[name]

    def given(self, name: str) -> bool:
        """Whether somebody set `name`: a "section.key", or any key of a "section".

        KeyError if there is no such name.
        """
        within = [s for n, s in self.sources.items() if name in (n, n.rpartition(".")[0])]
        if not within:
            raise KeyError(name)
        return any(source.kind != "default" for source in within)

    def value(self, name: str) -> object:
        """The value of `name` ("section.key"), for code that walks through all of them.

        A key of a named model is "models.<name>.key".
        """
        section, _, key = name.rpartition(".")
        named = {f"models.{model.name}": model for model in self.models}
        found: object = getattr(named.get(section) or getattr(self, section), key)
        return found

    def secrets(self) -> list[str]:
        """Every secret among the values, to be masked wherever it turns up."""
        values = [self.value(name) for name in self.sources]
        tokens = [token.value for token in self.auth.tokens]
        return [one.reveal() for one in [*values, *tokens] if isinstance(one, Secret) and one]

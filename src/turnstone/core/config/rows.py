"""The settings of Turnstone, as data: one row each, in the order of the documentation.

Nothing here computes. Names, flags and defaults are those of turnstone 0.2, except that both
web servers listen on loopback and that tokens are asked for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from turnstone.core.config.table import (
    ATTACH,
    BACKUP,
    BRIDGE,
    CHAT,
    CLUSTER,
    CONSOLE,
    ERASE,
    EVAL,
    EXPORT,
    IMPORT,
    QUEUE,
    RESTORE,
    SERVER,
    SESSIONS,
    SIM,
    TOKENS,
    UP,
    Setting,
)

_ENGINE: Final = (CHAT, UP, SERVER)
_NODE: Final = (UP, SERVER)
_ASKS_NODE: Final = (UP, ERASE, SERVER)
_STORE: Final = (CHAT, UP, ERASE, BACKUP, RESTORE, IMPORT, EXPORT, SESSIONS, SERVER)
_STATE: Final = (*_STORE, ATTACH, CLUSTER, TOKENS)
_MODEL: Final = (CHAT, UP, SERVER, EVAL)
_REDIS: Final = (UP, QUEUE, CLUSTER, SERVER, BRIDGE, CONSOLE, SIM)
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_TOP_PORT: Final = 65535

_MAX_CONCURRENT: Final = (
    "The most requests that the endpoint is sent at a time, taken in turns by the workstreams;"
    " 0 is no limit."
)
_PRICE_INPUT: Final = "What a million tokens of what is sent costs, in the currency of budgets."
_PRICE_OUTPUT: Final = "What a million tokens of what is answered costs, in the same currency."
_VISION: Final = (
    "Whether it takes images: those that `read_file` reads, and that come with a message."
)

_API: Final = (
    Setting(
        section="api",
        key="base_url",
        kind="url",
        default="http://localhost:8000/v1",
        flag="--base-url",
        variables=("LLM_BASE_URL",),
        programs=_MODEL,
        meaning="Where the model answers: the base URL of an OpenAI-compatible API.",
    ),
    Setting(
        section="api",
        key="api_key",
        kind="secret",
        default="",
        flag="--api-key",
        variables=("OPENAI_API_KEY",),
        programs=_MODEL,
        flag_on=_ENGINE,
        meaning="Key for the model's API.",
    ),
    Setting(
        section="api",
        key="tavily_key",
        kind="secret",
        default="",
        variables=("TAVILY_API_KEY",),
        programs=_ENGINE,
        meaning="Key of the Tavily search API, for the web_search tool.",
    ),
    Setting(
        section="api",
        key="max_concurrent",
        kind="integer",
        default=0,
        minimum=0,
        programs=_ENGINE,
        meaning=_MAX_CONCURRENT,
    ),
)

_MODEL_ROWS: Final = (
    Setting(
        section="model",
        key="name",
        kind="text",
        default="",
        flag="--model",
        programs=_MODEL,
        meaning="Id of the model; when empty, the first one that the endpoint lists.",
    ),
    Setting(
        section="model",
        key="temperature",
        kind="number",
        default=0.5,
        default_on=((EVAL, 0.7),),
        minimum=0,
        maximum=2,
        flag="--temperature",
        programs=_MODEL,
        meaning="Sampling temperature.",
    ),
    Setting(
        section="model",
        key="max_tokens",
        kind="integer",
        default=32768,
        minimum=1,
        flag="--max-tokens",
        programs=_MODEL,
        meaning="The most tokens that one answer of the model may have.",
    ),
    Setting(
        section="model",
        key="reasoning_effort",
        kind="choice",
        default="medium",
        choices=("low", "medium", "high"),
        flag="--reasoning-effort",
        programs=_MODEL,
        meaning="How much the model is asked to reason; it is told so only where this is set.",
    ),
    Setting(
        section="model",
        key="context_window",
        kind="integer",
        default=131072,
        minimum=1,
        flag="--context-window",
        programs=_MODEL,
        meaning=(
            "Size of the model's context window, in tokens; where nobody sets it, not even to its"
            " default, the endpoint is asked, and where that does not say it counts as unknown."
        ),
    ),
    Setting(
        section="model",
        key="price_input",
        kind="number",
        default=0.0,
        minimum=0,
        programs=_ENGINE,
        meaning=_PRICE_INPUT,
    ),
    Setting(
        section="model",
        key="price_output",
        kind="number",
        default=0.0,
        minimum=0,
        programs=_ENGINE,
        meaning=_PRICE_OUTPUT,
    ),
    Setting(
        section="model",
        key="vision",
        kind="boolean",
        default=False,
        programs=_ENGINE,
        meaning=_VISION,
    ),
)

_ROLES: Final = (
    Setting(
        section="roles",
        key="chat",
        kind="text",
        default="",
        programs=_ENGINE,
        meaning="Name of the model for conversations; when empty, that of [api] and [model].",
    ),
    Setting(
        section="roles",
        key="agent",
        kind="text",
        default="",
        programs=_ENGINE,
        meaning="Name of the model for sub-agents; when empty, that of the workstream above.",
    ),
    Setting(
        section="roles",
        key="title",
        kind="text",
        default="",
        programs=_ENGINE,
        meaning="Name of the model that finds titles; when empty, that of the workstream.",
    ),
    Setting(
        section="roles",
        key="compaction",
        kind="text",
        default="",
        programs=_ENGINE,
        meaning="Name of the model that sums up what is compacted; when empty, the workstream's.",
    ),
    Setting(
        section="roles",
        key="extraction",
        kind="text",
        default="",
        programs=_ENGINE,
        meaning="Name of the model that reads long texts for tools; when empty, the workstream's.",
    ),
)

#: The section of the models by name: [models.big] has the keys below, for a model "big".
MODELS: Final = "models"

#: What is set of each model that has a name. The section is a place for that name.
MODEL_KEYS: Final = (
    Setting(
        section=MODELS,
        key="model",
        kind="text",
        default="",
        programs=_ENGINE,
        meaning="Id of the model at its endpoint; it must be given.",
    ),
    Setting(
        section=MODELS,
        key="base_url",
        kind="url",
        default="",
        programs=_ENGINE,
        meaning="Where it answers; when empty, at [api] base_url, with the key from there.",
    ),
    Setting(
        section=MODELS,
        key="api_key",
        kind="secret",
        default="",
        programs=_ENGINE,
        meaning="Key for that endpoint; that of [api] is sent to no other.",
    ),
    Setting(
        section=MODELS,
        key="context_window",
        kind="integer",
        default=0,
        minimum=0,
        programs=_ENGINE,
        meaning="Size of its context window, in tokens; 0 asks the endpoint.",
    ),
    Setting(
        section=MODELS,
        key="max_concurrent",
        kind="integer",
        default=0,
        minimum=0,
        programs=_ENGINE,
        meaning=f"{_MAX_CONCURRENT[:-1]}, and of several for one endpoint the smallest holds.",
    ),
    Setting(
        section=MODELS,
        key="price_input",
        kind="number",
        default=0.0,
        minimum=0,
        programs=_ENGINE,
        meaning=_PRICE_INPUT,
    ),
    Setting(
        section=MODELS,
        key="price_output",
        kind="number",
        default=0.0,
        minimum=0,
        programs=_ENGINE,
        meaning=_PRICE_OUTPUT,
    ),
    Setting(
        section=MODELS,
        key="vision",
        kind="boolean",
        default=False,
        programs=_ENGINE,
        meaning=_VISION,
    ),
)

_SESSION: Final = (
    Setting(
        section="session",
        key="persona",
        kind="text",
        default="",
        flag="--persona",
        programs=_ENGINE,
        meaning="Identity given to the model as an argument of its chat template.",
    ),
    Setting(
        section="session",
        key="instructions",
        kind="text",
        default="",
        flag="--instructions",
        programs=_ENGINE,
        meaning="Text added to the instructions that the model gets.",
    ),
    Setting(
        section="session",
        key="retention_days",
        kind="integer",
        default=90,
        minimum=0,
        flag="--session-retention-days",
        metavar="DAYS",
        programs=_ENGINE,
        meaning="Days without a record after which a workstream is erased; 0 keeps all for ever.",
    ),
    Setting(
        section="session",
        key="compact_max_tokens",
        kind="integer",
        default=32768,
        minimum=1,
        flag="--compact-max-tokens",
        programs=_ENGINE,
        meaning="The most tokens that the account of a compacted conversation may have; an eighth of what the window leaves for messages, if that is less.",
    ),
    Setting(
        section="session",
        key="auto_compact_pct",
        kind="number",
        default=0.8,
        minimum=0.01,
        maximum=1,
        flag="--auto-compact-pct",
        metavar="FRACTION",
        programs=_ENGINE,
        meaning="Fraction of the context window at which a conversation is compacted; sooner where the answer needs the room.",
    ),
    Setting(
        section="session",
        key="titles",
        kind="boolean",
        default=True,
        programs=_ENGINE,
        meaning="Whether the model is asked for a title of each conversation.",
    ),
)

_TOOLS: Final = (
    Setting(
        section="tools",
        key="timeout",
        kind="integer",
        default=30,
        minimum=1,
        flag="--tool-timeout",
        metavar="SECONDS",
        programs=_ENGINE,
        meaning="Seconds after which a tool call is stopped.",
    ),
    Setting(
        section="tools",
        key="truncation",
        kind="integer",
        default=0,
        minimum=0,
        flag="--tool-truncation",
        metavar="CHARACTERS",
        programs=_ENGINE,
        meaning="Characters kept of a tool's output; 0 keeps half the context window's worth.",
    ),
    Setting(
        section="tools",
        key="agent_max_turns",
        kind="integer",
        default=-1,
        flag="--agent-max-turns",
        programs=_ENGINE,
        meaning=(
            "Requests to its model that a sub-agent may make before it is asked for its answer; a"
            " negative number is the limit of every turn."
        ),
    ),
    Setting(
        section="tools",
        key="agent_depth",
        kind="integer",
        default=1,
        minimum=0,
        programs=_ENGINE,
        meaning=(
            "How many sub-agents may stand below each other: 1 lets a sub-agent start no other,"
            " 0 lets nobody start one."
        ),
    ),
    Setting(
        section="tools",
        key="skip_permissions",
        kind="boolean",
        default=False,
        flag="--skip-permissions",
        programs=_ENGINE,
        meaning=(
            "Run tool calls without asking where commands are confined by a sandbox;"
            " paths outside the workspace are asked about all the same."
        ),
    ),
    Setting(
        section="tools",
        key="auto_approve_tools",
        kind="list",
        default=(),
        flag="--auto-approve",
        metavar="TOOLS",
        programs=_ENGINE,
        meaning=(
            "Names of the tools that run inside the workspace without being asked about;"
            " commands only where they are confined by a sandbox."
        ),
    ),
    Setting(
        section="tools",
        key="max_steps",
        kind="integer",
        default=100,
        minimum=1,
        flag="--max-steps",
        programs=_ENGINE,
        meaning="The most requests to the model that one turn may make.",
    ),
    Setting(
        section="tools",
        key="turn_timeout",
        kind="integer",
        default=0,
        minimum=0,
        flag="--turn-timeout",
        metavar="SECONDS",
        programs=_ENGINE,
        meaning=(
            "Seconds of work after which a turn is stopped, the time not counted in which a"
            " person is asked; 0 is no limit."
        ),
    ),
    Setting(
        section="tools",
        key="turn_max_tokens",
        kind="integer",
        default=0,
        minimum=0,
        flag="--turn-max-tokens",
        metavar="TOKENS",
        programs=_ENGINE,
        meaning=(
            "Tokens of all its requests together, as the endpoint counts them, at which a turn"
            " is stopped; 0 is no limit."
        ),
    ),
    Setting(
        section="tools",
        key="workspace",
        kind="path",
        default=None,
        derived="the current directory",
        flag="--workspace",
        metavar="DIRECTORY",
        programs=_ENGINE,
        meaning="The directory in which tools work and may write.",
    ),
)

_BUDGET: Final = (
    Setting(
        section="budget",
        key="tokens",
        kind="integer",
        default=0,
        minimum=0,
        flag="--budget-tokens",
        metavar="TOKENS",
        programs=_ENGINE,
        meaning=(
            "Tokens that a new workstream may use in all its requests, with all sub-agents below"
            " it; 0 is no limit."
        ),
    ),
    Setting(
        section="budget",
        key="seconds",
        kind="number",
        default=0.0,
        minimum=0,
        flag="--budget-seconds",
        metavar="SECONDS",
        programs=_ENGINE,
        meaning=(
            "Seconds that may be worked on it, sub-agents' added up, the time not counted in"
            " which a person is asked; 0 is no limit."
        ),
    ),
    Setting(
        section="budget",
        key="tool_calls",
        kind="integer",
        default=0,
        minimum=0,
        flag="--budget-tool-calls",
        metavar="CALLS",
        programs=_ENGINE,
        meaning="Tool calls that it may make, with its sub-agents; 0 is no limit.",
    ),
    Setting(
        section="budget",
        key="money",
        kind="number",
        default=0.0,
        minimum=0,
        flag="--budget-money",
        metavar="AMOUNT",
        programs=_ENGINE,
        meaning=(
            "Money that it may cost, in the currency of the models' prices, with its sub-agents;"
            " 0 is no limit."
        ),
    ),
)

_SERVER: Final = (
    Setting(
        section="server",
        key="host",
        kind="text",
        default="127.0.0.1",
        flag="--host",
        programs=_ASKS_NODE,
        meaning="Address on which the server listens; any but a loopback address needs a token.",
    ),
    Setting(
        section="server",
        key="port",
        kind="integer",
        default=8080,
        minimum=0,
        maximum=_TOP_PORT,
        flag="--port",
        programs=_ASKS_NODE,
        meaning="Port on which the server listens; 0 takes any free one.",
    ),
    Setting(
        section="server",
        key="workstream_idle_timeout",
        kind="integer",
        default=120,
        minimum=0,
        flag="--workstream-idle-timeout",
        metavar="MINUTES",
        programs=_NODE,
        meaning="Minutes after which an idle workstream leaves memory, to wake when it is needed; 0 is never.",
    ),
    Setting(
        section="server",
        key="max_workstreams",
        kind="integer",
        default=10000,
        minimum=1,
        programs=_NODE,
        meaning="The most workstreams that are in memory at a time; the idle ones make room.",
    ),
    Setting(
        section="server",
        key="queue",
        kind="boolean",
        default=False,
        programs=_NODE,
        meaning="Take work from the Redis queue in this process, without a bridge beside it.",
    ),
    Setting(
        section="server",
        key="allowed_hosts",
        kind="list",
        default=(),
        programs=_NODE,
        meaning="Further names under which browsers may reach the server, as in the Host header.",
    ),
    Setting(
        section="server",
        key="trusted_proxies",
        kind="list",
        default=(),
        programs=_NODE,
        meaning=(
            "Addresses and networks of proxies before the server, which is told by them"
            " (X-Forwarded-For, X-Forwarded-Proto) who the client is and whether it came by TLS."
        ),
    ),
    Setting(
        section="server",
        key="max_connections",
        kind="integer",
        default=10000,
        minimum=1,
        programs=_NODE,
        meaning="The most connections at a time; a further one is answered with 503.",
    ),
    Setting(
        section="server",
        key="rate_limit",
        kind="integer",
        default=12000,
        minimum=0,
        programs=_NODE,
        meaning="The most requests of one token in a minute, a further one is answered with 429; 0 is no limit.",
    ),
    Setting(
        section="server",
        key="anonymous_rate_limit",
        kind="integer",
        default=1200,
        minimum=0,
        programs=_NODE,
        meaning="The same of one address, for requests without a token that the node knows.",
    ),
)

_LABELS: Final = (
    Setting(
        section="node",
        key="labels",
        kind="list",
        default=(),
        flag="--label",
        metavar="LABELS",
        programs=(UP, SERVER, BRIDGE),
        meaning="What this node is or has, each key or key=value: queued work may require it.",
    ),
)

_BRIDGE: Final = (
    Setting(
        section="bridge",
        key="server_url",
        kind="url",
        default="http://localhost:8080",
        flag="--server-url",
        programs=(BRIDGE,),
        meaning="Base URL of the server that the bridge feeds.",
    ),
    Setting(
        section="bridge",
        key="node_id",
        kind="text",
        default="",
        flag="--node-id",
        programs=(UP, SERVER, BRIDGE),
        flag_on=(BRIDGE,),
        meaning="Name of this node in the cluster; when empty, the host name and four digits.",
    ),
    Setting(
        section="bridge",
        key="approval_timeout",
        kind="number",
        default=300.0,
        minimum=0,
        flag="--approval-timeout",
        metavar="SECONDS",
        programs=(UP, SERVER, BRIDGE),
        flag_on=(BRIDGE,),
        meaning="Seconds for which a question to the sender of queued work waits; 0 is no limit.",
    ),
    Setting(
        section="bridge",
        key="heartbeat_ttl",
        kind="integer",
        default=60,
        minimum=1,
        flag="--heartbeat-ttl",
        metavar="SECONDS",
        programs=(UP, SERVER, BRIDGE),
        flag_on=(BRIDGE,),
        meaning="Seconds without a heartbeat after which a node counts as gone.",
    ),
    Setting(
        section="bridge",
        key="log_level",
        kind="choice",
        default="INFO",
        choices=_LEVELS,
        flag="--log-level",
        programs=(BRIDGE,),
        meaning="The least level of what the bridge logs.",
    ),
)

_REDIS_ROWS: Final = (
    Setting(
        section="redis",
        key="host",
        kind="text",
        default="localhost",
        flag="--redis-host",
        programs=_REDIS,
        meaning=(
            "Host of the Redis server; `--redis-host` by itself makes a server take work from there,"
            " this key alone does not."
        ),
    ),
    Setting(
        section="redis",
        key="port",
        kind="integer",
        default=6379,
        minimum=1,
        maximum=_TOP_PORT,
        flag="--redis-port",
        programs=_REDIS,
        meaning="Port of the Redis server.",
    ),
    Setting(
        section="redis",
        key="user",
        kind="text",
        default="",
        flag="--redis-user",
        programs=_REDIS,
        meaning="Name of the Redis ACL user; when empty, the default user.",
    ),
    Setting(
        section="redis",
        key="password",
        kind="secret",
        default="",
        flag="--redis-password",
        variables=("REDIS_PASSWORD",),
        programs=_REDIS,
        meaning="Password of the Redis user.",
    ),
    Setting(
        section="redis",
        key="prefix",
        kind="text",
        default="turnstone",
        programs=_REDIS,
        meaning="What all names in Redis begin with; on Redis Cluster it must be {turnstone}.",
    ),
    Setting(
        section="redis",
        key="db",
        kind="integer",
        default=0,
        minimum=0,
        flag="--redis-db",
        programs=_REDIS,
        meaning="Number of the Redis database.",
    ),
    Setting(
        section="redis",
        key="tls",
        kind="boolean",
        default=False,
        flag="--redis-tls",
        programs=_REDIS,
        meaning="Speak TLS with the Redis server.",
    ),
    Setting(
        section="redis",
        key="tls_ca_file",
        kind="text",
        default="",
        programs=_REDIS,
        meaning=(
            "Path of the certificates (PEM) of those who may have signed that of Redis; when empty,"
            " those that the system trusts."
        ),
    ),
    Setting(
        section="redis",
        key="tls_cert_file",
        kind="text",
        default="",
        programs=_REDIS,
        meaning="Path of the certificate (PEM) that is shown to a Redis which asks for one.",
    ),
    Setting(
        section="redis",
        key="tls_key_file",
        kind="text",
        default="",
        programs=_REDIS,
        meaning=(
            "Path of the private key (PEM) of that certificate, if it is not in the same file."
        ),
    ),
    Setting(
        section="redis",
        key="sentinels",
        kind="list",
        default=(),
        programs=_REDIS,
        meaning=(
            "Addresses (host:port) of the Sentinels that know where Redis is; when given, `host`"
            " and `port` are not used."
        ),
    ),
    Setting(
        section="redis",
        key="sentinel_name",
        kind="text",
        default="mymaster",
        programs=_REDIS,
        meaning="What the Sentinels call the primary.",
    ),
    Setting(
        section="redis",
        key="sentinel_user",
        kind="text",
        default="",
        programs=_REDIS,
        meaning="Name of the ACL user of the Sentinels; when empty, their default user.",
    ),
    Setting(
        section="redis",
        key="sentinel_password",
        kind="secret",
        default="",
        programs=_REDIS,
        meaning="Password of that user of the Sentinels.",
    ),
    Setting(
        section="redis",
        key="wait_replicas",
        kind="integer",
        default=1,
        minimum=0,
        programs=_REDIS,
        meaning=(
            "Replicas that must have a message before it counts as sent, as far as there are so"
            " many; 0 waits for none."
        ),
    ),
    Setting(
        section="redis",
        key="wait_ms",
        kind="integer",
        default=500,
        minimum=1,
        programs=_REDIS,
        meaning="Milliseconds of one wait for these replicas.",
    ),
)

_CONSOLE: Final = (
    Setting(
        section="console",
        key="host",
        kind="text",
        default="127.0.0.1",
        flag="--host",
        programs=(CONSOLE,),
        meaning="Address on which the console listens; any but a loopback address needs a token.",
    ),
    Setting(
        section="console",
        key="port",
        kind="integer",
        default=8090,
        minimum=0,
        maximum=_TOP_PORT,
        flag="--port",
        programs=(CONSOLE,),
        meaning="Port on which the console listens; 0 takes any free one.",
    ),
    Setting(
        section="console",
        key="url",
        kind="url",
        default="",
        flag="--console-url",
        programs=(CHAT,),
        meaning="Base URL of the console that the /cluster commands ask.",
    ),
    Setting(
        section="console",
        key="poll_interval",
        kind="number",
        default=10.0,
        minimum=0.1,
        flag="--poll-interval",
        metavar="SECONDS",
        programs=(CONSOLE,),
        meaning="Seconds between two polls of the nodes.",
    ),
    Setting(
        section="console",
        key="log_level",
        kind="choice",
        default="INFO",
        choices=_LEVELS,
        flag="--log-level",
        programs=(CONSOLE,),
        meaning="The least level of what the console logs.",
    ),
)

_AUTH: Final = (
    Setting(
        section="auth",
        key="enabled",
        kind="boolean",
        default=True,
        programs=(UP, SERVER, CONSOLE),
        meaning="Ask for a token; switching it off works on a loopback address only.",
    ),
    Setting(
        section="auth",
        key="token",
        kind="secret",
        default="",
        flag="--auth-token",
        programs=(CHAT, UP, ERASE, ATTACH, CLUSTER, SERVER, BRIDGE, CONSOLE),
        flag_on=(CHAT, ERASE, ATTACH, CLUSTER, BRIDGE, CONSOLE),
        meaning=(
            "The token that clients show to servers and the console;"
            " servers and the console accept it, with the role full."
        ),
    ),
    Setting(
        section="auth",
        key="tokens",
        kind="tokens",
        default=(),
        choices=("read", "approve", "full"),
        programs=(UP, SERVER, CONSOLE),
        meaning="Tokens that servers and the console accept, each with its role.",
    ),
)

_PLATFORM: Final = (
    Setting(
        section="store",
        key="path",
        kind="path",
        default=None,
        derived="$XDG_DATA_HOME/turnstone/turnstone.db, or ~/.local/share/turnstone/turnstone.db",
        flag="--store",
        metavar="FILE",
        programs=_STATE,
        meaning="The database in which everything is kept.",
    ),
    Setting(
        section="store",
        key="url",
        kind="secret",
        default="",
        flag="--store-url",
        metavar="URL",
        programs=_STORE,
        meaning=(
            "A PostgreSQL database, as postgresql://user@host/name, in which everything is kept"
            " instead; beside the path of the store is then only what is this node's own."
        ),
    ),
    Setting(
        section="policy",
        key="allow",
        kind="list",
        default=(),
        programs=_ENGINE,
        meaning="Rules for tool calls that run unasked, as read_file(docs/**).",
    ),
    Setting(
        section="policy",
        key="ask",
        kind="list",
        default=(),
        programs=_ENGINE,
        meaning="Rules for tool calls that are asked about, whatever was permitted.",
    ),
    Setting(
        section="policy",
        key="deny",
        kind="list",
        default=(),
        programs=_ENGINE,
        meaning="Rules for tool calls that never run, whoever allows them.",
    ),
    Setting(
        section="sandbox",
        key="required",
        kind="boolean",
        default=False,
        programs=_ENGINE,
        meaning="Refuse to start where commands cannot be confined, instead of asking about each.",
    ),
    Setting(
        section="web",
        key="allow_private",
        kind="list",
        default=(),
        programs=_ENGINE,
        meaning=(
            "What web_fetch may reach besides public addresses: networks as 10.0.0.0/8, single"
            " addresses, hosts as wiki.lan, or .lan for all hosts below it."
        ),
    ),
    Setting(
        section="web",
        key="ports",
        kind="list",
        default=("80", "443", "8080", "8443"),
        programs=_ENGINE,
        meaning="The ports that web_fetch may connect to.",
    ),
    Setting(
        section="web",
        key="search",
        kind="choice",
        default="auto",
        choices=("tavily", "searxng", "provider", "auto"),
        programs=_ENGINE,
        meaning=(
            "Who searches for web_search; auto is Tavily if there is a key, else SearXNG if there"
            " is a URL, and provider is a model that searches by itself."
        ),
    ),
    Setting(
        section="web",
        key="searxng_url",
        kind="url",
        default="",
        programs=_ENGINE,
        meaning="Base URL of a SearXNG that has json among its formats.",
    ),
    Setting(
        section="web",
        key="search_model",
        kind="text",
        default="",
        programs=_ENGINE,
        meaning="The model that searches where search is provider; when empty, the node's own.",
    ),
    Setting(
        section="log",
        key="format",
        kind="choice",
        default="text",
        choices=("text", "json"),
        flag="--log-format",
        programs=(UP, SERVER, BRIDGE),
        meaning="How the log on standard error is written: lines for people, or JSON objects.",
    ),
    Setting(
        section="terminal",
        key="theme",
        kind="choice",
        default="auto",
        choices=("auto", "dark", "light"),
        programs=(CHAT, ATTACH),
        meaning="The background of the terminal, to which colours are fitted; `auto`: as the "
        "terminal says (`COLORFGBG`), else dark.",
    ),
    Setting(
        section="metrics",
        key="public",
        kind="boolean",
        default=False,
        programs=_NODE,
        meaning="Show /metrics to whoever can reach the server, without a token.",
    ),
    Setting(
        section="traces",
        key="endpoint",
        kind="url",
        default="",
        programs=_NODE,
        meaning="Where spans are sent, over OTLP with HTTP, if anywhere; needs the extra otel.",
    ),
    Setting(
        section="traces",
        key="contents",
        kind="boolean",
        default=False,
        programs=_NODE,
        meaning="Whether spans tell what was said, too: messages, answers, arguments, results.",
    ),
    Setting(
        section="queue",
        key="auto_approve",
        kind="boolean",
        default=True,
        programs=(UP, SERVER, BRIDGE),
        meaning="Honour auto_approve in queued work, where commands are confined by a sandbox.",
    ),
    Setting(
        section="queue",
        key="slots",
        kind="integer",
        default=8,
        minimum=1,
        programs=(UP, SERVER, BRIDGE),
        meaning="Turns of the shared queue that the node runs at once.",
    ),
    Setting(
        section="queue",
        key="node_lost_after",
        kind="number",
        default=600.0,
        minimum=1,
        programs=(UP, SERVER, BRIDGE),
        meaning="Seconds after which what only a node that is gone could end is told as lost.",
    ),
    Setting(
        section="queue",
        key="signing_secret",
        kind="secret",
        default="",
        programs=(UP, QUEUE, SERVER, BRIDGE),
        meaning=(
            "With a secret, only messages signed with it, or with one of the file below, are taken;"
            " what this program sends is signed with it."
        ),
    ),
    Setting(
        section="queue",
        key="signing_file",
        kind="text",
        default="",
        programs=(UP, QUEUE, SERVER, BRIDGE),
        meaning="Path of a file with more secrets, one on each line, and what they may send.",
    ),
)

#: Every setting there is.
SETTINGS: Final = (
    *_API,
    *_MODEL_ROWS,
    *_ROLES,
    *_SESSION,
    *_TOOLS,
    *_BUDGET,
    *_SERVER,
    *_LABELS,
    *_BRIDGE,
    *_REDIS_ROWS,
    *_CONSOLE,
    *_AUTH,
    *_PLATFORM,
)

#: The same, by "section.key".
BY_NAME: Final = {row.name: row for row in SETTINGS}


def model_rows(name: str) -> tuple[Setting, ...]:
    """The settings of the model of this name."""
    return tuple(replace(row, section=f"{MODELS}.{name}") for row in MODEL_KEYS)


#: The keys of each section, in order.
SECTIONS: Final = {
    section: tuple(row.key for row in SETTINGS if row.section == section)
    for section in dict.fromkeys(row.section for row in SETTINGS)
}

"""What a row of the table of settings is, and how one is looked up.

The rows themselves stand in `rows`. Everything that knows about settings one by one (loader,
command-line options, documentation) goes by the rows; adding a setting is adding one, and a
field in `structs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "text", "secret", "integer", "number", "boolean", "choice", "list", "url", "path", "tokens"
]

CHAT: Final = "turnstone"
UP: Final = "turnstone up"
ERASE: Final = "turnstone erase"
BACKUP: Final = "turnstone backup"
RESTORE: Final = "turnstone restore"
IMPORT: Final = "turnstone import"
EXPORT: Final = "turnstone export"
SESSIONS: Final = "turnstone sessions"
ATTACH: Final = "turnstone attach"
QUEUE: Final = "turnstone queue"
CLUSTER: Final = "turnstone cluster"
TOKENS: Final = "turnstone token"
SERVER: Final = "turnstone-server"
BRIDGE: Final = "turnstone-bridge"
CONSOLE: Final = "turnstone-console"
SIM: Final = "turnstone-sim"
EVAL: Final = "turnstone-eval"

#: Every program that reads settings, in the order in which the documentation names them.
PROGRAMS: Final = (
    CHAT,
    UP,
    ERASE,
    BACKUP,
    RESTORE,
    IMPORT,
    EXPORT,
    SESSIONS,
    ATTACH,
    QUEUE,
    CLUSTER,
    TOKENS,
    SERVER,
    BRIDGE,
    CONSOLE,
    SIM,
    EVAL,
)

#: The variable that names the configuration file; it is no setting.
CONFIG_VARIABLE: Final = "TURNSTONE_CONFIG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. `default` is what a file would say; None stands for `derived`."""

    section: str
    key: str
    kind: Kind
    default: object
    meaning: str  # one sentence
    programs: tuple[str, ...]  # that make use of it
    flag: str = ""  # "--port"; empty: the command line cannot set it
    flag_on: tuple[str, ...] = ()  # programs that have the flag; empty: all of `programs`
    metavar: str = ""  # what the flag's argument is called, if not after its kind
    variables: tuple[str, ...] = ()  # other environment variables, after its own one
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    derived: str = ""  # how a default that depends on the machine comes about, in words
    default_on: tuple[tuple[str, object], ...] = ()  # programs with a default of their own

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def secret(self) -> bool:
        return self.kind in ("secret", "tokens")

    @property
    def variable(self) -> str:
        section = self.section.replace(".", "_").replace("-", "_")
        return f"TURNSTONE_{section}_{self.key}".upper()

    @property
    def all_variables(self) -> tuple[str, ...]:
        """The environment variables that set it, the strongest first."""
        return (self.variable, *self.variables)

    def flag_of(self, program: str) -> str:
        """The flag by which `program` sets it, or an empty text."""
        return self.flag if program in (self.flag_on or self.programs) else ""

    def default_of(self, program: str) -> object:
        return dict(self.default_on).get(program, self.default)


def parameter(flag: str) -> str:
    """The name under which command-line code hands on a flag: `--base-url` is `base_url`."""
    return flag.removeprefix("--").replace("-", "_")

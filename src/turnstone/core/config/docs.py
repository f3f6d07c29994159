"""The tables of docs/configuration.md, made from the table of settings.

    python -m turnstone.core.config.docs docs/configuration.md

writes them anew between the page's markers; a test fails when the page is behind.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from turnstone.core.config.report import shown
from turnstone.core.config.rows import MODEL_KEYS, SECTIONS, SETTINGS
from turnstone.core.config.table import PROGRAMS, Setting
from turnstone.core.config.values import expected
from turnstone.core.errors import ConfigurationError

_BLOCK: Final = re.compile(
    r"(?P<start><!-- generated: (?P<name>\w+) -->\n).*?(?P<end><!-- end of generated -->)",
    re.DOTALL,
)

#: What each section is about, for its heading.
_ABOUT: Final = {
    "api": "where the model answers",
    "model": "which model, and how it is asked",
    "roles": "which model is asked for what",
    "session": "conversations",
    "tools": "what the model may do",
    "budget": "what a new workstream may use",
    "server": "the node",
    "node": "what this node is",
    "bridge": "the queue's worker",
    "redis": "the connection to Redis",
    "console": "the dashboard of the cluster",
    "auth": "who may come in",
    "store": "where everything is kept",
    "policy": "rules for tool calls",
    "sandbox": "how commands are confined",
    "web": "fetching and searching",
    "log": "what is logged, and how",
    "terminal": "the terminal front end",
    "metrics": "figures for Prometheus",
    "traces": "spans for OpenTelemetry",
    "queue": "work from the queue",
}


def updated(page: str) -> str:
    """The page with every generated block written anew. ConfigurationError if it has none."""
    blocks = {
        "settings": "\n".join(_settings()),
        "variables": "\n".join(_variables()),
        "flags": "\n".join(_flags()),
    }
    missing = blocks.keys() - {found["name"] for found in _BLOCK.finditer(page)}
    if missing:
        raise ConfigurationError(f"The page has no block for {', '.join(sorted(missing))}.")
    return _BLOCK.sub(lambda m: f"{m['start']}\n{blocks[m['name']]}\n{m['end']}", page)


def _settings() -> Iterator[str]:
    for section in SECTIONS:
        yield f"### `[{section}]`: {_ABOUT[section]}\n"
        yield from _rows([row for row in SETTINGS if row.section == section])
        if section == "model":
            yield "### `[models.<name>]`: further models, each by a name\n"
            yield from _rows(MODEL_KEYS)


def _rows(rows: Sequence[Setting]) -> Iterator[str]:
    yield from _table(
        ("Key", "Meaning", "Value", "Default", "Flag", "Used by"),
        [
            (
                f"`{row.key}`",
                row.meaning,
                expected(row).removeprefix("a ").removeprefix("an "),
                _default(row),
                _flag(row),
                ", ".join(f"`{program}`" for program in row.programs),
            )
            for row in rows
        ],
    )


def _default(row: Setting) -> str:
    if row.derived:
        return row.derived
    others = (f"`{shown(value)}` in `{program}`" for program, value in row.default_on)
    return "; ".join((f"`{shown(row.default)}`", *others))


def _flag(row: Setting) -> str:
    """The flag, and the programs that have it where those are not all that use the setting."""
    if not row.flag_on:
        return _code(row.flag)
    return f"{_code(row.flag)} (of {', '.join(f'`{program}`' for program in row.flag_on)})"


def _variables() -> Iterator[str]:
    yield from _table(
        ("Variable", "Sets"),
        [(f"`{name}`", f"`{row.name}`") for row in SETTINGS for name in row.variables],
    )


def _flags() -> Iterator[str]:
    yield from _table(
        ("Program", "Flags that set something"),
        [(f"`{program}`", _flags_of(program)) for program in PROGRAMS],
    )


def _flags_of(program: str) -> str:
    return ", ".join(f"`{flag}`" for row in SETTINGS if (flag := row.flag_of(program)))


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    for cells in (heads, ("---",) * len(heads), *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


def main(path: Path) -> None:
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

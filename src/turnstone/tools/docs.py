"""The page docs/tools.md, made from each tool's schema (`name.json`) and its text (`name.md`).

    python -m turnstone.tools.docs docs/tools.md

writes them anew between the page's markers; a test fails when the page is behind.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

from turnstone.core.errors import ConfigurationError
from turnstone.core.tool import ToolSpec
from turnstone.tools.spec import load_spec

_BLOCK: Final = re.compile(
    r"(?P<start><!-- generated: (?P<name>\w+) -->\n).*?(?P<end><!-- end of generated -->)",
    re.DOTALL,
)

#: What is left of a call whose process has ended, in the words of the page.
_AFTER_A_CRASH: Final = {
    "pure": "is run again",
    "idempotent": "is looked at, and run again if it has not happened",
    "effect": "is told as *outcome unknown*, and not run again",
    "agent": "goes on where it was",
}


def tool_names() -> list[str]:
    files = resources.files("turnstone.tools").iterdir()
    return sorted(file.name.removesuffix(".json") for file in files if file.name.endswith(".json"))


def updated(page: str) -> str:
    """The page with every generated block written anew.

    Raises ConfigurationError for a page that lacks one, and for a tool without its text.
    """
    specs = [load_spec(name) for name in tool_names()]
    blocks = {
        "overview": "\n".join(_overview(specs)),
        "tools": "\n".join(line for spec in specs for line in _section(spec)),
    }
    missing = blocks.keys() - {found["name"] for found in _BLOCK.finditer(page)}
    if missing:
        raise ConfigurationError(f"The page has no block for {', '.join(sorted(missing))}.")
    return _BLOCK.sub(lambda m: f"{m['start']}\n{blocks[m['name']]}\n{m['end']}", page)


def _overview(specs: list[ToolSpec]) -> Iterator[str]:
    yield "| Tool | Where no rule says otherwise | After a crash, a call that had begun |"
    yield "|---|---|---|"
    for spec in specs:
        asked = "runs unasked in the workspace" if spec.auto_approve else "is asked about"
        yield f"| [`{spec.name}`](#{spec.name}) | {asked} | {_AFTER_A_CRASH[spec.effect]} |"
    yield ""


def _section(spec: ToolSpec) -> Iterator[str]:
    yield f"## {spec.name}\n"
    yield f"{_text(spec.name)}\n"
    yield "| Parameter | Type | Meaning |"
    yield "|---|---|---|"
    required = spec.parameters.get("required", [])
    for name, about in spec.parameters.get("properties", {}).items():
        yield f"| `{name}` | {_type(about, needed=name in required)} | {_meaning(about)} |"
    yield ""


def _type(about: dict[str, Any], *, needed: bool) -> str:
    return f"{about.get('type', 'any')}{', required' if needed else ''}"


def _meaning(about: dict[str, Any]) -> str:
    return str(about.get("description", "")).replace("|", "\\|")


def _text(name: str) -> str:
    file = resources.files("turnstone.tools").joinpath(f"{name}.md")
    if not file.is_file():
        raise ConfigurationError(f"The tool {name} has no text: write tools/{name}.md.")
    return file.read_text(encoding="utf-8").strip()


def main(path: Path) -> None:
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

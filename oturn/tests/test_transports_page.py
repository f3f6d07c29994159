"""`docs/transports.md` says what the table of providers says, and its program runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from oturn.transport.chaotic import Fault
from oturn.transport.providers import FOREIGN, KNOWN

PAGE = Path(__file__).parents[1] / "docs" / "transports.md"
BEGIN, END = "<!-- providers: begin -->\n", "<!-- providers: end -->"


def table() -> str:
    lines = ["| prefix | address | key | address from |", "|---|---|---|---|"]
    for known in KNOWN.values():
        keys = " or ".join(f"`{name}`" for name in known.key_env)
        bases = " or ".join(f"`{name}`" for name in known.base_env)
        key = keys if known.needs_key else f"not needed ({keys})"
        lines.append(f"| `{known.name}/` | <{known.base_url}> | {key} | {bases} |")
    return "\n".join(lines) + "\n"


def test_the_page_has_the_table_of_providers_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    assert text[begin:end] == table(), f"put this between the marks of {PAGE.name}:\n{table()}"


def test_the_page_names_every_fault_and_every_prefix_that_is_always_litellms() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [fault for fault in Fault if f"`{fault}`" not in text] == []
    assert [name for name in FOREIGN if f"`{name}/`" not in text] == []


def test_the_program_of_the_page_runs() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    first, *told = done.stdout.splitlines()
    assert first == "Is anybody there?"
    assert any("Failed" in line for line in told)

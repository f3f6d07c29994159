"""The tool `man`: a page of this machine's manual, as plain text.

Never runs the program whose manual is wanted: that would be an effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Command, Sandbox
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.spec import load_spec
from turnstone.tools.text import cut_middle, visible

#: Seconds.
TIMEOUT = 10.0

#: Characters of a page that are kept before it is cut for the model; the longest are half of it.
_KEPT = 2_000_000

_PAGE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9._-]*")
_SECTION = re.compile(r"[1-9][a-z]?")

#: A character, a backspace, and the same or another over it: bold and underline of printers.
_OVERSTRIKE = re.compile(r".\x08", re.DOTALL)
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")

_NOT_FOUND, _NO_PROGRAM = 16, 17

#: `$words` are of the two patterns above, so they need no quotes; the variables are set anew
#: because a person's own would change the page, or start a program.
_SCRIPT = """export LC_ALL=C.UTF-8 MANWIDTH=80 COLUMNS=80 MANPAGER=cat PAGER=cat MANROFFOPT= MANOPT=
found={no_program}
if command -v man > /dev/null; then
    page=$(man {words} 2> /dev/null) && [ -n "$page" ] && printf '%s\\n' "$page" && exit 0
    found={not_found}
fi
if [ {with_info} = yes ] && command -v info > /dev/null; then
    page=$(info --output=- {page} 2> /dev/null) && [ -n "$page" ] && printf '%s\\n' "$page" && exit 0
    found={not_found}
fi
exit $found
"""


class ManArguments(msgspec.Struct, frozen=True):
    page: str
    section: str | int | None = None


class Man:
    def __init__(self, sandbox: Sandbox) -> None:
        self.spec = load_spec("man")
        self._sandbox = sandbox

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        asked = parse_arguments("man", ManArguments, arguments)
        page, section = asked.page.strip(), str(asked.section or "").strip()
        if not _PAGE.fullmatch(page):
            raise ToolRefused(
                f"man: {visible(page)!r} is no name of a page: letters, digits, dot, underscore "
                "and hyphen can be in one, and it does not begin with a hyphen."
            )
        section = section if _SECTION.fullmatch(section) else ""
        shown = f"{page}({section})" if section else page
        return Prepared(
            tool="man",
            arguments={"page": page, "section": section},
            effect=self.spec.effect,
            header=f"man: {shown}",
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        page, section = prepared.arguments["page"], prepared.arguments["section"]
        command = Command(
            script=_SCRIPT.format(
                words=f"{section} {page}".strip(),
                page=page,
                with_info="no" if section else "yes",
                not_found=_NOT_FOUND,
                no_program=_NO_PROGRAM,
            ),
            workspace=context.workspace,
            timeout=min(TIMEOUT, context.timeout),
            max_output=_KEPT,
        )
        try:
            result = await self._sandbox.run(command, lambda _: None)
        except (OSError, ToolRefused) as error:
            return ToolResult("error", f"The manual could not be opened: {error}.")
        if result.timed_out:
            return ToolResult("error", f"The manual took longer than {command.timeout:g} s.")
        if result.exit_code == _NO_PROGRAM:
            return ToolResult("error", "There is no manual on this machine: man is not installed.")
        if result.exit_code != 0:
            where = f" in section {section}" if section else ""
            return ToolResult("error", f"There is no page {page}{where} in the manual.")
        return ToolResult("ok", cut_middle(plain(result.output).strip("\n"), context.max_output))

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None


def plain(page: str) -> str:
    """`page` without overstrikes, and without sequences that a terminal obeys. Pure."""
    while (once := _OVERSTRIKE.sub("", page)) != page:
        page = once
    return _ESCAPE.sub("", page).replace("\x08", "").replace("\x1b", "")

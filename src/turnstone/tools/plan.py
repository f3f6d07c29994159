"""The tool `plan`: a sub-agent writes a plan, it is put into a file, and a person reviews it.

The file is `.plan.md`, unless the plan of another session stands there. The review is asked
for whatever is permitted, and waits across restarts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from turnstone.core import prompts
from turnstone.core.events import PlanAnswered
from turnstone.core.sub_agents import AgentOrder
from turnstone.core.tool import EmitOutput, PathUse, Prepared, ToolContext, ToolResult
from turnstone.tools import files
from turnstone.tools.agent_call import agents_of, carried_out, offer_of, prepared, told
from turnstone.tools.paths import resolve, shown
from turnstone.tools.spec import load_spec
from turnstone.tools.threads import in_thread

#: The first line of the file: whose plan it is. Readers of Markdown do not see it.
_MARK = "<!-- plan of session {session} -->"

#: How a person says no (contract, section 6.4).
_NO = frozenset({"n", "no", "reject"})

_REJECTED = "The person rejected this plan. Do not carry it out; ask what they want instead."
_UNREAD = "Nobody reviewed this plan in time. Do not carry it out; say that it waits for a review."
_REMARK = "The person said of this plan, and wants it heeded:\n{feedback}"
_ACCEPTED = "The person accepted this plan."
_UNREVIEWED = (
    "Nobody reviewed this plan: it was taken as accepted, since the program runs without a person."
)


class Plan:
    """`hidden` are resolved folders and files of our own, which no plan is written to."""

    def __init__(self, hidden: tuple[Path, ...] = ()) -> None:
        self._hidden = hidden
        self.spec = load_spec("plan")

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        agents = agents_of("plan", context)
        session, asked = agents.session_id, agents.asked(context.call_id)
        if asked is not None and asked.path:  # the person may have changed the file since
            use = resolve(asked.path, context, "write", self._hidden)
            return prepared("plan", arguments, context, paths=(use,))
        first = resolve(".plan.md", context, "write", self._hidden)
        use = first
        if not await in_thread(lambda _: _is_ours(first, context.workspace, session)):
            use = resolve(f".plan-{session}.md", context, "write", self._hidden)
        return prepared("plan", arguments, context, paths=(use,))

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        agents = agents_of("plan", context)
        prompt = str(prepared.arguments["prompt"])
        if earlier := agents.earlier_plan():
            prompt = prompts.text("refine").format(prompt=prompt, earlier=earlier)
        order = AgentOrder("plan", prompt, offer_of("plan", context), effort="high")
        end = await carried_out(order, context)
        result = told(end)
        if result.status != "ok":
            return result
        path = prepared.paths[0].path
        name = shown(path, context)
        if (asked := agents.asked(context.call_id)) is not None:  # by a process before this one
            problem = "" if asked.path else "was refused before a restart"
        else:
            problem = await in_thread(
                lambda _: _write(path, context.workspace, agents.session_id, result.output)
            )
        where = (
            f"It could not be written to {name}: it {problem}." if problem else f"It is in {name}."
        )
        answer = await agents.review(result.output, "" if problem else name, context.call_id)
        return ToolResult("ok", f"{result.output}\n\n---\n{where} {_said(answer)}", end.tainted)

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None  # never asked: the sub-agent's own journal tells


def _said(answer: PlanAnswered) -> str:
    if answer.expired:
        return _UNREAD
    if answer.feedback.lower() in _NO:
        return _REJECTED
    if answer.unreviewed and not answer.feedback:
        return _UNREVIEWED
    return _REMARK.format(feedback=answer.feedback) if answer.feedback else _ACCEPTED


def _is_ours(use: PathUse, workspace: Path, session: str) -> bool:
    """Whether the plan of this session may go there: nothing is there, or an earlier one of it."""
    mark = _MARK.format(session=session).encode() + b"\n"
    try:
        with (
            files.reading(files.root_for(use.path, workspace), use.path) as descriptor,
            open(descriptor, "rb", closefd=False) as file,
        ):
            return file.read(len(mark)) == mark
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _write(path: Path, workspace: Path, session: str, plan: str) -> str:
    """Why the plan could not be written; empty if it was."""
    data = f"{_MARK.format(session=session)}\n{plan}\n".encode("utf-8", "replace")
    root = files.root_for(path, workspace)
    try:
        files.replace(root, path, data, expects=files.digest(root, path))
    except files.Changed:
        return "was being changed"
    except OSError as error:
        return files.reason(error)
    return ""

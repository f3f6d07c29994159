"""The tool `plan`: a sub-agent writes a plan, it is put into a file, and a person reviews it.

The file is `.plan.md`, unless something else than a plan of this session stands there when it is
written: then one of the session's own. A call names both. The review is asked
for whatever is permitted, and waits across restarts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from turnstone.core import prompts
from turnstone.core.events import PlanAnswered
from turnstone.core.sub_agents import AgentOrder
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools import files
from turnstone.tools.agent_call import agents_of, carried_out, offer_of, prepared, told
from turnstone.tools.paths import resolve, shown
from turnstone.tools.spec import load_spec
from turnstone.tools.threads import in_thread

#: The first line of the file: whose plan it is. Readers of Markdown do not see it.
_MARK = "<!-- plan of session {session} -->"

#: Looks at a file that others are writing, before the plan goes elsewhere.
_TRIES = 5

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
        session = agents_of("plan", context).session_id
        names = (".plan.md", f".plan-{session}.md")
        places = tuple(resolve(name, context, "write", self._hidden) for name in names)
        return prepared("plan", arguments, context, paths=places)

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
        if (asked := agents.asked(context.call_id)) is not None:  # by a process before this one
            name = asked.path or shown(prepared.paths[-1].path, context)
            problem = "" if asked.path else "was refused before a restart"
        else:
            places = [use.path for use in prepared.paths]
            path, problem = await in_thread(
                lambda _: _write(places, context.workspace, agents.session_id, result.output)
            )
            name = shown(path, context)
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


def _write(places: Sequence[Path], workspace: Path, session: str, plan: str) -> tuple[Path, str]:
    """Where the plan is: in the first place that is free, or has an earlier plan of this session;
    else in the last, which is this session's alone. And why it is not there; empty: it is."""
    *shared, own = places
    mark = _MARK.format(session=session).encode()
    data = f"{_MARK.format(session=session)}\n{plan}\n".encode("utf-8", "replace")
    for path in shared:
        for _ in range(_TRIES):
            root = files.root_for(path, workspace)
            try:
                expects = _ours(root, path, mark)
                if not expects:
                    break
                files.replace(root, path, data, expects=expects)
            except files.Changed:
                continue  # by whom, the next look tells
            except OSError:
                break
            return path, ""
    root = files.root_for(own, workspace)
    try:
        files.replace(root, own, data, expects=files.digest(root, own))
    except files.Changed:
        return own, "was being changed"
    except OSError as error:
        return own, files.reason(error)
    return own, ""


def _ours(root: Path, path: Path, mark: bytes) -> str:
    """The digest of what this session's plan may take the place of; empty: it may not."""
    try:
        found, _ = files.content(root, path, files.MAX_EDITED)
    except FileNotFoundError:
        return files.ABSENT
    return files.digest_of(found) if found.startswith(mark + b"\n") else ""

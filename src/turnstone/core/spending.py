"""What a workstream has used with all sub-agents below it, and the budget that a person sets.

Reads journals of workstreams that sleep or are closed without waking them; writes nothing but
the budget.
"""

from __future__ import annotations

from contextlib import suppress

from turnstone.core import budget as budgets
from turnstone.core import events as ev
from turnstone.core.engine import Engine
from turnstone.core.errors import InvalidRequest, UnknownModel, UnknownWorkstream
from turnstone.core.host import BudgetView, UsageView, Used
from turnstone.core.manager import WorkstreamManager
from turnstone.core.models import ModelRole
from turnstone.core.store import Store
from turnstone.core.summary import Summary
from turnstone.core.transcript import Transcript
from turnstone.core.usage import together

#: What models are asked for at the cost of a workstream.
_PAID: tuple[ModelRole, ...] = ("chat", "agent", "title", "compaction", "extraction")


async def set_budget(
    manager: WorkstreamManager,
    engine: Engine,
    ws_id: str,
    budget: ev.Budget,
    by: str,
    command_id: str = "",
) -> BudgetView:
    """`Host.set_budget`. `command_id`: of the command that asks for it."""
    check(budget)
    async with manager.use(ws_id) as workstream:
        await workstream.set_budget(budget, by, command_id)
        info = workstream.info()
        summary = workstream.transcript.summary
        return BudgetView(
            budget=info.budget, left=info.left, notice=notice(engine, summary, budget)
        )


def check(budget: ev.Budget) -> None:
    """Raises InvalidRequest for one that cannot be."""
    if problem := budgets.problem(budget):
        raise InvalidRequest(problem)


def notice(engine: Engine, summary: Summary, budget: ev.Budget) -> str:
    """What of a budget has no effect, and why; empty: all of it has."""
    if not budget.money:
        return ""
    free: list[str] = []
    for role in _PAID:
        if role == "title" and not engine.titles:
            continue
        with suppress(UnknownModel):
            model = engine.models.of(summary, role)
            if not (model.price.prompt or model.price.completion) and model.name not in free:
                free.append(model.name)
    if not free:
        return ""
    whose = "model {}, which has" if len(free) == 1 else "models {}, which have"
    return (
        f"Money is not counted for the {whose.format(', '.join(free))} no price. Set price_input "
        f"and price_output of {'it' if len(free) == 1 else 'each'}."
    )


async def usage(manager: WorkstreamManager, store: Store, ws_id: str) -> UsageView:
    """`Host.usage`."""
    own = await _transcript(manager, store, ws_id)
    all_ = [own]
    waiting = [ws_id]
    while waiting:
        for row in await store.below(waiting.pop()):
            waiting.append(row.ws_id)
            all_.append(await _transcript(manager, store, row.ws_id))
    return UsageView(
        ws_id=ws_id,
        own=_used(own),
        tree=sum(map(_used, all_), Used()),
        models=together([transcript.used.models for transcript in all_]),
        agents=len(all_) - 1,
        budget=own.ledger.budget,
        left=own.ledger.left(own.worked),
    )


async def _transcript(manager: WorkstreamManager, store: Store, ws_id: str) -> Transcript:
    awake = manager.transcript(ws_id)
    if awake is not None:
        return awake
    if await store.row(ws_id) is None:
        raise UnknownWorkstream(
            f"There is no workstream {ws_id} in this store." if ws_id else "ws_id is missing."
        )
    transcript = Transcript()
    for record in await store.records(ws_id):
        transcript.apply(record)
    return transcript


def _used(transcript: Transcript) -> Used:
    of_models = sum(transcript.used.models.values(), Used())
    beside = Used(tool_calls=transcript.summary.tool_calls, seconds=round(transcript.worked, 3))
    return of_models + beside

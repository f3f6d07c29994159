"""One user turn, as a pure state machine. Everything that decides how a turn goes on is here.

It never waits, never raises for what a provider or a person sends, and keeps no history: the
host keeps that, by recording every signal. `reduce` is the whole of it; the table `TABLE` says
which signal means what in which phase. A signal that is not in the table for its phase is
stale (it crossed with a cancel, or names a call that is over): it changes nothing.

    READY ─TurnStarted→ ASKING ─StepFinished→ DECIDING ─CallsDecided→ RUNNING ─(all done)→ ASKING
                          └── no calls, failure, limit, cancel ──→ ENDED

Invariants (tested by properties over random signal sequences):

I1  every tool call in the history gets exactly one result, also after denial, cancel, crash
I2  exactly one TurnEnded ends a turn, and nothing follows it
I3  after a cancel no effect is issued
I4  at most `max_steps` model calls; reaching the limit, and an empty answer, are told
I5  nothing that a provider sends can raise
I6  any splitting of the same bytes gives the same message (`oturn.agent_stream_state`)
I7  replaying a turn's recorded signals gives the same state, and the next effect
I8  the model is told of broken calls at most `max_broken` answers in a row; then the turn fails
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import takewhile
from typing import Any, Literal, TypeAlias

from oturn.effects import CallModel, DecideCalls, Effect, RunTool
from oturn.signals import (
    ApprovalAsked,
    AssistantMessage,
    CallsDecided,
    Cancelled,
    Decision,
    Signal,
    StepFailed,
    StepFinished,
    StepStarted,
    ToolCall,
    ToolFinished,
    ToolStarted,
    ToolStatus,
    TurnStarted,
)
from oturn.transition import Transition

Outcome: TypeAlias = Literal[
    "done",  # the model gave its answer
    "empty",  # the model answered with nothing at all
    "max_steps",  # the limit of model calls was reached
    "max_time",  # the host's limit of time was reached
    "max_tokens",  # the host's limit of tokens was reached
    "over_budget",  # what the host had set aside for the work is used up
    "needs_input",  # a refused call hands back to the person
    "failed",  # the model could not be asked
    "cancelled",  # somebody stopped it
]


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The one ending of a turn. `reason` is a sentence for a person; empty when all went well."""

    outcome: Outcome
    reason: str = ""


#: Broken answers in a row that the model is told about, so that it can call again.
MAX_BROKEN_ANSWERS = 3

#: What the model is told of a call that a cancel came before.
NOT_RUN = "Not run: the turn was stopped first."

Output: TypeAlias = Effect | ToolFinished | TurnEnded
"""What a transition asks for: effects to perform, and what the reducer itself concluded. A
`ToolFinished` among the outputs comes back as a signal once it is recorded, like any other;
the `TurnEnded` is recorded last, and nothing follows it."""


class Phase(Enum):
    """Where a turn stands: what it waits for."""

    READY = "ready"
    ASKING = "asking"
    DECIDING = "deciding"
    RUNNING = "running"
    ENDED = "ended"


class CallPhase(Enum):
    """Where one call stands."""

    PLANNED = "planned"  # the model asked for it
    ALLOWED = "allowed"  # it may run, and waits for its neighbours
    ISSUED = "issued"  # the order to run it was given
    STARTED = "started"  # its intent is recorded: it may have had effects
    CONCLUDED = "concluded"  # it will not run (again); its result waits to be recorded
    FINISHED = "finished"  # its result is recorded


@dataclass(frozen=True, slots=True)
class CallState:
    """One call of the step at work."""

    call: ToolCall
    phase: CallPhase = CallPhase.PLANNED
    concurrent: bool = False
    result: ToolFinished | None = None  # set when CONCLUDED


@dataclass(frozen=True, slots=True)
class TurnState:
    """A turn between two signals. Small and flat: it holds the calls of one step, no history.

    An answer is broken if any of its calls could not be understood.
    """

    max_steps: int
    max_broken: int = MAX_BROKEN_ANSWERS
    phase: Phase = Phase.READY
    step: int = 0
    step_started: bool = False
    broken: int = 0  # broken answers in a row, up to the last one
    calls: tuple[CallState, ...] = ()
    request_id: str | None = None  # the question that a person has not answered yet
    hand_back: bool = False  # the last refused call wants a person, not the model
    ending: TurnEnded | None = None


Step: TypeAlias = Transition[TurnState, Output]


def initial(max_steps: int, max_broken: int = MAX_BROKEN_ANSWERS) -> TurnState:
    """A turn before anything has happened. Raises ValueError for a limit that is too low."""
    if max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, not {max_steps}")
    if max_broken < 0:
        raise ValueError(f"max_broken must be at least 0, not {max_broken}")
    return TurnState(max_steps=max_steps, max_broken=max_broken)


def reduce(state: TurnState, signal: Signal) -> Step:
    """The state after `signal`, and what must be done now, in order."""
    rule = TABLE.get((state.phase, type(signal)))
    return Transition(state) if rule is None else rule(state, signal)


def replay(
    max_steps: int, signals: Iterable[Signal], max_broken: int = MAX_BROKEN_ANSWERS
) -> TurnState:
    """The state of a turn whose recorded signals are these."""
    state = initial(max_steps, max_broken)
    for signal in signals:
        state = reduce(state, signal).state
    return state


def due(state: TurnState) -> list[Output]:
    """What a turn that was cut off in this state needs next, for a driver that takes it up."""
    outputs: list[Output] = list(_concluded(state))
    match state.phase:
        case Phase.READY:
            pass
        case Phase.ASKING:
            outputs.append(CallModel(state.step, resumed=state.step_started))
        case Phase.DECIDING:
            outputs.append(_decide(state))
        case Phase.RUNNING:
            outputs += [
                RunTool(c.call, resumed=c.phase is CallPhase.STARTED)
                for c in state.calls
                if c.phase in (CallPhase.ISSUED, CallPhase.STARTED)
            ]
        case Phase.ENDED:
            assert state.ending is not None
            outputs.append(state.ending)
    return outputs


# How each signal changes a turn, in the order of the table at the end.


def _turn_started(state: TurnState, _: TurnStarted) -> Step:
    return _ask(state)


def _step_started(state: TurnState, signal: StepStarted) -> Step:
    if signal.step != state.step:
        return Transition(state)
    return Transition(replace(state, step_started=True))


def _step_finished(state: TurnState, signal: StepFinished) -> Step:
    message = signal.message
    if message.tool_calls:
        calls = tuple(
            _conclude(CallState(call), ToolFinished(call.id, "invalid", call.problem))
            if call.problem
            else CallState(call)
            for call in message.tool_calls
        )
        broken = state.broken + 1 if any(call.problem for call in message.tool_calls) else 0
        state = replace(state, calls=calls, broken=broken)
        return _after_planning(state) if broken <= state.max_broken else _give_up(state)
    if message.text.strip():
        return _end(state, "done", _why_cut_short(message.finish))
    return _end(
        state,
        "empty",
        _why_cut_short(message.finish) or _why_empty(message),
    )


def _step_failed(state: TurnState, signal: StepFailed) -> Step:
    return _end(state, "failed", signal.error)


def _approval_asked(state: TurnState, signal: ApprovalAsked) -> Step:
    return Transition(replace(state, request_id=signal.request_id))


def _calls_decided(state: TurnState, signal: CallsDecided) -> Step:
    decisions = {d.call_id: d for d in signal.decisions}
    calls = tuple(
        _apply(c, decisions.get(c.call.id)) if c.phase is CallPhase.PLANNED else c
        for c in state.calls
    )
    return _after_planning(replace(state, calls=calls, request_id=None))


def _tool_started(state: TurnState, signal: ToolStarted) -> Step:
    calls = tuple(
        replace(c, phase=CallPhase.STARTED)
        if c.call.id == signal.call_id and c.phase is CallPhase.ISSUED
        else c
        for c in state.calls
    )
    return Transition(replace(state, calls=calls))


def _tool_finished(state: TurnState, signal: ToolFinished) -> Step:
    found = next((c for c in state.calls if c.call.id == signal.call_id), None)
    if found is None or found.phase not in _AWAITS_RESULT:
        return Transition(state, terminal=_is_over(state))
    calls = tuple(
        replace(c, phase=CallPhase.FINISHED, result=None) if c is found else c for c in state.calls
    )
    hand_back = state.hand_back if signal.status == "ok" else signal.needs_input
    state = replace(state, calls=calls, hand_back=hand_back)
    if state.phase is Phase.RUNNING:
        return _go_on(state)
    return Transition(state, terminal=_is_over(state))


def _cancelled(state: TurnState, signal: Cancelled) -> Step:
    return _stop(state, signal.outcome, signal.reason)


# What follows from a state.


def _after_planning(state: TurnState) -> Step:
    """Calls have just been planned or decided: give the results that need no run, then go on."""
    if any(c.phase is CallPhase.PLANNED for c in state.calls):
        state = replace(state, phase=Phase.DECIDING)
        return Transition(state, [*_concluded(state), _decide(state)])
    results = list(_concluded(state))
    step = _go_on(replace(state, phase=Phase.RUNNING))
    return Transition(step.state, [*results, *step.events], step.terminal)


def _give_up(state: TurnState) -> Step:
    """The model keeps sending calls that cannot be understood: telling it again helps nobody."""
    last = next(c.call for c in reversed(state.calls) if c.call.problem)
    times = f"{state.broken} answers in a row" if state.broken > 1 else "an answer"
    reason = f"stopped after {times} with tool calls that cannot be understood; the last"
    return _stop(state, "failed", f"{reason}: {last.name or 'a call with no name'}: {last.problem}")


def _stop(state: TurnState, outcome: Outcome, reason: str) -> Step:
    """End at once: every call that has no result yet gets one that says it was stopped."""
    calls = tuple(
        c
        if c.phase in (CallPhase.FINISHED, CallPhase.CONCLUDED)
        else _conclude(c, ToolFinished(c.call.id, "cancelled", _stopped_text(c.phase)))
        for c in state.calls
    )
    state = replace(state, calls=calls, request_id=None)
    ended = _end(state, outcome, reason)
    return Transition(ended.state, [*_concluded(state), *ended.events], ended.terminal)


def _go_on(state: TurnState) -> Step:
    """Run what is allowed; when every call has its result, ask the model again."""
    if any(c.phase is not CallPhase.FINISHED for c in state.calls):
        return _run_next(state)
    if state.hand_back:
        return _end(state, "needs_input", "a refused call waits for you")
    if state.step >= state.max_steps:
        return _end(state, "max_steps", _LIMIT.format(steps=state.step))
    return _ask(state)


def _ask(state: TurnState) -> Step:
    state = TurnState(
        max_steps=state.max_steps,
        max_broken=state.max_broken,
        phase=Phase.ASKING,
        step=state.step + 1,
        broken=state.broken,
    )
    return Transition(state, [CallModel(state.step)])


def _run_next(state: TurnState) -> Step:
    """Give the order for the next call, or for the neighbours that may go side by side."""
    if any(c.phase in (CallPhase.ISSUED, CallPhase.STARTED) for c in state.calls):
        return Transition(state)
    waiting = [c for c in state.calls if c.phase is CallPhase.ALLOWED]
    abreast = list(takewhile(lambda c: c.concurrent, waiting)) or waiting[:1]
    issued = {c.call.id for c in abreast}
    calls = tuple(
        replace(c, phase=CallPhase.ISSUED) if c.call.id in issued else c for c in state.calls
    )
    return Transition(replace(state, calls=calls), [RunTool(c.call) for c in abreast])


def _end(state: TurnState, outcome: Outcome, reason: str) -> Step:
    ending = TurnEnded(outcome, reason)
    state = replace(state, phase=Phase.ENDED, ending=ending)
    return Transition(state, [ending], _is_over(state))


def _is_over(state: TurnState) -> bool:
    """Nothing can change the turn any more: it has ended, and every call has its result."""
    finished = all(c.phase is CallPhase.FINISHED for c in state.calls)
    return finished and state.phase is Phase.ENDED


def _decide(state: TurnState) -> DecideCalls:
    planned = tuple(c.call for c in state.calls if c.phase is CallPhase.PLANNED)
    return DecideCalls(planned, request_id=state.request_id)


def _apply(call: CallState, decision: Decision | None) -> CallState:
    """A planned call after its decision. A call that nobody spoke about is refused."""
    if decision is None:
        return _conclude(call, ToolFinished(call.call.id, "denied", "Not run: nobody allowed it."))
    if decision.verdict == "allow":
        return replace(call, phase=CallPhase.ALLOWED, concurrent=decision.concurrent)
    status = _STATUS_OF_REFUSAL[decision.verdict]
    refused = ToolFinished(call.call.id, status, decision.reason, decision.needs_input)
    return _conclude(call, refused)


def _conclude(call: CallState, result: ToolFinished) -> CallState:
    return replace(call, phase=CallPhase.CONCLUDED, result=result)


def _concluded(state: TurnState) -> list[ToolFinished]:
    return [c.result for c in state.calls if c.result is not None]


def _stopped_text(phase: CallPhase) -> str:
    if phase is CallPhase.STARTED:
        return "Stopped while it ran; it may have run partly. Check before repeating it."
    return NOT_RUN


def _why_empty(message: AssistantMessage) -> str:
    if message.reasoning.strip():
        return "the model only reasoned, and said nothing"
    return "the model answered with nothing"


def _why_cut_short(finish: str | None) -> str:
    if finish == "length":
        return "the answer was cut off at the limit of output tokens"
    if finish == "content_filter":
        return "the provider's content filter cut the answer off"
    return ""


_LIMIT = "stopped after {steps} steps, the limit of a turn (max_steps)"

_STATUS_OF_REFUSAL: Mapping[str, ToolStatus] = {
    "deny": "denied",
    "expired": "expired",
    "invalid": "invalid",
}

_AWAITS_RESULT = (CallPhase.ISSUED, CallPhase.STARTED, CallPhase.CONCLUDED)

Rule: TypeAlias = Callable[[TurnState, Any], Step]

TABLE: Mapping[tuple[Phase, type], Rule] = {
    (Phase.READY, TurnStarted): _turn_started,
    (Phase.READY, Cancelled): _cancelled,
    (Phase.ASKING, StepStarted): _step_started,
    (Phase.ASKING, StepFinished): _step_finished,
    (Phase.ASKING, StepFailed): _step_failed,
    (Phase.ASKING, Cancelled): _cancelled,
    (Phase.DECIDING, ApprovalAsked): _approval_asked,
    (Phase.DECIDING, CallsDecided): _calls_decided,
    (Phase.DECIDING, ToolFinished): _tool_finished,
    (Phase.DECIDING, Cancelled): _cancelled,
    (Phase.RUNNING, ToolStarted): _tool_started,
    (Phase.RUNNING, ToolFinished): _tool_finished,
    (Phase.RUNNING, Cancelled): _cancelled,
    (Phase.ENDED, ToolFinished): _tool_finished,
}
"""Every transition there is: what a signal means in a phase. Diagrams are drawn from it."""

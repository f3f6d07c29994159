"""Records and signals: a turn rebuilt from its journal stands where it stood."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oturn import signals as s
from oturn.turn import Phase
from turnstone.core import events as ev
from turnstone.core.turns import signal_of, state_after, usage_of

arguments = st.sampled_from(['{"command": "ls"}', "", "{", "[1]", "null", '"x"', '{"a": 1}}'])
calls = st.builds(
    ev.ToolCallRecord,
    id=st.sampled_from(["a", "b", "", "call_0"]),
    name=st.sampled_from(["bash", "", "read_file"]),
    arguments=arguments,
)


@given(st.lists(calls, min_size=1, max_size=4))
def test_whatever_the_model_called_replays_to_the_same_calls(made: list[ev.ToolCallRecord]) -> None:
    """What a call is worth is a function of its record alone: no parser's state is needed."""
    first = signal_of(ev.StepFinished(tool_calls=made))
    assert isinstance(first, s.StepFinished)
    recorded = [ev.ToolCallRecord(c.id, c.name, c.arguments) for c in first.message.tool_calls]

    assert signal_of(ev.StepFinished(tool_calls=recorded)) == first
    assert len({c.id for c in first.message.tool_calls}) == len(made)
    for call in first.message.tool_calls:
        assert (call.parsed is None) == bool(call.problem)


def test_a_call_that_was_cut_off_is_still_cut_off_after_a_restart() -> None:
    """Its record alone looks like one that can be repaired; the reason of the ending says no."""
    record = ev.ToolCallRecord("a", "bash", '{"command": "ls"')

    def replayed(finish: str) -> s.ToolCall:
        signal = signal_of(ev.StepFinished(tool_calls=[record], finish=finish))
        assert isinstance(signal, s.StepFinished)
        return signal.message.tool_calls[0]

    assert replayed("tool_calls").parsed == {"command": "ls"}
    assert "cut off" in replayed("length").problem


def test_events_that_are_no_signals_change_nothing() -> None:
    records = [ev.TurnResumed(), ev.ApprovalAnswered(request_id="r"), ev.Info(message="i")]

    assert state_after(records, 10) == state_after([], 10)
    assert state_after([], 10).phase is Phase.ASKING


def test_usage_counts_what_a_provider_sends_and_takes_nonsense_as_nothing() -> None:
    assert usage_of(None) is None
    assert usage_of({"prompt_tokens": 3, "completion_tokens": 4}) == ev.Usage(3, 4, 7)
    assert usage_of({"prompt_tokens": "3", "total_tokens": True}) == ev.Usage(0, 0, 0)

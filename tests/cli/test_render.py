"""Events as a person sees them in the scrollback."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from turnstone.cli.render import FOLD_HEAD, FOLD_TAIL, LINE_LENGTH, Screen, make_console
from turnstone.core import events as ev
from turnstone.core.host import CommandReply


def shown(*events: ev.Event, answers: bool = True) -> str:
    paper = io.StringIO()
    screen = Screen(make_console(paper), answers=answers)
    for event in events:
        screen.show(event)
    return paper.getvalue()


def item(call_id: str = "c1", header: str = "bash: ls -la", **fields: object) -> ev.ToolItem:
    values = {"call_id": call_id, "name": "bash", "func_name": "bash", "header": header}
    return ev.ToolItem(**{**values, **fields})  # type: ignore[arg-type]


def started(call_id: str = "c1", header: str = "bash: ls -la") -> ev.ToolStarted:
    return ev.ToolStarted(call_id=call_id, name="bash", item=item(call_id, header))


@given(st.lists(st.text("ab \n\tc" + "界é")))
def test_streamed_text_is_printed_as_it_comes_and_once(pieces: list[str]) -> None:
    whole = "".join(pieces).expandtabs(1)
    events = [ev.Content(text=piece.expandtabs(1)) for piece in pieces]
    printed = shown(ev.StepStarted(), *events, ev.StepFinished(text=whole), ev.TurnEnded())
    assert printed in (whole, f"{whole}\n")
    assert not printed or printed.endswith("\n")


def test_what_had_not_streamed_is_printed_when_the_answer_is_whole() -> None:
    printed = shown(ev.StepStarted(), ev.Content(text="one "), ev.StepFinished(text="one two"))
    assert printed == "one two\n"


def test_an_answer_that_is_asked_again_begins_on_a_new_line() -> None:
    printed = shown(
        ev.StepStarted(),
        ev.Content(text="half an ans"),
        ev.StreamReset(),
        ev.Content(text="Whole."),
        ev.StepFinished(text="Whole."),
    )
    assert printed == "half an ans\nThe answer broke off; the model is asked again.\nWhole.\n"


@pytest.mark.parametrize(
    "why",
    [
        ev.CancelRequested(reason="cancelled", outcome="cancelled"),
        ev.CancelRequested(reason="its time is over", outcome="max_time"),
        ev.StepFailed(error="the model went away"),
    ],
)
def test_an_answer_that_was_stopped_is_not_said_to_be_asked_again(why: ev.Event) -> None:
    printed = shown(ev.StepStarted(), ev.Content(text="half an ans"), ev.StreamReset(), why)
    assert printed == "half an ans\nThe answer broke off.\n"


def test_reasoning_and_answer_are_kept_apart() -> None:
    printed = shown(ev.Reasoning(text="hm"), ev.Content(text="Yes."), ev.StepFinished(text="Yes."))
    assert printed == "hm\nYes.\n"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("ok", "✓ done"),
        ("error", "✗ failed"),
        ("invalid", "✗ not a valid call"),
        ("denied", "⊘ denied: not run"),
        ("expired", "⊘ expired: nobody answered"),
        ("cancelled", "⊘ cancelled"),
        ("unknown", "? outcome unknown"),
    ],
)
def test_every_outcome_of_a_call_is_spelled_out(status: ev.ToolStatus, words: str) -> None:
    finished = ev.ToolFinished(call_id="c1", name="bash", status=status, output="said")
    lines = shown(started(), finished).splitlines()
    assert lines[0] == "▸ bash: ls -la"
    assert lines[1].startswith(f"  {words}")
    assert lines[2] == "    said"


def test_long_output_is_folded_and_says_how_much() -> None:
    rows = [f"row {n}" for n in range(1000)]
    finished = ev.ToolFinished(call_id="c1", name="bash", output="\n".join(rows))
    lines = shown(started(), finished).splitlines()[2:]
    assert lines[:FOLD_HEAD] == [f"    row {n}" for n in range(FOLD_HEAD)]
    assert lines[FOLD_HEAD] == f"    … {1000 - FOLD_HEAD - FOLD_TAIL} more lines are not shown …"
    assert lines[FOLD_HEAD + 1 :] == [f"    row {n}" for n in range(1000 - FOLD_TAIL, 1000)]


def test_one_endless_line_does_not_flood_the_screen() -> None:
    finished = ev.ToolFinished(call_id="c1", name="bash", output="x" * 100_000)
    printed = shown(started(), finished)
    assert len(printed) < LINE_LENGTH + 200
    assert f"({100_000 - LINE_LENGTH} more characters)" in printed


def test_calls_side_by_side_are_told_apart() -> None:
    printed = shown(
        started("c1", "search: one"),
        started("c2", "search: two"),
        ev.ToolFinished(call_id="c1", name="search", output="1"),
        ev.ToolFinished(call_id="c2", name="search", output="2"),
    )
    assert [line for line in printed.splitlines() if line.startswith("▸")] == [
        "▸ search: one",
        "▸ search: two",
        "▸ search: one",
        "▸ search: two",
    ]


def test_a_call_that_never_started_has_a_card_too() -> None:
    asked = ev.ApprovalAsked(request_id="r", items=[item()])
    denied = ev.ToolFinished(call_id="c1", name="bash", status="denied", output="Not run.")
    assert shown(asked, denied).splitlines()[0] == "▸ bash: ls -la"


@pytest.mark.parametrize(
    ("outcome", "reason", "sentence"),
    [
        ("failed", "the model is gone", "The turn failed: the model is gone."),
        ("failed", "No model at http://x. Start one.", "failed: No model at http://x. Start one."),
        ("cancelled", "cancelled", "The turn was stopped."),
        ("empty", "the model answered with nothing", "no answer: the model answered with nothing."),
        ("max_steps", "stopped after 3 steps", "at its limit: stopped after 3 steps."),
        ("needs_input", "a refused call waits for you", "The turn waits for you"),
        ("done", "the answer was cut off", "Note: the answer was cut off."),
    ],
)
def test_an_ending_that_is_no_answer_is_a_sentence(
    outcome: ev.Outcome, reason: str, sentence: str
) -> None:
    assert sentence in shown(ev.TurnEnded(outcome=outcome, reason=reason))


def test_without_answers_only_what_surrounds_them_is_shown() -> None:
    printed = shown(
        ev.Content(text="secret"),
        ev.StepFinished(text="secret"),
        started(),
        ev.ToolFinished(call_id="c1", name="bash", output="out"),
        answers=False,
    )
    assert printed == "▸ bash: ls -la\n  ✓ done\n    out\n"


def test_no_control_code_is_written_where_there_is_no_terminal() -> None:
    events = [
        ev.Content(text="\x1b[31mred"),
        started("c1", "bash: \x1b[2J"),
        ev.ToolFinished(call_id="c1", name="bash", status="error", output="\x9b2J\x07"),
        ev.Error(message="\x1b]0;x\x07"),
        ev.TurnEnded(outcome="failed", reason="\x1bc"),
    ]
    printed = shown(*events)
    assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in printed)


def test_on_a_terminal_the_only_control_codes_are_our_own_colours() -> None:
    paper = io.StringIO()
    console = Console(
        file=paper, force_terminal=True, color_system="standard", highlight=False, soft_wrap=True
    )
    screen = Screen(console)
    screen.show(started("c1", "bash: \x1b]52;c;AAAA\x07 [bold]x[/bold]"))
    screen.show(ev.ToolFinished(call_id="c1", name="bash", status="error", output="\x1b[2J"))
    printed = paper.getvalue()
    assert "\x1b[1;36m" in printed and "[bold]x[/bold]" in printed
    codes = printed.split("\x1b")[1:]
    assert all(
        code[0] == "[" and code.split("m")[0][1:].replace(";", "").isdigit() for code in codes
    )


def test_a_question_shows_all_of_a_command_and_its_diff_is_not_folded() -> None:
    command = "\n".join(f"echo {n}" for n in range(40))
    paper = io.StringIO()
    asked = item(preview=command, needs_approval=True, rule="bash is asked by default")
    allowed = item("c2", "read_file: x", preview="unseen")
    Screen(make_console(paper)).question(ev.ApprovalAsked(request_id="r", items=[asked, allowed]))
    printed = paper.getvalue()
    assert [line[4:] for line in printed.splitlines() if line.startswith("  │ ")] == (
        command.splitlines()
    )
    assert "asked because: bash is asked by default" in printed and "unseen" not in printed


def test_messages_and_answers_of_others_are_shown_and_ones_own_are_not() -> None:
    paper = io.StringIO()
    screen = Screen(make_console(paper))
    screen.is_known("cid1")
    screen.is_known("r1")
    screen.show(ev.MessageAccepted(message="mine", correlation_id="cid1", sender="local"))
    screen.show(ev.MessageAccepted(message="theirs", correlation_id="cid2", sender="local"))
    screen.show(ev.ApprovalAnswered(request_id="r1", approved=True, by="local"))
    screen.show(ev.ApprovalAnswered(request_id="r2", approved=False, by="bob"))
    assert paper.getvalue() == "› theirs\nrefused by bob\n"


def test_the_cost_of_a_turn_stands_at_its_end() -> None:
    cost = ev.Status(total_tokens=12_345, context_window=32_000, pct=38.6)
    assert shown(cost, ev.TurnEnded()) == "12,345 tokens · 38.6 % of the context\n"


def on_terminal(width: int) -> tuple[Screen, io.StringIO]:
    paper = io.StringIO()
    console = Console(
        file=paper, force_terminal=True, color_system=None, highlight=False, width=width
    )
    return Screen(console), paper


SENTENCE = "No model answers here, but the practice model: it shows how things work, 漢字 and all."


@pytest.mark.parametrize("width", [24, 40, 79, 80, 200])
def test_a_sentence_is_broken_between_words_where_the_terminal_ends(width: int) -> None:
    screen, paper = on_terminal(width)
    screen.line(SENTENCE, indent="  ")
    rows = paper.getvalue().splitlines()
    assert all(cell_len(row) <= width and row.startswith("  ") for row in rows)
    assert " ".join(paper.getvalue().split()) == SENTENCE, "no word is broken, and none lost"
    assert (len(rows) > 1) is (width < 90)


def test_the_meanings_of_a_table_stay_in_their_column() -> None:
    screen, paper = on_terminal(40)
    screen.table([("/help", SENTENCE), ("/exit", "leave")])
    rows = paper.getvalue().splitlines()
    assert rows[0].startswith("  /help    No model") and rows[-1] == "  /exit    leave"
    assert all(row.startswith(" " * 11) and row[11] != " " for row in rows[1:-1])
    assert all(cell_len(row) <= 40 for row in rows)


def test_a_word_longer_than_the_terminal_is_shown_whole() -> None:
    screen, paper = on_terminal(30)
    screen.line("x" * 100)
    assert "".join(paper.getvalue().split()) == "x" * 100


def test_where_there_is_no_terminal_a_sentence_stays_on_its_line() -> None:
    paper = io.StringIO()
    Screen(make_console(paper)).line(SENTENCE * 5)
    assert paper.getvalue() == f"{SENTENCE * 5}\n"


def printed_by(*pieces: str) -> list[ev.Event]:
    return [ev.ToolOutput(call_id="c1", text=piece) for piece in pieces]


def test_what_a_command_prints_is_shown_while_it_runs_and_not_again() -> None:
    running = shown(started(), *printed_by("fir", "st\nsec", "ond\nthi"))
    assert running.splitlines()[1:] == ["    first", "    second"]

    finished = ev.ToolFinished(call_id="c1", name="bash", output="first\nsecond\nthird")
    whole = shown(started(), *printed_by("first\nsecond\nthird"), finished).splitlines()
    assert whole[1:] == ["    first", "    second", "  ✓ done", "    third"]


def test_a_flood_is_folded_while_it_comes_too() -> None:
    rows = [f"row {n}" for n in range(1000)]
    finished = ev.ToolFinished(call_id="c1", name="bash", output="\n".join(rows))
    lines = shown(started(), *printed_by("\n".join(rows)), finished).splitlines()
    assert lines[1 : 1 + FOLD_HEAD] == [f"    row {n}" for n in range(FOLD_HEAD)]
    assert lines[1 + FOLD_HEAD] == "  ✓ done"
    assert len(lines) == 1 + FOLD_HEAD + 2 + FOLD_TAIL


def test_what_a_command_gave_is_shown_whole_where_it_printed_something_else() -> None:
    finished = ev.ToolFinished(call_id="c1", name="bash", output="another")
    lines = shown(started(), *printed_by("one\n"), finished).splitlines()
    assert lines[1:] == ["    one", "  ✓ done", "    another"]


@pytest.mark.parametrize("outcome", ["max_steps", "max_time", "max_tokens"])
def test_a_limit_of_a_turn_is_told_with_its_number(outcome: ev.Outcome) -> None:
    ended = ev.TurnEnded(outcome=outcome, reason="stopped after 5 s, the time limit of a turn")
    assert shown(ended) == (
        "The turn was ended at its limit: stopped after 5 s, the time limit of a turn.\n"
    )


def test_the_ending_of_a_message_without_a_turn_ends_nothing_else() -> None:
    aside = [
        ev.TurnEnded(correlation_id="c2", outcome="cancelled", reason="taken back", begun=False),
        ev.TurnEnded(correlation_id="c3", turn="c1"),
    ]
    printed = shown(ev.Content(text="half"), *aside, ev.StepFinished(text="half an answer"))
    assert printed == "half\nA message that waited was taken back.\n an answer\n"


def test_what_a_command_says_is_broken_between_words_below_its_last_column() -> None:
    screen, paper = on_terminal(40)
    text = "/fork [MESSAGE]     go on from here, or from before a message"
    screen.answer(CommandReply(text=text))
    rows = paper.getvalue().splitlines()
    assert rows[0].startswith("/fork [MESSAGE]     go on")
    assert len(rows) == 3
    assert all(cell_len(row) <= 40 for row in rows)
    assert all(row.startswith(" " * 20) for row in rows[1:])
    assert " ".join(paper.getvalue().split()) == " ".join(text.split())


def test_a_file_that_a_command_gives_is_printed_as_it_is() -> None:
    screen, paper = on_terminal(20)
    text = "one two three four five six seven"
    screen.answer(CommandReply(text=text), as_it_is=True)
    assert paper.getvalue() == f"{text}\n"

"""A question about calls, by key: what is shown, and which answer comes of which keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.cli.terminal.dialogs import ask
from turnstone.cli.terminal.printed import Note
from turnstone.cli.terminal.seams import Dialog, Edit, Key, Settled
from turnstone.cli.terminal.view import View, fold
from turnstone.core import events as ev
from turnstone.core.host import Answer
from turnstone.core.masking import MASK


def command(text: str, n: int = 1, **more: Any) -> ev.ToolItem:
    given = {
        "call_id": f"call-{n}",
        "name": "bash",
        "func_name": "bash",
        "header": f"bash: {text}",
        "preview": text,
        "needs_approval": True,
        "arguments": {"command": text},
        "rule": "bash is asked by default",
        "grant": f"bash for exactly '{text}'",
        "grants": [ev.Grant("bash", "/w", text, "L3 without network")],
        **more,
    }
    return ev.ToolItem(**given)


def question(*items: ev.ToolItem, **more: Any) -> ev.ApprovalAsked:
    return ev.ApprovalAsked(
        ws_id="0a1b2c3d", request_id="r1", args_hash="h1", items=list(items), **more
    )


def shown(dialog: Dialog, width: int = 80, height: int = 24, *, focus: bool = True) -> str:
    lines = dialog.lines(width, height, focus=focus)
    return "\n".join("".join(text for _, text in line) for line in lines)


def press(dialog: Dialog, keys: str) -> Dialog | Settled | Edit:
    """Letters one after another; names of other keys stand in angle brackets."""
    now: Dialog | Settled | Edit = dialog
    for key in keys.replace("<", "\0<").replace(">", ">\0").split("\0"):
        struck = [Key(key[1:-1])] if key.startswith("<") else [Key("text", c) for c in key]
        for each in struck:
            assert not isinstance(now, Settled | Edit), f"{keys}: over before {each}"
            now = now.on_key(each)
    return now


def answer(dialog: Dialog, keys: str) -> Answer:
    settled = press(dialog, keys)
    assert isinstance(settled, Settled), settled
    [reply] = settled.replies
    assert isinstance(reply, Answer)
    assert (reply.ws_id, reply.request_id, reply.args_hash) == ("0a1b2c3d", "r1", "h1")
    return reply


def still(dialog: Dialog, keys: str) -> Dialog:
    now = press(dialog, keys)
    assert not isinstance(now, Settled | Edit), now
    return now


ONE = question(command("make test"))
TWO = question(command("make a"), command("make b", 2))


def test_it_says_what_will_happen_where_and_under_which_rule() -> None:
    text = shown(ask(ONE))
    assert "bash: make test" in text and "  │ make test" in text
    assert "where: /w, L3 without network" in text
    assert "asked because: bash is asked by default" in text
    assert "always, in this workstream: bash for exactly 'make test'" in text


def test_one_of_a_sub_agent_names_it_and_whose_always_it_is() -> None:
    text = shown(ask(question(command("ls"), origin=ev.Origin(ws_id="x", name="task-1"))))
    assert "from the sub-agent task-1" in text and "always, in this sub-agent:" in text


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("y", {"approved": True}),
        ("n", {"approved": False}),
        ("a", {"approved": True, "always": True}),
        ("fuse mv<enter>", {"approved": False, "feedback": "use mv"}),
        ("Yonly once<enter>", {"approved": True, "feedback": "only once"}),
        ("f<escape>y", {"approved": True}),
        ("f<enter>n", {"approved": False}),
    ],
)
def test_keys_are_answers(keys: str, said: dict[str, Any]) -> None:
    reply = answer(ask(ONE), keys)
    got = {name: getattr(reply, name) for name in ("approved", "always", "feedback")}
    assert got == {"approved": False, "always": False, "feedback": ""} | said
    assert reply.grants is None and not reply.refused and not reply.edited


@given(st.text(st.characters(exclude_characters="yYanfeo<>"), max_size=8))
def test_no_other_letter_answers(keys: str) -> None:
    assert still(ask(ONE), keys) == ask(ONE)


def test_always_is_not_offered_where_it_would_permit_nothing() -> None:
    dialog = ask(question(command("ls", grant="", grants=[])))
    assert "always" not in shown(dialog)
    assert still(dialog, "a") == dialog


def test_always_for_several_things_permits_what_is_left_ticked() -> None:
    dialog = still(ask(TWO), "a")
    assert "1 [x] bash for exactly 'make a'" in shown(dialog)
    less = still(dialog, "1")
    assert "1 [ ] bash" in shown(less) and "2 [x] bash" in shown(less)
    reply = answer(less, "<enter>")
    assert reply.approved and reply.always and reply.grants == TWO.items[1].grants
    assert "1 [ ] bash" in shown(still(dialog, "12<enter>")), "nothing ticked is no answer"
    assert answer(dialog, "<backspace>y") == answer(ask(TWO), "y")


def test_calls_are_answered_together_or_one_by_one() -> None:
    assert "2 calls together" in shown(ask(TWO))
    assert answer(ask(TWO), "y").refused == []
    first = still(ask(TWO), "o")
    assert "1 of 2" in shown(first) and "make b" not in shown(first)
    assert "2 of 2" in shown(still(first, "y")) and "make a" not in shown(still(first, "y"))
    reply = answer(first, "yn")
    assert reply.approved and reply.refused == ["call-2"] and not reply.always
    assert not answer(first, "nn").approved and answer(first, "nn").refused == []
    assert answer(first, "n<left>yy").refused == []
    assert answer(first, "oy") == answer(ask(TWO), "y")


def test_one_by_one_always_and_remarks_are_those_of_their_call() -> None:
    reply = answer(still(ask(TWO), "o"), "afnot that<enter>")
    assert reply.always and reply.grants == TWO.items[0].grants
    assert reply.refused == ["call-2"] and reply.feedback == "bash: make b: not that"


def test_calls_that_are_not_asked_about_are_counted_and_never_named_in_an_answer() -> None:
    dialog = ask(question(command("make a"), command("ls", 2, needs_approval=False)))
    assert "1 more call of this step: not asked about" in shown(dialog)
    assert "together" not in shown(dialog) and still(dialog, "o") == dialog


def test_a_command_is_changed_in_the_editor_and_nothing_is_allowed_by_that() -> None:
    edit = press(ask(ONE), "e")
    assert edit == Edit("make test", ".sh")
    settled = ask(ONE).edited("make check\n")
    assert isinstance(settled, Settled)
    [reply] = settled.replies
    assert isinstance(reply, Answer)
    assert reply.edited == {"call-1": {"command": "make check"}}
    assert not reply.approved and reply.args_hash == "h1"


def test_an_edit_that_changes_nothing_asks_on() -> None:
    for text in (None, "make test", "make test\n", "  \n"):
        dialog = ask(ONE).edited(text)
        assert not isinstance(dialog, Settled) and "Nothing was changed" in shown(dialog)


def test_what_has_no_text_of_its_own_is_changed_as_json() -> None:
    item = command("x", name="web_fetch", arguments={"url": "https://a.example"})
    edit = press(ask(question(item)), "e")
    assert isinstance(edit, Edit) and edit.suffix == ".json" and "https://a.example" in edit.text
    broken = ask(question(item)).edited("[1]")
    assert not isinstance(broken, Settled) and "no JSON object" in shown(broken)
    settled = ask(question(item)).edited('{"url": "https://b.example"}')
    assert isinstance(settled, Settled)
    [reply] = settled.replies
    assert isinstance(reply, Answer) and reply.edited["call-1"] == {"url": "https://b.example"}


def test_the_content_of_a_file_is_changed_under_its_own_ending() -> None:
    arguments = {"path": "src/a.py", "content": "x = 1\n"}
    item = command("x", name="write_file", arguments=arguments)
    assert press(ask(question(item)), "e") == Edit("x = 1\n", ".py")


def test_what_holds_a_masked_secret_is_not_changed_here() -> None:
    dialog = still(ask(question(command(f"curl -u {MASK} x"))), "e")
    assert "a secret that is not shown" in shown(dialog)


def test_of_several_calls_the_one_to_change_is_asked_for_first() -> None:
    which = still(ask(TWO), "e")
    assert "Which one?" in shown(which) and "1 of 2" in shown(which)
    assert press(which, "e") == Edit("make a", ".sh")
    assert "answer them all" in shown(still(which, "ye"))


def test_what_does_not_fit_is_scrolled_and_said_and_the_keys_stay() -> None:
    long = "\n".join(f"line {n}" for n in range(1000))
    dialog = ask(question(command("x", preview=long)))
    text = shown(dialog, 80, 12)
    assert len(text.splitlines()) == 12
    assert "more below" in text and "y once" in text and "asked because" in text
    down = still(dialog, "<end>")
    assert "line 999" in shown(down, 80, 12) and "more above · 0 more below" in shown(down, 80, 12)
    assert "line 998" in shown(still(down, "<up><down><down>"), 80, 12)
    assert shown(still(down, "<home>"), 80, 12) == text


@given(st.integers(1, 200), st.integers(3, 60), st.text(max_size=300), st.booleans())
def test_it_fits_every_screen(width: int, height: int, text: str, focus: bool) -> None:
    for dialog in (ask(question(command(text))), still(ask(ONE), "fno")):
        lines = dialog.lines(width, height, focus=focus)
        assert len(lines) <= max(height, 3)


def test_without_the_focus_it_says_how_to_get_there() -> None:
    assert "Tab to answer" in shown(ask(ONE), focus=False)
    assert "y once" not in shown(ask(ONE), focus=False)


def test_the_cursor_is_where_the_next_letter_comes() -> None:
    assert ask(ONE).cursor(80, 24) is None
    typing = still(ask(ONE), "fuse 日本")
    place = typing.cursor(80, 24)
    assert place is not None
    row, column = place
    line = "".join(text for _, text in typing.lines(80, 24, focus=True)[row])
    assert line == "› use 日本" and column == len("› use ") + 4
    assert still(typing, "<home>").cursor(80, 24) == (row, 2)


@given(
    st.lists(
        st.sampled_from("text paste backspace delete left right home end c-w c-u c-k".split())
        | st.just("a-enter"),
        max_size=30,
    ),
    st.text(max_size=12),
    st.integers(2, 60),
)
def test_whatever_is_struck_the_cursor_stays_in_the_text(
    names: list[str], text: str, width: int
) -> None:
    dialog = still(ask(ONE), "f")
    for name in names:
        after = dialog.on_key(Key(name, text if name in ("text", "paste") else ""))
        assert not isinstance(after, Settled | Edit)
        dialog = after
        lines = dialog.lines(width, 40, focus=True)
        place = dialog.cursor(width, 40)
        assert place is not None and place[0] < len(lines)


def test_one_that_was_changed_elsewhere_is_no_refusal() -> None:
    view, _ = fold(View(), ONE)
    changed = ev.ApprovalAnswered(request_id="r1", by="ann", edited={"call-1": {"command": "x"}})
    view, printed = fold(view, changed)
    assert printed == [Note("changed by ann")] and not view.questions


def test_a_question_that_was_settled_elsewhere_is_gone_and_no_other_joins_it() -> None:
    assert ask(ONE).without("r1") is None
    assert ask(ONE).without("another") == ask(ONE)
    assert ask(ONE).with_more(TWO) == ask(ONE), "a yes is for what stood there"

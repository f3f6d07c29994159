"""What is true of every edit, whatever the text."""

from __future__ import annotations

import textwrap

from hypothesis import assume, given
from hypothesis import strategies as st

from turnstone.core.edit import Edit, Refusal, change

#: Few letters, so that things occur in several places, and all that lines are made of.
TEXT = st.text(alphabet="ab \t\n\r\u00e9\u0301😀", max_size=60)
PLAIN = st.text(alphabet="ab \t\n\u00e9", max_size=60)
NEAR = st.none() | st.integers(1, 9)
FORMS = st.sampled_from([("utf-16-le", b"\xff\xfe"), ("utf-8", b"\xef\xbb\xbf")])
LINES = st.lists(
    st.tuples(st.integers(0, 3), st.text(alphabet="abc()", min_size=1, max_size=4)),
    min_size=1,
    max_size=6,
)


def unified(text: str) -> str:
    return text.replace("\r\n", "\n")


def occurrences(text: str, part: str) -> int:
    return sum(text.startswith(part, at) for at in range(len(text)))


def indented(lines: list[tuple[int, str]], unit: str, more: str = "") -> str:
    return "".join(f"{more}{unit * depth}{line}\n" for depth, line in lines)


@st.composite
def edits(draw: st.DrawFn, kind: st.SearchStrategy[str] = TEXT) -> tuple[str, str, str]:
    """A text, a part of it as somebody may quote it, and what shall stand there."""
    before, part, after = (draw(kind) for _ in range(3))
    quoted = part.replace(*draw(st.sampled_from([("", ""), ("\t", " "), (" ", ""), ("\n", " \n")])))
    return before + part + after, quoted, draw(kind)


@given(edits(), NEAR)
def test_one_piece_is_replaced_and_everything_else_stays(
    edit: tuple[str, str, str], near: int | None
) -> None:
    text, old, new = edit
    found = change(text.encode(), old, new, near)

    if isinstance(found, Edit):
        before, after = unified(text), unified(found.data.decode())
        places = [at for at in range(len(before) + 1) if before.startswith(found.removed, at)]
        assert after in {
            before[:at] + found.added + before[at + len(found.removed) :] for at in places
        }
        assert after != before or found.data != text.encode()


@given(PLAIN, PLAIN.filter(bool), PLAIN, PLAIN)
def test_what_occurs_once_is_replaced_exactly(before: str, part: str, after: str, new: str) -> None:
    old, text = f"<{part}>", f"{before}<{part}>{after}"

    found = change(text.encode(), old, new)

    assert isinstance(found, Edit)
    assert found.how == "exact"
    assert found.data.decode() == text.replace(old, new)


@given(st.text(alphabet="ab\n", min_size=1), st.sampled_from(["a", "b", "ab", "a\n", "\n"]))
def test_what_occurs_several_times_is_refused_or_the_nearest(text: str, old: str) -> None:
    assume(occurrences(text, old) > 1)

    assert isinstance(change(text.encode(), old, "x"), Refusal)
    found = change(text.encode(), old, "x", 1)
    assert isinstance(found, Edit)
    assert found.data.decode() == text.replace(old, "x", 1)


@given(edits(PLAIN), NEAR)
def test_line_endings_make_no_difference(edit: tuple[str, str, str], near: int | None) -> None:
    text, old, new = edit
    assume("\n" in text)
    found = change(text.encode(), old, new, near)

    crlf = change(text.replace("\n", "\r\n").encode(), old, new, near)

    if isinstance(found, Refusal):
        assert crlf == found
    else:
        assert isinstance(crlf, Edit)
        assert crlf.data == found.data.replace(b"\n", b"\r\n")


@given(edits(), NEAR, FORMS)
def test_the_encoding_makes_no_difference(
    edit: tuple[str, str, str], near: int | None, form: tuple[str, bytes]
) -> None:
    text, old, new = edit
    encoding, mark = form
    found = change(text.encode(), old, new, near)

    other = change(mark + text.encode(encoding), old, new, near)

    if isinstance(found, Refusal):
        assert other == found
    else:
        assert isinstance(other, Edit)
        assert other.data == mark + found.data.decode().encode(encoding)


@given(LINES, LINES, st.sampled_from(["\t", "  ", "    "]))
def test_text_quoted_without_the_indentation_around_it_is_put_in_with_it(
    old: list[tuple[int, str]], new: list[tuple[int, str]], more: str
) -> None:
    """Each line is its own, so that there is one place only."""
    old = [(depth, f"{line}{n}") for n, (depth, line) in enumerate(old)]
    new = [(depth, f"{line}{n}") for n, (depth, line) in enumerate(new)]
    quoted, wanted = indented(old, "    "), indented(new, "    ")
    assume(quoted != wanted)
    file = f"first\n{indented(old, '    ', more)}last\n"

    found = change(file.encode(), quoted.rstrip("\n"), wanted.rstrip("\n"))

    assert isinstance(found, Edit)
    shifted = textwrap.indent(wanted, more)
    assert found.data.decode() in (
        f"first\n{shifted}last\n",
        # Quoted from the middle of its first line, the text is there exactly as it is.
        f"first\n{more}{wanted}last\n" if len(old) == 1 else "",
    )

"""What an answer to a question means. Whatever is not plainly a yes is a no."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.cli.approve import Reply, parse_reply


@pytest.mark.parametrize(
    ("typed", "reply"),
    [
        ("y", Reply(approved=True)),
        ("YES", Reply(approved=True)),
        (" y ", Reply(approved=True)),
        ("y, but only once", Reply(approved=True, feedback="but only once")),
        ("yes only once", Reply(approved=True, feedback="only once")),
        ("a", Reply(approved=True, always=True)),
        ("Always", Reply(approved=True, always=True)),
        ("a, and be quick", Reply(approved=True, always=True, feedback="and be quick")),
        ("n", Reply(approved=False)),
        ("No", Reply(approved=False)),
        ("n, use mv", Reply(approved=False, feedback="use mv")),
        ("no use mv", Reply(approved=False, feedback="use mv")),
        ("use mv instead", Reply(approved=False, feedback="use mv instead")),
        ("a better way is mv", Reply(approved=False, feedback="a better way is mv")),
        ("always use mv", Reply(approved=False, feedback="always use mv")),
        ("yesterday it worked", Reply(approved=False, feedback="yesterday it worked")),
        ("yy", Reply(approved=False, feedback="yy")),
        ("", None),
        ("   ", None),
    ],
)
def test_keys_and_words_mean_what_they_say(typed: str, reply: Reply | None) -> None:
    assert parse_reply(typed) == reply


@given(st.text())
def test_nothing_but_a_yes_or_always_is_ever_a_yes(typed: str) -> None:
    reply = parse_reply(typed)
    if reply is not None and reply.approved:
        first = typed.strip().lower().replace(",", " ").split()[0]
        assert first in ("y", "yes", "a", "always")

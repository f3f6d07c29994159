"""The diff that a person is shown: right, and never long in coming."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.tools.preview import difference

TEXT = st.lists(st.sampled_from("abcdef"), max_size=40).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


@given(TEXT, TEXT)
def test_a_diff_leads_from_what_is_there_to_what_will_be(old: str, new: str) -> None:
    assert applied(difference(old.encode(), new.encode(), "f"), old) == new


def applied(diff: str, old: str) -> str:
    """What `patch` would make of it; each line that it names must stand where it says."""
    before, after, at = old.split("\n")[:-1], list[str](), 0
    for line in diff.split("\n")[2:]:
        if place := re.match(r"@@ -(\d+)(,0)?", line):
            start = int(place[1]) - (place[2] is None)
            after, at = after + before[at:start], start
            continue
        if line[0] in " -":
            assert before[at] == line[1:]
            at += 1
        if line[0] in " +":
            after.append(line[1:])
    return "".join(f"{line}\n" for line in after + before[at:])


def test_places_are_those_of_the_file() -> None:
    old = "".join(f"{n}\n" for n in range(100))

    found = difference(old.encode(), old.replace("50\n", "").encode(), "f")

    assert found.split("\n")[2] == "@@ -48,7 +48,6 @@"
    assert "-50" in found.split("\n")


def scattered(kinds: int, seed: int) -> bytes:
    chance = random.Random(seed)
    return "\n".join(str(100 + chance.randrange(kinds)) for _ in range(45_000)).encode()


@pytest.mark.parametrize("kinds", [300, 900])
def test_what_would_take_seconds_to_compare_is_told_and_shown_as_it_will_be(kinds: int) -> None:
    new = scattered(kinds, 2)

    found = difference(scattered(kinds, 1), new, "f").split("\n")

    assert found[0].endswith("too different to compare")
    assert found[1:401] == [f"+{line}" for line in new.decode().split("\n")[:400]]


def test_long_files_with_few_changes_are_compared() -> None:
    old = "".join(f"{n % 5000} some text\n" for n in range(12_000))

    found = difference(old.encode(), old.replace("77 some", "77 other").encode(), "f")

    assert found.startswith("--- f (now)\n")

"""The corpus of edits: the right result, byte by byte, or a refusal; never a wrong edit."""

from __future__ import annotations

import pytest

from tools.edit_cases import CASES, Case, No
from turnstone.core.edit import Edit, Refusal, change


def encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_an_edit_is_right_or_refused(case: Case) -> None:
    found = change(encoded(case.text), case.old, case.new, case.near)

    if isinstance(case.want, No):
        assert isinstance(found, Refusal), found
        assert case.want.words in found.reason
    else:
        assert isinstance(found, Edit), found
        assert found.data == encoded(case.want)


def test_the_corpus_is_as_large_as_is_promised() -> None:
    assert len(CASES) >= 150
    assert len({name for name, _ in CASES}) == len(CASES)

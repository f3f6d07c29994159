"""Errors over the wire, and back to the classes that they were."""

from __future__ import annotations

import msgspec
import pytest

from turnstone.api.problems import ErrorBody, body_of, error_of, read_error
from turnstone.core import errors


def kinds(kind: type[errors.TurnstoneError]) -> list[type[errors.TurnstoneError]]:
    lower = [found for below in kind.__subclasses__() for found in kinds(below)]
    return [kind, *lower]


#: Those that name a code of their own: the others are told as what they are a kind of.
NAMED = [kind for kind in kinds(errors.TurnstoneError) if "code" in vars(kind)]


@pytest.mark.parametrize("kind", NAMED, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_as_what_it_was(kind: type[errors.TurnstoneError]) -> None:
    error = kind.__new__(kind)  # some are made of other things than their words
    errors.TurnstoneError.__init__(error, "Something was wrong.", hint="Do it otherwise.")
    back = read_error(error.status, msgspec.json.encode(body_of(error)), "http://node")

    assert type(back) is kind
    assert str(back) == "Something was wrong. Do it otherwise."


def test_no_two_errors_have_one_code() -> None:
    codes = [kind.code for kind in NAMED]
    assert len(set(codes)) == len(codes)


def test_an_error_of_a_newer_node_keeps_its_words() -> None:
    back = error_of(ErrorBody(error="The moon is full.", code="moon"))
    assert (type(back), str(back)) == (errors.TurnstoneError, "The moon is full.")


@pytest.mark.parametrize("content", [b"", b"<html>Bad Gateway</html>", b"[]", b'{"error": 5}'])
def test_an_answer_of_another_shape_comes_from_no_node(content: bytes) -> None:
    back = read_error(502, content, "http://node")
    assert isinstance(back, errors.NodeUnavailable)
    assert "http://node is not a Turnstone node" in str(back)

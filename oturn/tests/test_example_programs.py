"""The programs in `examples/` run as they stand, and do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pages import ROOT, run

EXAMPLES = ROOT / "examples"


def example(name: str, folder: Path, *arguments: str, said: str = "") -> str:
    output, problems = run((EXAMPLES / name).read_text("utf-8"), folder, *arguments, said=said)
    assert problems == ""
    return output


def test_the_quickstart_says_what_it_is_told(tmp_path: Path) -> None:
    lines = example("quickstart.py", tmp_path, "Hello", "there").splitlines()
    assert lines[0] == "{'type': 'message_sent'}"
    assert lines[-1] == "Hello there"


def test_a_yes_at_the_gate_lets_the_tool_write(tmp_path: Path) -> None:
    output = example("gate.py", tmp_path, said="y\n")
    assert "notes.txt: Buy stamps." in output
    assert output.endswith("Noted.\n")
    assert (tmp_path / "notes.txt").read_text() == "Buy stamps.\n"


@pytest.mark.parametrize("said", ["n\n", "\n", ""])
def test_anything_else_does_not_and_hands_back(said: str, tmp_path: Path) -> None:
    output = example("gate.py", tmp_path, said=said)
    assert output.endswith("It was not allowed to write.\n(nothing was done: it is your turn)\n")
    assert not (tmp_path / "notes.txt").exists()


def test_a_transport_of_ones_own_answers(tmp_path: Path) -> None:
    lines = example("own_transport.py", tmp_path).splitlines()
    assert lines[-1].strip() == "is anybody there"
    assert sum("assistant_delta" in line for line in lines) == 3


def test_a_session_goes_on_where_it_was_left(tmp_path: Path) -> None:
    first = example("sessions.py", tmp_path, str(tmp_path), "Hello.")
    second = example("sessions.py", tmp_path, str(tmp_path), "Hello again.")
    assert first.splitlines()[1:] == ["Hello.", "now it holds 3"]
    assert second.splitlines()[0].endswith("holds 3 records")
    assert second.splitlines()[1:] == ["Hello again.", "now it holds 5"]

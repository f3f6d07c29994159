"""The diagrams of a turn: they show the whole table, and the page shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from oturn.turn import TABLE, CallPhase
from oturn.turn_diagram import BEGIN, END, edges, main, renewed

PAGE = Path(__file__).parent.parent / "docs" / "turn.md"


def test_every_row_of_the_table_is_an_arrow_and_nothing_else_is() -> None:
    turn, _ = edges()
    rows = {(phase.value, signal.__name__) for phase, signal in TABLE}
    assert {(source, signal) for source, signal, _ in turn} == rows


def test_every_phase_of_a_call_is_reached() -> None:
    _, calls = edges()
    assert {target for _, _, target in calls} == {phase.value for phase in CallPhase}


def test_the_page_shows_the_diagrams_as_they_are() -> None:
    page = PAGE.read_text("utf-8")
    assert renewed(page) == page, "run: python -m oturn.turn_diagram docs/turn.md"


def test_a_page_is_renewed_between_its_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "turn.md"
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n", "utf-8")
    assert main([str(page)]) == 0
    text = page.read_text("utf-8")
    assert text.startswith(f"above\n{BEGIN}\n")
    assert text.endswith(f"{END}\nbelow\n")
    assert "stateDiagram-v2" in text
    assert "old" not in text


def test_a_page_without_markers_is_left_as_it_is_and_the_fault_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "turn.md"
    page.write_text("no markers", "utf-8")
    assert main([str(page)]) == 1
    assert page.read_text("utf-8") == "no markers"
    assert "has no lines" in capsys.readouterr().err

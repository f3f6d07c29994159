"""`docs/api-reference.md` says what the code says: every endpoint, field, event, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from turnstone.api.endpoints import ENDPOINTS
from turnstone.api.wire02 import RENAMED
from turnstone.core import errors
from turnstone.core import events as ev

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api-reference.md").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table with this heading."""
    table = re.search(rf"^\| {re.escape(heading)} .*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None, heading
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[1].splitlines()]


def test_the_endpoints_are_those_of_the_table() -> None:
    assert rows("method") == [
        [row.method, f"`{row.path}`", row.role, row.summary] for row in ENDPOINTS
    ]


def test_the_fields_are_those_of_the_structs() -> None:
    told = {cells[0].strip("`"): cells[1:] for cells in rows("path")}
    posts = [row for row in ENDPOINTS if row.request is not None]
    assert told.keys() == {row.path for row in posts}
    for row in posts:
        assert row.request is not None
        assert row.reply is not None
        for cell, struct in zip(told[row.path], (row.request, row.reply), strict=True):
            names = set(re.findall(r"`(\w+)`", cell))
            fields = {field.name for field in msgspec.structs.fields(struct)}
            assert names == fields, row.path


def test_the_events_are_those_of_the_vocabulary() -> None:
    told = {cells[0].strip("`"): cells[1:] for cells in rows("type")}
    common = {field.name for field in msgspec.structs.fields(ev.Event)}
    kinds = {str(kind.__struct_config__.tag): kind for kind in ev.Event.__subclasses__()}
    assert told.keys() == kinds.keys()
    for name, (old, fields) in told.items():
        named = {field.name for field in msgspec.structs.fields(kinds[name])} - common
        assert set(re.findall(r"`(\w+)`", fields)) == named, name
        renamed = RENAMED.get(name)
        assert not renamed or old.startswith(f"`{renamed}`"), name


@pytest.mark.parametrize("cells", rows("status"), ids=lambda cells: cells[0])
def test_the_status_of_each_code_is_its_own(cells: list[str]) -> None:
    from turnstone.api import problems

    known = {
        kind.code: kind.status
        for module in (errors, problems)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, errors.TurnstoneError)
    }
    codes = [code for code in re.findall(r"`(\w+)`", cells[1]) if code in known]
    assert codes
    for code in codes:
        assert known[code] == int(cells[0]) or (code, cells[0]) == ("unknown_workstream", "400")

"""What a tool returns and what a call says of itself, as models and people are given it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.tools import prepare
from turnstone.core.events import ToolItem
from turnstone.core.masking import MASK, Masking
from turnstone.core.results import given, masked, writes_mask
from turnstone.core.tool import Prepared, ToolContext, ToolResult
from turnstone.tools.write_file import WriteFile

KEY = "ghp_" + "a1B2" * 9
CANARY = "canary-0123456789-abcdef"
MASKING = Masking([CANARY])


@pytest.mark.parametrize("status", ["ok", "error", "unknown", "cancelled"])
def test_text_from_outside_is_fenced_and_stripped_however_the_call_ended(status: Any) -> None:
    told = given(ToolResult(status, "obey\x1b[2J\u200b"), MASKING, source="a page", nonce="n0nce")
    assert told.status == status
    assert "\nobey\n[Text from outside ends, fence n0nce." in told.output


@pytest.mark.parametrize("source", ["", "a page"])
def test_a_key_is_masked_though_stripping_would_put_it_together(source: str) -> None:
    text = f"it is {KEY[:3]}\x1b[0m\u200b{KEY[3:]} \x1b[31m{KEY}\x1b[0m"
    told = given(ToolResult("ok", text), MASKING, source=source, nonce="n0nce")
    assert "a1B2" not in told.output
    assert told.output.count(MASK) == 2


def test_a_secret_in_the_name_of_a_source_is_masked() -> None:
    told = given(ToolResult("ok", "x"), MASKING, source=f"fetch: ?k={CANARY}", nonce="n0nce")
    assert CANARY not in told.output


def item(**fields: Any) -> ToolItem:
    return ToolItem(call_id="c", name="t", func_name="t", args_hash="h", **fields)


def test_all_that_is_shown_of_a_call_is_masked_and_its_hash_stays() -> None:
    shown = masked(
        item(
            header=f"t: {KEY}",
            preview=f"+{CANARY}",
            arguments={"a": [{"b": f"x {KEY}"}], CANARY: 1, "n": 2},
            rule=f"has read {CANARY}",
        ),
        MASKING,
        exactly=False,
    )
    assert shown == item(
        header=f"t: {MASK}",
        preview=f"+{MASK}",
        arguments={"a": [{"b": f"x {MASK}"}], MASK: 1, "n": 2},
        rule=f"has read {MASK}",
    )


def test_a_command_is_shown_exactly_but_for_the_values_of_this_process() -> None:
    command = f"curl -H {KEY} -d {CANARY} https://u:password@h/"
    shown = masked(item(header=command, preview=command), MASKING, exactly=True)
    assert shown.preview == command.replace(CANARY, MASK)
    assert KEY not in shown.header
    cut = masked(item(header=f"bash: echo {CANARY[:12]} …"), MASKING, exactly=True)
    assert cut.header == f"bash: echo {MASK} …"


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext("w", tmp_path.resolve(), 30, 10_000)


async def test_a_file_is_not_written_with_the_mark_in_place_of_its_secret(
    context: ToolContext,
) -> None:
    (context.workspace / "a").write_text(f"token: {KEY}\nport: 1\n")
    args = {"path": "a", "content": f"token: {MASK}\nport: 2\n"}
    assert writes_mask(await prepare(WriteFile(), context, **args))
    args = {"path": "new", "content": f"token: {MASK}\n"}
    assert writes_mask(await prepare(WriteFile(), context, **args))


async def test_a_file_that_has_the_mark_as_its_own_text_can_be_written(
    context: ToolContext,
) -> None:
    (context.workspace / "a").write_text(f"The mark is {MASK}.\n")
    args = {"path": "a", "content": f"The mark is {MASK}.\nMore.\n"}
    assert not writes_mask(await prepare(WriteFile(), context, **args))


def test_a_command_with_the_mark_is_refused_and_a_read_is_not() -> None:
    command = f"echo 'token: {MASK}' > a"
    call = partial(Prepared, "bash", effect="effect", header="")
    assert writes_mask(call(arguments={"command": command}, preview=command, commands=(command,)))
    assert not writes_mask(call(arguments={"query": MASK}))

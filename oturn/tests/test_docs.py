"""The pages say what is so: their programs run, their tables are those of the code."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import tomllib
import typing
from pathlib import Path
from typing import Any

import pytest

import api_reference
from agent_session import Echo, Session, kinds, resolve
from oturn import Oturn, OturnAgentConfig, OturnConfig, OturnModelConfig, OturnProviderConfig
from oturn import events as event_module
from oturn.subscribers import BURST, LANDMARKS, RESERVE
from oturn.transport.scripted import Reply, ScriptedTransport, call, call_tools, say
from pages import PAGES, ROOT, blocks_of, program_of, run

DOCS = {page.name: page for page in PAGES}
#: Its snippets need the model server of `test_readme`.
README = ROOT / "README.md"
WITH_PROGRAMS = [page for page in PAGES if page != README and blocks_of(page, "python")]
COMMANDS = {"cd", "pip", "python", "uv"}


@pytest.mark.parametrize("page", WITH_PROGRAMS, ids=lambda page: page.name)
def test_the_snippets_of_a_page_run_as_one_program(page: Path, tmp_path: Path) -> None:
    assert [block for block in blocks_of(page, "python") if block.marker] == []
    run(program_of(page), tmp_path)


def commands() -> list[list[str]]:
    text = "".join(block.text for page in PAGES for block in blocks_of(page, "sh"))
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def test_every_command_that_a_page_tells_to_type_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {words[0] for words in commands()} <= COMMANDS
    for words in commands():
        if words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]) is not None, words
        if words[0] == "cd":
            assert (ROOT / words[1]).is_dir(), words
        extra = re.search(r"\.\[(\w+)\]", words[-1])
        assert extra is None or extra[1] in project["optional-dependencies"], words


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_link_leads_to_a_file_and_to_a_heading_in_it() -> None:
    dead = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            place, _, anchor = target.partition("#")
            there = page.parent / place if place else page
            if "://" in target:
                continue
            if not there.is_file() or (anchor and anchor not in anchors(there)):
                dead.append(f"{page.name}: {target}")
    assert dead == []


def test_the_readme_names_every_page_and_every_example() -> None:
    text = README.read_text("utf-8")
    files = [*(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]
    assert [file.name for file in files if f"{file.parent.name}/{file.name}" not in text] == []


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    first = re.search(r"^## \[([^\]]+)\]", DOCS["CHANGELOG.md"].read_text(), re.MULTILINE)
    assert first is not None
    assert first[1] == ("Unreleased" if ".dev" in version else version)


def documented_events() -> dict[str, tuple[str, set[str], set[str]]]:
    """By builder: the type, the keys that are always there, and those that may be missing."""
    text = DOCS["events.md"].read_text("utf-8")
    table = text.partition("<!-- events: begin -->")[2].partition("<!-- events: end -->")[0]
    found = {}
    for row in table.strip().splitlines()[2:]:
        kind, keys, builder, _ = [cell.strip() for cell in row.strip("|").split("|")]
        optional = set(re.findall(r"\*`(\w+)`\*", keys))
        assert builder.strip("`") not in found
        always = set(re.findall(r"`(\w+)`", keys)) - optional
        found[builder.strip("`")] = (kind.strip("`"), always, optional)
    return found


def built_events() -> dict[str, tuple[str, set[str], set[str]]]:
    found = {}
    for name, builder in vars(event_module).items():
        if name.startswith("ev_"):
            event = typing.get_type_hints(builder)["return"]
            hints = typing.get_type_hints(event, include_extras=True)
            (kind,) = typing.get_args(hints.pop("type"))
            optional = {k for k, v in hints.items() if typing.get_origin(v) is typing.NotRequired}
            found[name] = (kind, hints.keys() - optional, optional)
    return found


def test_the_page_of_events_has_every_event_with_its_keys_and_nothing_else() -> None:
    assert documented_events() == built_events()


def test_the_page_of_events_says_what_is_kept_for_one_who_lags() -> None:
    section = DOCS["events.md"].read_text().partition("## Slow subscribers")[2]
    kept = re.search(r"in order\.\s+(.*?) are kept beyond", section, re.DOTALL)
    assert kept is not None
    assert set(re.findall(r"`(\w+)`", kept[1])) == LANDMARKS
    assert (BURST, RESERVE) == (32, 1_000)  # as the page words them


def shown_turn(name: str) -> list[dict[str, Any]]:
    blocks = blocks_of(DOCS["events.md"], "json")
    (text,) = [block.text for block in blocks if block.marker == f"turn: {name}"]
    return list(json.loads(text))


async def never(name: str, args: dict[str, Any]) -> bool:
    return False


def agent_of(*replies: Reply, policy: Any = None) -> Oturn:
    patient = OturnAgentConfig(answer_grace=60)
    config = OturnConfig("any", OturnProviderConfig(), OturnModelConfig(), patient)
    return Oturn(Path.cwd(), config, policy, [Echo], transport=ScriptedTransport(replies))


CALLING = call_tools(call("echo", words="x"), chunk=20)
TURNS = {
    "plain": agent_of(say("Hello, you.", reasoning="Hm.", chunk=6, usage={"total_tokens": 5})),
    "tool": agent_of(CALLING, say("Done.", chunk=20)),
    "denied": agent_of(CALLING, say("I see.", chunk=20), policy=never),
}


@pytest.mark.parametrize("name", TURNS)
async def test_a_turn_is_shown_to_the_letter(name: str) -> None:
    async with Session(TURNS[name], resolve(None)) as session:
        events = await session.ask()
    for event in events:
        if event.get("stream") == "stdout":
            event["text"] = "{…}\n"  # the page leaves the result of the call out
    shown = shown_turn(name)
    assert events == shown
    assert [list(event) for event in events] == [list(event) for event in shown]


async def test_a_cancelled_turn_is_shown_to_the_letter() -> None:
    agent = agent_of(say("a long answer", chunk=1))

    def cancel(event: dict[str, Any]) -> None:
        if event["type"] == "assistant_delta":
            agent.request_cancel_tool()

    async with Session(agent, cancel) as session:
        events = await session.ask()
    shown = shown_turn("cancelled")
    assert events[:2] == shown[:2]
    fragments = kinds(events).count("assistant_delta")  # some may have been under way
    assert events[1 + fragments :] == shown[2:]


def test_the_reference_of_names_is_up_to_date() -> None:
    shown = DOCS["api.md"].read_text("utf-8")
    assert shown == api_reference.page(), "run: python tests/api_reference.py docs/api.md"


def test_the_reference_has_every_name_of_the_top_level() -> None:
    import oturn

    text = DOCS["api.md"].read_text("utf-8")
    rest = text.partition("## `")[2]
    values = {name for name in oturn.__all__ if isinstance(getattr(oturn, name), type)}
    assert [name for name in values if f"### {name}\n" not in rest] == []

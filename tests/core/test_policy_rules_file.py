"""Rules for tool calls as they are read at the start: from the file and the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from turnstone.core.config import load_settings
from turnstone.core.errors import ConfigurationError
from turnstone.core.policy import Grants, decide
from turnstone.core.policy_rules import Rules
from turnstone.core.sandbox import Level
from turnstone.core.tool import PathUse, Prepared, ToolSpec
from turnstone.wiring import read_rules

ROOT = Path(__file__).resolve().parents[2]

_PATH = {"properties": {"path": {"type": "string"}}}

TOOLS = {
    "bash": ToolSpec(name="bash", description="", parameters={"properties": {"command": {}}}),
    "read_file": ToolSpec(name="read_file", description="", parameters=_PATH, auto_approve=True),
    "search": ToolSpec(name="search", description="", parameters=_PATH, auto_approve=True),
    "write_file": ToolSpec(name="write_file", description="", parameters=_PATH),
    "web_fetch": ToolSpec(
        name="web_fetch", description="", parameters={"properties": {"url": {"type": "string"}}}
    ),
    "math": ToolSpec(name="math", description="", parameters={}),
}


def read_from(folder: Path, page: str, **env: str) -> Rules:
    file = folder / "config.toml"
    file.write_text(page)
    settings = load_settings("turnstone", flags={"config": str(file)}, env=env, home=folder)
    return read_rules(settings, TOOLS)


def test_rules_are_read_from_the_file(tmp_path: Path) -> None:
    found = read_from(
        tmp_path, '[policy]\nallow = ["write_file(docs/**)"]\nask = ["search"]\ndeny = ["bash"]\n'
    )

    assert [r.text for r in (*found.allow, *found.ask, *found.deny)] == [
        "write_file(docs/**)",
        "search",
        "bash",
    ]


@pytest.mark.parametrize(
    ("page", "line", "says"),
    [
        ('[policy]\nallow = ["bash(ls | $X *)"]\n', 2, "means something to the shell"),
        ('[policy]\nallow = ["bash(sudo *)"]\n', 2, "it can never hold: sudo is not among"),
        ('[policy]\nallow = ["bash(git *)"]\n', 2, "of git, * may follow blame, cat-file"),
        ('[policy]\nallow = ["bash(* log)"]\n', 2, "name the program without *"),
        ('[policy]\nask = ["bash(ls | wc)"]\n', 2, "one command of plain words"),
        ('[policy]\ndeny = ["bash(ls > x)"]\n', 2, "one command of plain words"),
        ('[policy]\nallow = ["bash(ls *)"]\ndeny = ["bash(ls *)"]\n', 2, "deny has 'bash(ls *)'"),
        ('[policy]\nallow = ["bash(ls *)"]\ndeny = ["bash"]\n', 2, "deny has 'bash'"),
        ('[policy]\nask = []\ndeny = ["nothing"]\n', 3, "no tool 'nothing'"),
        ('[policy]\nallow = ["bash"]\ndeny = ["*"]\n', 2, "can never hold: deny has '*'"),
        ('[policy]\nask = ["read_file"]\nallow = ["read_file(a)"]\n', 3, "ask has 'read_file'"),
        ('[policy]\nallow = ["bash(ls)"]\ndeny = ["*(a/**)"]\n', 2, "which names commands too"),
        ('[policy]\nallow = ["bash"]\nask = ["*a*(a/**)"]\n', 2, "ask has '*a*(a/**)', which"),
        ('[policy]\nallow = ["search(a)"]\ndeny = ["*(a)"]\n', 2, "deny has '*(a)'"),
    ],
)
def test_a_rule_that_is_none_is_told_with_its_place(
    tmp_path: Path, page: str, line: int, says: str
) -> None:
    with pytest.raises(ConfigurationError) as told:
        read_from(tmp_path, page)

    assert f"config.toml:{line})" in str(told.value)
    assert says in str(told.value)


def test_the_example_of_the_page_is_taken_and_each_of_its_allow_rules_holds(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```toml\n(\[policy\]\n.*?)```", page, re.DOTALL)
    workspace = tmp_path / "workspace"
    rules = read_from(tmp_path, example).placed(workspace.parts, lambda path: path)
    write = PathUse(workspace / "docs" / "a.md", "write", inside=True)
    calls = {
        "write_file(docs/**)": prepared("write_file", paths=(write,)),
        "bash(git status)": prepared("bash", commands=("git status",)),
        "bash(git log *)": prepared("bash", commands=("git log -3",)),
        "web_fetch(.python.org)": prepared("web_fetch", network=True, hosts=("docs.python.org",)),
    }

    assert [rule.text for rule in rules.allow] == list(calls)
    for text, call in calls.items():
        found = decide(call, TOOLS[call.tool], Grants(), Level.L3, rules)
        assert (found.verdict, found.rule) == ("allow", f"allow {text}")


def prepared(tool: str, **uses: Any) -> Prepared:
    return Prepared(tool=tool, arguments={}, effect="effect", header="", **uses)


def test_an_allow_rule_through_a_link_is_told_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    real = tmp_path.resolve() / "real"

    with pytest.raises(ConfigurationError) as told:
        read_from(tmp_path, f'[policy]\nallow = ["read_file({tmp_path}/link/**)"]\n')

    assert f"{real}/**" in str(told.value)
    read_from(tmp_path, f'[policy]\nallow = ["read_file({real}/**)"]\n')
    read_from(tmp_path, f'[policy]\ndeny = ["read_file({tmp_path}/link/**)"]\n')


def test_every_wrong_rule_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as told:
        read_from(tmp_path, '[policy]\nallow = ["one", "bash"]\nask = ["two"]\n')

    assert "'one'" in str(told.value)
    assert "'two'" in str(told.value)
    assert "'bash'" not in str(told.value).partition("the tools are")[0]


def test_rules_may_come_from_the_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="TURNSTONE_POLICY_DENY"):
        read_from(tmp_path, "", TURNSTONE_POLICY_DENY="nothing")

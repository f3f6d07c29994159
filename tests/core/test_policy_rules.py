"""Rules for tool calls: what one matches, what cannot be one, and which of them win."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.core.events import Grant
from turnstone.core.policy import Grants, Ruling, decide
from turnstone.core.policy_rules import Parts, RuleError, Rules, parse
from turnstone.core.sandbox import Level
from turnstone.core.tool import Access, PathUse, Prepared, ToolContext, ToolSpec
from turnstone.tools.paths import resolve

WORKSPACE = Path("/work/space")
HOME = Path("/users/ann")
_PATH = {"properties": {"path": {"type": "string"}}}

TOOLS = {
    "bash": ToolSpec(name="bash", description="", parameters={"properties": {"command": {}}}),
    "read_file": ToolSpec(name="read_file", description="", parameters=_PATH, auto_approve=True),
    "search": ToolSpec(name="search", description="", parameters=_PATH, auto_approve=True),
    "write_file": ToolSpec(name="write_file", description="", parameters=_PATH),
    "math": ToolSpec(name="math", description="", parameters={}),
    "web_fetch": ToolSpec(
        name="web_fetch", description="", parameters={"properties": {"url": {}, "question": {}}}
    ),
}
EVERYTHING = Grants(
    auto_approve=True,
    tools=frozenset(TOOLS),
    always=frozenset(Grant(tool) for tool in TOOLS),
)


def as_it_is(path: Parts) -> Parts:
    return path


def rules(
    *, allow: tuple[str, ...] = (), ask: tuple[str, ...] = (), deny: tuple[str, ...] = ()
) -> Rules:
    read = [tuple(parse(text, TOOLS, HOME.parts) for text in some) for some in (allow, ask, deny)]
    return Rules(*read).placed(WORKSPACE.parts, as_it_is)


def call_of(tool: str, *paths: str, **marks: bool) -> Prepared:
    """A call with these paths, as `prepare` gives it: absolute, or from the workspace."""
    uses = []
    for path in paths:
        place = WORKSPACE / path
        inside = place.is_relative_to(WORKSPACE) and not marks.get("sensitive", False)
        uses.append(PathUse(place, "read", inside, **marks))
    commands = ("ls",) if tool == "bash" else ()
    return Prepared(
        tool=tool, arguments={}, effect="pure", header="", paths=tuple(uses), commands=commands
    )


def command_of(command: str) -> Prepared:
    return replace(call_of("bash"), commands=(command,))


def fetch_of(hosts: tuple[str, ...]) -> Prepared:
    return replace(call_of("web_fetch"), network=True, hosts=hosts)


def ruling(prepared: Prepared, found: Rules, grants: Grants = Grants()) -> Ruling:  # noqa: B008 - frozen
    return decide(prepared, TOOLS[prepared.tool], grants, Level.L3, found)


@pytest.mark.parametrize(
    ("rule", "path", "matches"),
    [
        ("write_file(docs/**)", "docs/a.md", True),
        ("write_file(docs/**)", "docs/deep/er/a.md", True),
        ("write_file(./docs/**)", "docs/a.md", True),
        ("write_file(docs/**)", "docsy/a.md", False),
        ("write_file(docs/**)", "src/docs/a.md", False),
        ("write_file(docs/*)", "docs/a.md", True),
        ("write_file(docs/*)", "docs/deep/a.md", False),
        ("write_file(**/docs/*)", "src/docs/a.md", True),
        ("write_file(**/docs/*)", "docs/a.md", True),
        ("write_file(**/*.md)", "a.md", True),
        ("write_file(*.md)", "docs/a.md", False),
        ("write_file(a?c)", "abc", True),
        ("write_file(a[bx]c)", "axc", True),
        ("write_file(a[bx]c)", "a[bx]c", False),
        ("write_file(a[[]bx]c)", "a[bx]c", True),
        ("write_file(docs/a(1).md)", "docs/a(1).md", True),
        ("write_file(~/notes/**)", "/users/ann/notes/a", True),
        ("write_file(~/notes/**)", "/users/bob/notes/a", False),
        ("write_file(/srv/**)", "/srv/a/b", True),
        ("write_file(/srv/**)", "srv/a", False),
        ("write_*(docs/**)", "docs/a.md", True),
        ("*(docs/**)", "docs/a.md", True),
        ("read_file(docs/**)", "docs/a.md", False),
    ],
)
def test_what_a_rule_matches_it_matches_in_each_list(rule: str, path: str, matches: bool) -> None:
    prepared = call_of("write_file", path)

    assert ruling(prepared, rules(allow=(rule,))).verdict == ("allow" if matches else "ask")
    assert ruling(prepared, rules(deny=(rule,)), EVERYTHING).verdict != "allow" or not matches
    assert (ruling(prepared, rules(deny=(rule,))).verdict == "deny") == matches


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "written as"),
        ("read_file(docs", "written as"),
        ("read file", "written as"),
        ("raed_file", "no tool 'raed_file'"),
        ("raed_*(docs/**)", "no tool 'raed_*'"),
        ("bash()", "its command is empty"),
        ("bash(ls 'a)", "a quote that is not closed"),
        ("bash(ls $X *)", "nothing that means something to the shell"),
        ("ba*(git\tlog)", "not printable ASCII"),
        ("bash(git lоg)", "not printable ASCII"),
        ("web_fetch()", "its host is empty"),
        ("web_fetch(https://docs.python.org)", "it is no host"),
        ("web_fetch(docs.python.org/3)", "it is no host"),
        ("web_fetch(*.python.org)", "it is no host"),
        ("web_fetch(.)", "it is no host"),
        ("web_fetch(bücher.example)", "xn--"),
        ("math(2)", "uses no path"),
        ("read_file()", "its path is empty"),
        ("read_file( )", "its path is empty"),
        ("read_file(docs/)", "write docs/**"),
        ("read_file(docs/../x)", '".."'),
        ("read_file(docs**)", '"**"'),
        ("read_file(a[b)", '"]"'),
        ("read_file([])", '"]"'),
        ("read_file(a\0b)", "not to be seen"),
        ("read_file(a\nb)", "not to be seen"),
        ("read_file(~bob/x)", "~/"),
    ],
)
def test_what_cannot_be_a_rule_is_told(text: str, says: str) -> None:
    with pytest.raises(RuleError) as told:
        parse(text, TOOLS, HOME.parts)

    assert says in str(told.value)


def test_a_rule_for_home_needs_a_home() -> None:
    with pytest.raises(RuleError, match="HOME"):
        parse("read_file(~/x)", TOOLS, None)


@pytest.mark.parametrize("text", ["write_file(Docs/**)", "write_file(DOCS/A.md)", "write_file"])
def test_rules_that_forbid_do_not_look_at_case_and_rules_that_permit_do(text: str) -> None:
    prepared = call_of("write_file", "docs/a.MD")

    assert ruling(prepared, rules(deny=(text,))).verdict == "deny"
    assert (ruling(prepared, rules(allow=(text,))).verdict == "allow") == (text == "write_file")


def test_a_search_is_refused_for_what_lies_below_and_permitted_only_with_all_of_it() -> None:
    outer = call_of("search", ".", tree=True)
    docs = call_of("search", "/srv/docs", tree=True)

    refused = ruling(outer, rules(deny=("search(secrets/**)",)))
    assert refused.verdict == "deny"
    assert "search(secrets/**)" in refused.reason
    assert f"look into {WORKSPACE}/secrets/**; folders without that may be" in refused.reason
    assert ruling(docs, rules(deny=("search(secrets/**)",)), EVERYTHING).verdict == "ask"
    assert ruling(docs, rules(allow=("search(/srv/docs)",))).verdict == "ask"
    assert ruling(docs, rules(allow=("search(/srv/docs/*)",))).verdict == "ask"
    assert ruling(docs, rules(allow=("search(/srv/docs/**)",))).verdict == "allow"
    assert ruling(docs, rules(allow=("search(/srv/**)",))).verdict == "allow"


def test_what_is_sensitive_is_permitted_only_by_its_whole_name() -> None:
    secret = call_of("read_file", ".env", sensitive=True)

    for wide in ("read_file", "read_file(**)", "read_file(.e*)", "*"):
        assert ruling(secret, rules(allow=(wide,)), EVERYTHING).verdict == "ask"
    assert ruling(secret, rules(allow=("read_file(.env)",))).verdict == "allow"


def test_a_rule_without_a_path_permits_nothing_outside_the_workspace() -> None:
    assert ruling(call_of("write_file", "a"), rules(allow=("write_file",))).verdict == "allow"
    assert ruling(call_of("write_file", "/a"), rules(allow=("write_file",))).verdict == "ask"


def test_every_path_of_a_call_must_be_permitted() -> None:
    both = call_of("write_file", "a", "/b")

    assert ruling(both, rules(allow=("write_file",))).verdict == "ask"
    assert ruling(both, rules(allow=("write_file", "write_file(/b)"))).verdict == "allow"
    assert ruling(both, rules(deny=("write_file(/b)",)), EVERYTHING).verdict == "deny"


def test_a_command_that_a_forbidding_rule_with_a_path_names_is_asked_about() -> None:
    command = call_of("bash")

    assert ruling(command, rules(allow=("bash",))).verdict == "allow"
    assert ruling(command, rules(deny=("*(secrets/**)",)), EVERYTHING).verdict == "ask"
    assert ruling(command, rules(ask=("*(secrets/**)",)), EVERYTHING).verdict == "ask"
    assert ruling(command, rules(deny=("*_file(secrets/**)",)), EVERYTHING).verdict == "allow"
    assert ruling(command, rules(deny=("b*",)), EVERYTHING).verdict == "deny"


@pytest.mark.parametrize(
    ("rule", "hosts", "permitted", "forbidden"),
    [
        ("docs.python.org", ("docs.python.org",), True, True),
        ("docs.python.org", ("DOCS.Python.org.",), True, True),
        ("Docs.Python.org", ("docs.python.org",), True, True),
        ("docs.python.org", ("docs.python.org.evil.example",), False, False),
        ("docs.python.org", ("evil.docs.python.org",), False, False),
        ("docs.python.org", (), False, False),
        ("python.org", ("evilpython.org",), False, False),
        (".python.org", ("docs.python.org",), True, True),
        (".python.org", ("a.b.python.org",), True, True),
        (".python.org", ("python.org",), True, True),
        (".python.org", ("evilpython.org",), False, False),
        (".python.org", ("python.org.evil.example",), False, False),
        (".python.org", ("docs.python.org", "evil.example"), False, True),
        ("[::1]", ("::1",), True, True),
        ("10.0.0.1", ("10.0.0.10",), False, False),
    ],
)
def test_what_a_rule_with_a_host_matches(
    rule: str, hosts: tuple[str, ...], permitted: bool, forbidden: bool
) -> None:
    call, text = fetch_of(hosts), f"web_fetch({rule})"

    assert (ruling(call, rules(allow=(text,))).verdict == "allow") == permitted
    assert (ruling(call, rules(deny=(text,)), EVERYTHING).verdict == "deny") == forbidden


def test_a_call_whose_hosts_are_not_known_is_asked_where_a_rule_forbids_some() -> None:
    call = fetch_of(())

    assert ruling(call, rules(deny=("web_fetch(a.example)",)), EVERYTHING).verdict == "ask"
    assert ruling(call, rules(allow=("web_fetch(a.example)",))).verdict == "ask"


def test_the_hosts_are_part_of_what_is_approved() -> None:
    assert fetch_of(("a.example",)).hash != fetch_of(("b.example",)).hash


def test_no_rule_lets_commands_run_unasked_where_they_cannot_be_confined() -> None:
    found = decide(call_of("bash"), TOOLS["bash"], EVERYTHING, Level.L0, rules(allow=("bash",)))

    assert found.verdict == "ask"
    assert found.always == ()


def test_always_would_permit_what_was_missing_and_nothing_else() -> None:
    inside, outside = call_of("write_file", "a"), call_of("write_file", "a", "/etc/b")

    assert ruling(inside, rules()).always == (Grant("write_file"),)
    assert ruling(outside, rules(allow=("write_file",))).always == (Grant("write_file", "/etc/b"),)
    assert ruling(call_of("bash"), rules()).always == (
        Grant("bash", "", "ls", "L3 without network"),
    )
    assert ruling(inside, rules(ask=("write_file",))).always == ()


# Properties: over any rules, permissions and calls.

_NAMES = st.sampled_from(["docs", "Docs", "secrets", "a.md", ".env", "b"])
_PLACES = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_PATHS = st.one_of(_PLACES, _PLACES.map("/{}".format))
_PATTERNS = st.lists(
    st.one_of(_NAMES, st.sampled_from(["**", "*", "?ocs", "[ds]*"])), min_size=1, max_size=4
).map("/".join)
_TEXTS = st.one_of(
    st.sampled_from([*TOOLS, "*", "*_file", "bash(ls)", "bash(ls *)", "b*(rm *)", "web_fetch(a)"]),
    st.builds(
        "{}({}{})".format,
        st.sampled_from(["read_file", "write_file", "search", "*", "*_file"]),
        st.sampled_from(["", "/", "~/"]),
        _PATTERNS,
    ),
)
_LISTS = st.lists(_TEXTS, max_size=3).map(tuple)
_RULES = st.builds(lambda a, b, c: rules(allow=a, ask=b, deny=c), _LISTS, _LISTS, _LISTS)
_GRANTS = st.builds(
    Grants,
    st.booleans(),
    st.frozensets(st.sampled_from(sorted(TOOLS))),
    st.frozensets(
        st.one_of(
            st.builds(Grant, st.sampled_from(sorted(TOOLS)), st.sampled_from(["", "/b"])),
            st.just(Grant("bash", "", "ls", "L3 without network")),
        )
    ),
)
_CALLS = st.one_of(
    st.builds(call_of, st.sampled_from(["read_file", "write_file"]), _PATHS),
    st.builds(lambda path: call_of("search", path, tree=True), _PATHS),
    st.builds(lambda path: call_of("read_file", path, sensitive=True), _PLACES),
    st.builds(call_of, st.sampled_from(["bash", "math"])),
    st.sampled_from(["ls -la", "rm x", "ls; rm x", "$X", "ls '"]).map(command_of),
    st.sampled_from([(), ("a",), ("b",)]).map(fetch_of),
)
_LEVELS = st.sampled_from(list(Level))
_ORDER = {"deny": 0, "ask": 1, "allow": 2}


def judged(prepared: Prepared, found: Rules, grants: Grants, level: Level) -> str:
    return decide(prepared, TOOLS[prepared.tool], grants, level, found).verdict


@given(_CALLS, _RULES, _GRANTS, _LEVELS)
def test_what_a_deny_rule_touches_is_denied_whatever_else_there_is(
    prepared: Prepared, found: Rules, grants: Grants, level: Level
) -> None:
    touched = any(rule.touches(prepared) for rule in found.deny)

    assert (judged(prepared, found, grants, level) == "deny") == touched


@given(_CALLS, _RULES, _GRANTS, _LEVELS, st.sampled_from(["deny", "ask"]), _TEXTS)
def test_one_more_rule_that_forbids_never_allows_more(
    prepared: Prepared, found: Rules, grants: Grants, level: Level, which: str, text: str
) -> None:
    [rule] = rules(deny=(text,)).deny
    more = replace(found, **{which: (*getattr(found, which), rule)})

    before, after = (judged(prepared, r, grants, level) for r in (found, more))
    assert _ORDER[after] <= _ORDER[before]


@given(_CALLS, _RULES, _GRANTS, _LEVELS, _TEXTS)
def test_one_more_allow_rule_or_permission_goes_over_no_rule_that_forbids(
    prepared: Prepared, found: Rules, grants: Grants, level: Level, text: str
) -> None:
    [rule] = rules(allow=(text,)).allow
    more = replace(found, allow=(*found.allow, rule))

    for wider, permitted in ((more, grants), (found, EVERYTHING), (more, EVERYTHING)):
        verdict = judged(prepared, wider, permitted, level)
        assert (verdict == "deny") == (judged(prepared, found, grants, level) == "deny")
        if any(asking.touches(prepared) for asking in found.ask):
            assert verdict != "allow"


@given(_CALLS, _RULES, _GRANTS, _LEVELS, st.randoms())
def test_the_order_of_rules_means_nothing(
    prepared: Prepared, found: Rules, grants: Grants, level: Level, random: Any
) -> None:
    def mixed(some: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(some, len(some)))

    other = Rules(mixed(found.allow), mixed(found.ask), mixed(found.deny))
    verdict = judged(prepared, found, grants, level)
    assert judged(prepared, other, grants, level) == verdict


@given(_CALLS, _RULES, _GRANTS, _LEVELS)
def test_always_makes_exactly_this_call_run_and_no_other_path_outside(
    prepared: Prepared, found: Rules, grants: Grants, level: Level
) -> None:
    first = decide(prepared, TOOLS[prepared.tool], grants, level, found)
    if not first.always:
        return
    granted = replace(grants, always=grants.always | set(first.always))

    assert judged(prepared, found, granted, level) == "allow"
    other = call_of(prepared.tool, "/somewhere/else")
    if prepared.paths:
        assert judged(other, found, granted, level) == judged(other, found, grants, level)


@given(st.text(max_size=40))
def test_any_text_is_a_rule_or_is_refused_in_words(text: str) -> None:
    try:
        rule = parse(text, TOOLS, HOME.parts)
    except RuleError as error:
        assert str(error)
    else:
        assert rule.text == text.strip()


# Against real files: what counts is where a path leads.


def resolved(path: Parts) -> Parts:
    return Path(os.path.realpath(Path(*path))).parts


def judged_in(
    workspace: Path, raw: str, access: Access = "write", **some: tuple[str, ...]
) -> Ruling:
    """What becomes of a call with the path that a model wrote."""
    context = ToolContext("ws", workspace, timeout=1, max_output=1)
    tool = "write_file" if access == "write" else "read_file"
    use = resolve(raw, context, access)
    prepared = Prepared(tool=tool, arguments={}, effect="pure", header="", paths=(use,))
    read = {key: tuple(parse(t, TOOLS, None) for t in texts) for key, texts in some.items()}
    return ruling(prepared, Rules(**read).placed(workspace.parts, resolved))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    place = tmp_path.resolve() / "workspace"
    (place / "secrets").mkdir(parents=True)
    (place / "docs").mkdir()
    (tmp_path / "outside").mkdir()
    (place / "way").symlink_to("secrets")
    (place / "docs" / "out").symlink_to(tmp_path / "outside")
    return place


@pytest.mark.parametrize(
    "raw",
    ["secrets/a", "docs/../secrets/a", "./secrets//a", "way/a", "docs/../way/a", "{}/secrets/a"],
)
def test_no_spelling_of_a_path_gets_round_a_deny_rule(workspace: Path, raw: str) -> None:
    found = judged_in(workspace, raw.format(workspace), deny=("write_file(secrets/**)",))

    assert found.verdict == "deny"


def test_a_link_does_not_lead_out_of_an_allow_rule(workspace: Path) -> None:
    rule = ("write_file(docs/**)",)

    assert judged_in(workspace, "docs/a", allow=rule).verdict == "allow"
    assert judged_in(workspace, "docs/out/a", allow=rule).verdict == "ask"
    assert judged_in(workspace, "docs/../b", allow=rule).verdict == "ask"


def test_a_link_in_the_path_of_a_rule_is_followed_to_forbid_and_not_to_permit(
    workspace: Path,
) -> None:
    assert judged_in(workspace, "secrets/a", deny=("write_file(way/**)",)).verdict == "deny"
    assert judged_in(workspace, "secrets/a", allow=("write_file(way/**)",)).verdict == "ask"
    assert judged_in(workspace, "way/a", allow=("write_file(way/**)",)).verdict == "ask"

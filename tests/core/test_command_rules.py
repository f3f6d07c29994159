"""Rules that permit commands: nothing else gets past them, and what is innocent does."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import needs
from support.command_attacks import ATTACKS, INNOCENT, RULES, Attack, make_workspace
from support.command_calls import BASH, call_of, rules, verdict
from turnstone.core import shell
from turnstone.core.command_rules import CommandPattern, Match, PatternError, parse_pattern
from turnstone.core.events import Grant
from turnstone.core.policy import Grants, decide
from turnstone.core.policy_rules import Rules, parse
from turnstone.core.sandbox import Command, Level
from turnstone.sandbox import find_sandbox

PATTERNS = [parse_pattern(rule) for rule in RULES]
TRICKS = sorted({name.rpartition(" ")[0] for name in ATTACKS})


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_no_attack_gets_past_the_rules_that_permit(attack: Attack) -> None:
    allowed = Rules(allow=tuple(parse(f"bash({rule})", {"bash": BASH}, None) for rule in RULES))

    found = decide(call_of(attack.command), BASH, Grants(), Level.L3, allowed)

    assert found.verdict == "ask"
    assert found.always == (Grant("bash", "", attack.command, "L3 without network"),)


def first_token(command: str) -> str:
    """What a rule that only looks at the first word takes for the program."""
    found = re.match(r"\s*(?:\w+=(?:'[^']*'|\S*)\s+)*([\w./+-]+)", command, re.ASCII)
    return found[1] if found else ""


@pytest.mark.parametrize("trick", TRICKS)
async def test_each_attack_works_where_only_the_first_word_is_looked_at(
    trick: str, tmp_path: Path
) -> None:
    """Without this, the test above would prove nothing."""
    needs.require("git")
    sandbox = await find_sandbox()
    if sandbox.confinement.level < Level.L2:
        needs.give_up("commands that attack run only where they are confined")
    programs = {rule.split()[0] for rule in RULES}
    make_workspace(tmp_path / "template")
    failed = []
    attacks = {n: a for n, a in ATTACKS.items() if n.rpartition(" ")[0] == trick and a.seen}
    for name, attack in attacks.items():
        if attack.needs and shutil.which(attack.needs) is None:
            continue
        workspace = tmp_path / name.replace(" ", "-")
        shutil.copytree(tmp_path / "template", workspace)
        assert first_token(attack.command) in programs, attack.command
        for _ in range(5):  # what runs beside the command may be stopped with it before it acts
            result = await sandbox.run(Command(attack.command, workspace, 20.0), lambda _: None)
            if (workspace / "pwned").exists():
                break
        else:
            failed.append((attack.command, result.output[:200]))
    assert attacks
    assert failed == []


@pytest.mark.parametrize("command", INNOCENT)
def test_innocent_commands_run_unasked(command: str) -> None:
    assert any(pattern.permits(command) for pattern in PATTERNS)


@pytest.mark.parametrize(
    ("pattern", "command", "permitted"),
    [
        ("git status", "git status", True),
        ("git status", "git  status ", True),
        ("git status", "git 'status'", True),
        ("git status", "git status -s", False),
        ("git status", "'git' status", False),
        ("git log *", "git log", True),
        ("git log *", "git log a b c", True),
        ("git log*", "git log", False),
        ("ls -l*", "ls -la", True),
        ("ls -l*", "ls -la docs", False),
        ("git show * README.md", "git show HEAD README.md", True),
        ("git show * README.md", "git show HEAD HEAD README.md", False),
        ("ls docs/*", "ls docs/a", True),
        ("ls docs/*", "ls src", False),
        ("ls '*.py'", "ls '*.py'", True),
        ("ls '*.py'", "ls *.py", False),
        ("ls '*.py'", "ls a.py", False),
        ("ls *.py", "ls a.py", True),
        ("ls *.py", "ls *.py", False),
        ("ls | wc -l", "ls | wc -l", True),
        ("ls | wc -l", "ls |  wc -l", False),
        ("ls | wc -l", "ls | wc -lx", False),
        ("python3 -m pytest -q", "python3 -m pytest -q", True),
        ("sudo systemctl restart x", "sudo systemctl restart x", True),
        ("A=1 make test", "A=1 make test", True),
        ("A=1 make test", "A=1  make test", False),
        ("head docs/*", "head docs/a", True),
        ("head docs/*", "head docs/../a", False),
        ("cat *", "cat /etc/a", False),
        ("cat *", "cat ../a", False),
        ("cat *", "cat docs/../../a", False),
        ("cat *", "cat ~/a", False),
        ("ls *", "ls -r/etc/a b", False),
        ("ls *", "ls a=/etc/a", False),
        ("ls *", "ls --color=../a b", False),
        ("cat /etc/a *", "cat /etc/a b", True),
        ("/bin/cat *", "/bin/cat b", True),
        ("cat *", "cat .env", False),
        ("cat *", "cat sub/.env.local", False),
        ("cat *", "cat .ENV", False),
        ("cat *", "cat id_rsa", False),
        ("cat *", "cat .ssh/config", False),
        ("cat *", "cat .git/config", False),
        ("cat .e*", "cat .env", False),
        ("cat .env", "cat .env", True),
        ("git show *", "git show HEAD:.env", False),
        ("git diff *", "git diff -- key.pem", False),
        ("grep *", "grep -r x .", False),
        ("rg *", "rg --hidden x", False),
        ("rg *", "rg -g '*' x", False),
        ("rg *", "rg -u x", False),
        ("tail *", "tail -f x", False),
        ("sort *", "sort -ro x", False),
        ("git log *", "git log --outp=x", False),
        ("git grep *", "git grep -Ox y", False),
        ("find *", "find . -name '*.py' -newer a", True),
        ("find *", "find . -delete", False),
        ("touch /etc/a", "touch /etc/a", True),
    ],
)
def test_what_a_pattern_permits(pattern: str, command: str, permitted: bool) -> None:
    assert parse_pattern(pattern).permits(command) is permitted


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "g* log",
        "git *",
        "git -c *",
        "git rebase *",
        "git config *",
        "sudo *",
        "/usr/bin/env *",
        "python3.11 *",
        "bash *",
        "sh -c *",
        "xargs ls *",
        "timeout 5 *",
        "awk *",
        "sed -n *",
        "tar tf *",
        "cargo *",
        "npm exec *",
        "npx *",
        "docker run *",
        "ssh host *",
        "eval *",
        "cd *",
        "export *",
        "time ls *",
        "split *",
        "install *",
        "strip *",
        "setarch *",
        "run-parts *",
        "logsave *",
        "jest *",
        "eslint *",
        "ssh-keygen *",
        "coverage *",
        "tsx *",
        "fakeroot *",
        "dig *",
        "host *",
        "getent *",
        "make *",
        "pytest *",
        "touch docs/*",
        "git add *",
        "git branch *",
        "./ls *",
        "bin/cat *",
        "find . -exec *",
        "sort -o *",
        "rg --pre *",
        "git diff --output=x *",
        "a-program-nobody-knows *",
    ],
)
def test_a_wildcard_that_could_let_anything_run_never_permits_and_that_is_told(
    pattern: str,
) -> None:
    read = parse_pattern(pattern)

    assert read.never_permits()
    assert not read.permits(pattern.replace("*", "x"))
    assert not read.permits(pattern)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "git \u043bog",
        "git\tlog",
        "ls 'a",
        'ls "a',
        "ls $X *",
        "ls > *",
        "ls * | wc",
        "ls ~/*",
        "A=1 ls *",
        "'ls' *",
    ],
)
def test_what_cannot_be_a_pattern_is_told(text: str) -> None:
    with pytest.raises(PatternError) as told:
        parse_pattern(text)

    assert str(told.value)


@pytest.mark.parametrize(
    "script",
    ["if true", "for a in b", "case a in", "function f", "select a in b", "export A", "unset A"],
)
def test_words_that_the_shell_keeps_for_itself_are_no_plain_command(script: str) -> None:
    assert shell.plain_words(script) is None


def test_always_permits_these_bytes_and_no_others() -> None:
    granted = Grants(always={Grant("bash", "", "git log; ls", "L3 without network")})

    assert verdict("git log; ls", rules(), granted) == "allow"
    for other in ("git log; ls ", "git log;  ls", "git log; ls\n", "git log", "git lоg; ls"):
        assert verdict(other, rules(), granted) == "ask"


@pytest.mark.parametrize("network", [False, True])
def test_always_holds_only_where_the_command_is_confined_as_it_was(network: bool) -> None:
    call = replace(call_of("git push"), network=network)
    granted = Grants(always=set(decide(call, BASH, Grants(), Level.L3, rules()).always))
    assert len(granted.always) == 1

    assert decide(call, BASH, granted, Level.L3, rules()).verdict == "allow"
    for level in (Level.L2, Level.L0):
        assert decide(call, BASH, granted, level, rules()).verdict == "ask"
    other = replace(call, network=not network)
    assert decide(other, BASH, granted, Level.L3, rules()).verdict == "ask"


# Properties.

_BITS = st.sampled_from(
    """git log rm touch -rf x=1 a/b --out=x HEAD~3 main^ ' " \\ $ ` ( ) { } < > | & ; # * ? [ ] ! ~
    = , : @ % + - . 'a b' "c d" $(x) ${x} $x \\; && || >> <<E E 2>&1 $'x' $"x" é""".split()
)
_SHELL = st.lists(st.one_of(_BITS, st.sampled_from([" ", " ", "\n", "\t"])), max_size=14).map(
    "".join
)
_ANY = st.one_of(_SHELL, _SHELL.map("git log {}".format), st.text(max_size=60))


@given(_ANY)
def test_any_text_is_judged_and_only_plain_words_are_permitted(text: str) -> None:
    for pattern in PATTERNS:
        assert pattern.about(text) in Match
        if pattern.permits(text):
            words = shell.plain_words(text)
            assert words is not None
            assert text.removesuffix("\n").isprintable()
            assert not re.search(
                r"[;&|<>`$\\(){}\n]", re.sub(r"'[^']*'|\"[^\"]*\"", "", text.strip())
            )
            assert pattern.words[0].fits(words[0])


@given(_ANY)
def test_a_pattern_of_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        pattern = parse_pattern(text.strip())
    except PatternError as error:
        assert str(error)
    else:
        assert isinstance(pattern, CommandPattern)
        assert pattern.permits(text.strip()) or not pattern.exact


@pytest.fixture(scope="module")
def echoing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a program that prints the words it was given, a zero after each."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "prog"
    program.write_text('#!/bin/sh\nprintf "%s\\0" prog "$@"\n')
    program.chmod(0o755)
    return folder


_PLAIN_BITS = st.sampled_from(
    """a b/c -n --x=y HEAD~3 main^ 'd e' "f g" '' "" 'h"i' "j'k" '$x' "a;b" = ~ ^ : , @ % + - . ~a a~
    =~ :~ 1 2> x=~ x=1 '*' "?" # a#b !""".split()
)
_PLAIN = st.lists(st.one_of(_PLAIN_BITS, st.just(" ")), max_size=10).map("".join)


@given(st.one_of(_PLAIN, _SHELL))
def test_bash_gives_a_program_exactly_the_words_that_were_judged(echoing: Path, text: str) -> None:
    script = f"prog {text}"
    words = shell.plain_words(script)
    if words is None:
        return
    ran = subprocess.run(
        ["/bin/bash", "--noprofile", "--norc", "-c", script],
        env={"PATH": str(echoing), "HOME": "/users/ann"},
        capture_output=True,
        check=True,
        cwd=echoing,
    )
    assert tuple(ran.stdout.decode().split("\0")[:-1]) == words
    assert ran.stderr == b""

"""Rules that forbid commands: what they are about is found wherever it stands, or asked about."""

from __future__ import annotations

import re

import pytest

from support.command_attacks import ATTACKS, Attack
from support.command_calls import rules, verdict
from turnstone.core.command_rules import parse_pattern
from turnstone.core.events import Grant
from turnstone.core.policy import Grants


@pytest.mark.parametrize(
    ("pattern", "command", "match"),
    [
        ("rm *", "rm -rf x", "YES"),
        ("rm *", "rm", "YES"),
        ("rm", "rm -rf x", "YES"),
        ("rm *", "/bin/rm x", "YES"),
        ("rm *", "../../bin/rm x", "YES"),
        ("rm *", "~/bin/rm x", "YES"),
        ("rm *", "RM x", "YES"),
        ("rm *", "r''m x", "YES"),
        ("rm *", 'r"m" x', "YES"),
        ("rm *", "\\rm x", "YES"),
        ("rm *", "r\\m x", "YES"),
        ("rm *", "r\\\nm x", "YES"),
        ("rm *", "'rm' x", "YES"),
        ("rm *", "$'rm' x", "YES"),
        ("rm *", "A=1 rm x", "YES"),
        ("rm *", "ls; rm x", "YES"),
        ("rm *", "ls && rm x", "YES"),
        ("rm *", "ls | rm x", "YES"),
        ("rm *", "(rm x)", "YES"),
        ("rm *", "{ rm x; }", "YES"),
        ("rm *", "if a; then rm x; fi", "YES"),
        ("rm *", "for a in b; do rm x; done", "YES"),
        ("rm *", "f() { rm x; }; f", "YES"),
        ("rm *", "! rm x", "YES"),
        ("rm *", "rm x &", "YES"),
        ("rm *", "rm x > y", "YES"),
        ("rm *", "> y rm x", "YES"),
        ("rm *", "echo $(rm x)", "YES"),
        ("rm *", "echo `rm x`", "YES"),
        ("rm *", 'echo "$(rm x)"', "YES"),
        ("rm *", "cat <(rm x)", "YES"),
        ("rm *", "cat <<E\n$(rm x)\nE", "YES"),
        ("rm *", "echo ${a:-$(rm x)}", "YES"),
        ("rm *", "sudo rm x", "YES"),
        ("rm *", "sudo -u ann rm x", "YES"),
        ("rm *", "env A=1 rm x", "YES"),
        ("rm *", "xargs -n 1 rm < list", "YES"),
        ("rm *", "nohup nice -n 5 timeout 5 rm x", "YES"),
        ("rm *", "time rm x", "YES"),
        ("rm *", "exec rm x", "YES"),
        ("rm *", "command rm x", "YES"),
        ("rm *", "find . -exec rm {} ;", "YES"),
        ("rm *", "find . -exec rm {} \\;", "YES"),
        ("rm *", "bash -c 'rm x'", "YES"),
        ("rm *", "sh -ec 'ls; rm x'", "YES"),
        ("rm *", "sudo bash -c 'sh -c \"rm x\"'", "YES"),
        ("rm *", "eval 'rm x'", "YES"),
        ("rm *", "eval rm x", "YES"),
        ("rm *", "ssh host 'rm x'", "YES"),
        ("rm *", "env -S 'rm x'", "YES"),
        ("rm *", "trap 'rm x' EXIT", "YES"),
        ("rm *", "echo " + "x; echo " * 60 + "x; rm x", "YES"),
        ("rm *", "$X x", "MAYBE"),
        ("rm *", "$(echo rm) x", "MAYBE"),
        ("rm *", "/bin/r? x", "MAYBE"),
        ("rm *", "{rm,x}", "MAYBE"),
        ("rm *", "$'\\x72m' x", "MAYBE"),
        ("rm *", 'bash -c "$X"', "MAYBE"),
        ("rm *", "echo rm x | sh", "MAYBE"),
        ("rm *", "bash <<< 'rm x'", "MAYBE"),
        ("rm *", "bash <<E\nrm x\nE", "MAYBE"),
        ("rm *", "python3 -c 'import os'", "MAYBE"),
        ("rm *", "awk 'BEGIN{system(\"rm x\")}'", "MAYBE"),
        ("rm *", "sed '1e rm x' a", "MAYBE"),
        ("rm *", "perl -e 'unlink x'", "MAYBE"),
        ("rm *", "source x", "MAYBE"),
        ("rm *", "alias ls='rm x'", "MAYBE"),
        ("rm *", "git -c alias.x='!rm x' x", "MAYBE"),
        ("rm *", "tar xf a --to-command='rm x'", "MAYBE"),
        ("rm *", "rsync -e 'rm x' a b", "MAYBE"),
        ("rm *", "test -v 'a[$(rm x)]'", "MAYBE"),
        ("rm *", "GIT_PAGER='rm x' git log", "MAYBE"),
        ("rm *", "echo ${a:=`rm x`}", "MAYBE"),
        ("rm *", "if rm", "MAYBE"),
        ("rm *", "echo 'unclosed", "MAYBE"),
        ("rm *", "ls \x1b", "MAYBE"),
        ("rm *", "ls " + "x" * 70_000, "MAYBE"),
        ("rm *", "cat <<'E' | PAGER='rm x' man git\nE", "MAYBE"),
        ("rm *", "A=1 GIT_PAGER='rm x' git log", "MAYBE"),
        ("rm *", "make 'X!=rm x'", "MAYBE"),
        ("rm *", "env '-Srm x'", "MAYBE"),
        ("rm *", "env --split-string='rm x'", "MAYBE"),
        ("rm *", "su '-crm x' ann", "MAYBE"),
        ("rm *", "mapfile -C 'rm x' -c 1 a", "MAYBE"),
        ("rm *", "hash -p /bin/rm ls; ls x", "MAYBE"),
        ("rm *", "echo rm x | xargs env", "MAYBE"),
        ("rm *", "echo rm x | xargs", "MAYBE"),
        ("rm *", "echo x | xargs -I{} sh -c {}", "MAYBE"),
        ("rm *", "git bisect run ./x", "MAYBE"),
        ("rm *", "git fetch --upload-pack='rm x' .", "MAYBE"),
        ("rm *", "npm exec rm x", "YES"),
        ("rm *", "sudo -s", "MAYBE"),
        ("rm *", "su", "MAYBE"),
        ("rm *", "fakeroot rm x", "YES"),
        ("rm *", "setarch x86_64 rm x", "YES"),
        ("rm *", "tini -- rm x", "YES"),
        ("rm *", "gosu ann rm x", "YES"),
        ("rm *", "xvfb-run -a rm x", "YES"),
        ("rm *", "conda run -n x rm x", "YES"),
        ("rm *", "bundle exec rm x", "YES"),
        ("rm *", "ls | entr rm x", "YES"),
        ("rm *", "sg ann 'rm x'", "YES"),
        ("rm *", "hyperfine 'rm x'", "YES"),
        ("rm *", "nix-shell --run 'rm x'", "YES"),
        ("rm *", "newgrp ann <<< 'rm x'", "MAYBE"),
        ("rm *", "run-parts folder", "MAYBE"),
        ("rm *", "/lib64/ld-linux-x86-64.so.2 /bin/rm x", "MAYBE"),
        ("rm *", "some-runner --quiet rm x", "MAYBE"),
        ("rm *", "some-runner --with=rm x", "MAYBE"),
        ("rm *", "some-runner 'ls; RM x'", "MAYBE"),
        ("rm *", "some-runner --do='sudo rm x'", "MAYBE"),
        ("rm *", "some-runner 'say what rm does'", "NO"),
        ("rm *", "some-runner alarm", "NO"),
        ("git push *", "some-runner git push", "MAYBE"),
        ("git push *", "some-runner git log", "NO"),
        ("rm *", "cp rm x", "NO"),
        ("rm *", "man rm", "NO"),
        ("rm *", "git switch -c new", "NO"),
        ("rm *", "xargs ls", "NO"),
        ("rm *", "npm run build", "NO"),
        ("git push *", "echo push | xargs git", "MAYBE"),
        ("rm *", "ls -la", "NO"),
        ("rm *", "echo rm x", "NO"),
        ("rm *", "echo 'a; rm x'", "NO"),
        ("rm *", "git commit -m 'rm x'", "NO"),
        ("rm *", "cat <<'E'\n$(rm x)\nE", "NO"),
        ("rm *", "grep -n rm a", "NO"),
        ("rm *", "ls # rm x", "NO"),
        ("rm *", "bash build.sh", "NO"),
        ("rm *", "python3 -m pytest", "NO"),
        ("rm *", "bash -c 'ls'", "NO"),
        ("rm *", "X=1 make test", "NO"),
        ("rm -rf *", "rm -rf x", "YES"),
        ("rm -rf *", "rm x -rf", "YES"),
        ("rm -rf *", "rm -fr x", "YES"),
        ("rm -rf *", "rm -r -f x", "YES"),
        ("rm -rf *", "rm -rvf x", "YES"),
        ("rm -rf *", "rm --recursive --force x", "MAYBE"),
        ("rm -rf *", "rm $X", "MAYBE"),
        ("rm -rf *", "rm -r x", "NO"),
        ("git push *", "git push", "YES"),
        ("git push *", "git -C there push -f", "YES"),
        ("git push *", "git --no-pager push", "YES"),
        ("git push *", "git --git-dir=x push", "YES"),
        ("git push *", "git $X", "MAYBE"),
        ("git push *", "git stash push", "MAYBE"),
        ("git push *", "git log", "NO"),
        ("git push --force*", "git push origin --force-with-lease", "YES"),
        ("git push --force *", "git push --forc", "YES"),
        ("git push --force *", "git push", "NO"),
        ("kubectl delete *", "kubectl -n x delete pod", "MAYBE"),
        ("python *", "python3.11 x.py", "YES"),
        ("python3 *", "python3 x.py", "YES"),
        ("* --force", "git push --force", "YES"),
    ],
)
def test_what_a_pattern_is_about(pattern: str, command: str, match: str) -> None:
    assert parse_pattern(pattern).about(command).name == match


SAYS_TOUCH = [a for a in ATTACKS.values() if a.seen and re.search(r"\btouch\b", a.command)]


@pytest.mark.parametrize("attack", SAYS_TOUCH, ids=lambda attack: attack.command[:60])
def test_what_forbids_touch_lets_no_attack_with_it_run_unasked(attack: Attack) -> None:
    everything = Grants(auto_approve=True, tools={"bash"})

    assert verdict(attack.command, rules(), everything) == "allow"
    assert verdict(attack.command, rules(deny="touch *"), everything) != "allow"
    assert verdict(attack.command, rules(ask="touch *"), everything) == "ask"


def test_what_may_be_forbidden_is_asked_and_no_permission_goes_over_it() -> None:
    everything = Grants(auto_approve=True, tools={"bash"}, always={Grant("bash")})

    for found in (rules(deny="rm *"), rules(ask="rm *"), rules(deny="rm *", allow="ls *")):
        assert verdict("$X a", found, everything) == "ask"
        assert verdict("ls -la", found, everything) == "allow"
    assert verdict("sudo rm a", rules(deny="rm *", allow="sudo rm a"), everything) == "deny"

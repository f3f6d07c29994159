"""What other programs start or obey later is asked about, however broad a permission is."""

from __future__ import annotations

import pytest

from support.tools import prepare
from turnstone.core.events import Grant
from turnstone.core.policy import PLANTED, Grants, decide
from turnstone.core.policy_rules import Rules, parse
from turnstone.core.sandbox import Confinement, Level
from turnstone.core.shell_planting import planted
from turnstone.core.tool import ToolContext
from turnstone.sandbox import Unconfined
from turnstone.tools.bash import Bash
from turnstone.tools.write_file import WriteFile

EVERYTHING = Grants(
    auto_approve=True,
    tools={"bash", "write_file"},
    always={Grant("bash"), Grant("write_file")},
)

#: Each is obeyed by some program as soon as a person opens or enters the folder, uses git or a
#: language's own tools there, or pushes it.
STARTERS = (
    *(".git/hooks/pre-commit", ".git/info/attributes", ".git/modules/a/config", ".git/HEAD"),
    *("sub/.git", "sub/.git/HEAD", ".GIT/x", ".Git/HOOKS/x", "bare/HEAD", "HEAD", ".hg/hgrc"),
    *(".jj/repo/config.toml", ".gitmodules", "sub/.gitattributes", ".githooks/pre-push"),
    *(".husky/pre-commit", "lefthook.yml", ".pre-commit-config.yaml", ".gitconfig"),
    *("sub/.envrc", "mise.toml", ".mise/config.toml", ".bashrc", ".zshenv", ".kshrc"),
    *(".vscode/tasks.json", "sub/.VSCode/settings.json", "a.code-workspace", ".idea/x.xml"),
    *(".devcontainer/devcontainer.json", ".devcontainer.json", ".zed/tasks.json", ".exrc"),
    *(".nvim.lua", ".dir-locals.el", ".mcp.json", ".claude/settings.json", ".cursor/mcp.json"),
    *(".cargo/config.toml", ".yarnrc.yml", ".yarn/releases/y.cjs", ".pnpmfile.cjs", ".bundle/x"),
    *(".Rprofile", ".irbrc", ".pryrc", ".ghci", ".ocamlinit", ".gdbinit", "sitecustomize.py"),
    *("evil.pth", ".github/workflows/ci.yml", ".GitHub/dependabot.yml", ".gitlab-ci.yml"),
    *(".circleci/config.yml", "Jenkinsfile", ".travis.yml", "azure-pipelines.yml"),
    *(".woodpecker/a.yml", ".forgejo/workflows/a.yml", ".gitpod.yml", "a.desktop"),
)

#: Sources, and what a person runs by its name.
PLAIN_FILES = ("Makefile", "setup.py", "package.json", "conftest.py", "ahead", "git/x", "a.git.py")

#: Commands, and what of theirs is named.
PLANTING = {
    "echo x > .envrc": ".envrc",
    "echo x >.envrc": ".envrc",
    "echo x >> 'sub/.envrc'": "sub/.envrc",
    "echo x >| .vscode/tasks.json": ".vscode/tasks.json",
    "tee .git/hooks/pre-commit < a": ".git/hooks/pre-commit",
    "cp a .github/workflows/ci.yml": ".github/workflows/ci.yml",
    "mv a .VSCode": ".VSCode",
    "ln -s a .husky": ".husky",
    "mkdir -p .git/hooks": ".git/hooks",
    "install -m 755 a .git/hooks/post-merge": ".git/hooks/post-merge",
    "dd if=a of=.envrc": ".envrc",
    "sed -i s/a/b/ .gitlab-ci.yml": ".gitlab-ci.yml",
    "sort -o .gitmodules a": ".gitmodules",
    "git mv a .envrc": ".envrc",
    "git checkout other -- .envrc": ".envrc",
    "cd .vscode && cp ../a tasks.json": ".vscode",
    "ls && cp a ./.envrc": "./.envrc",
    "if true; then cp a .exrc; fi": ".exrc",
    "bash -c 'cp a .envrc'": ".envrc",
    "sudo sh -c 'cp a .envrc'": ".envrc",
    'cp a ".en"vrc': ".envrc",
    "cp a .env\\rc": ".envrc",
    "tar xf a.tar .github": ".github",
    'python3 -c \'open(".envrc", "w")\'': ".envrc",
    "awk '{print > \".envrc\"}' a": ".envrc",
    "find . -name a -exec cp {} .envrc ';'": ".envrc",
    "cat <<E > .envrc\nx\nE": ".envrc",
    "cat a > Jenkinsfile; ls": "Jenkinsfile",
    "cat .envrc $X": ".envrc",
    "cp a .envrc 'unclosed": ".envrc",
}

LOOKING = (
    "ls -la .github",
    "cat .github/workflows/ci.yml",
    "cat .gitattributes | head",
    "grep -rn uses .github",
    "diff .gitmodules a",
    "git log -p -- .github",
    "git add .github && git commit -m 'add .envrc'",
    "git commit -m 'Write .github'",
    "git rm -r .vscode",
    "rm -rf .idea",
    "test -f .envrc",
    "git status",
    "make test",
    "echo x > a.txt",
    "echo HEADER > a",
    "git show HEAD",
    "git diff HEAD~1",
)


@pytest.mark.parametrize("path", STARTERS)
async def test_a_write_to_what_starts_later_is_asked_whatever_is_permitted_in_general(
    path: str, context: ToolContext
) -> None:
    tool = WriteFile()
    prepared = await prepare(tool, context, path=path, content="x")
    workspace = context.workspace
    parts = workspace.parts

    def judged(rule: str, grants: Grants = EVERYTHING) -> str:
        allow = (parse(rule, {"write_file": tool.spec}, None),)
        placed = Rules(allow=allow).placed(parts, lambda path: path)
        return decide(prepared, tool.spec, grants, Level.L3, placed).verdict

    assert judged("write_file") == judged("write_file(**)") == "ask"
    assert judged(f"write_file({path.rpartition('.')[0]}*)") == "ask"
    assert judged(f"write_file({path})", Grants()) == "allow"


@pytest.mark.parametrize("path", PLAIN_FILES)
async def test_sources_and_what_is_run_by_its_name_are_written_as_permitted(
    path: str, context: ToolContext
) -> None:
    tool = WriteFile()
    prepared = await prepare(tool, context, path=path, content="x")

    assert decide(prepared, tool.spec, EVERYTHING, Level.L3).verdict == "allow"


@pytest.fixture
def bash() -> Bash:
    """Of a machine that confines commands; none is run."""
    sandbox = Unconfined()
    sandbox.confinement = Confinement(Level.L3, "L3")
    return Bash(sandbox)


@pytest.mark.parametrize("command", PLANTING)
async def test_a_command_that_may_write_it_is_asked_unless_exactly_it_is_permitted(
    command: str, bash: Bash, context: ToolContext
) -> None:
    prepared = await prepare(bash, context, command=command)
    exactly = Grants(always={Grant("bash", "", command, "L3 without network")})

    ruling = decide(prepared, bash.spec, EVERYTHING, Level.L3)

    assert planted(command) == PLANTING[command]
    assert ruling.verdict == "ask"
    assert ruling.rule == f"it may write {PLANTING[command]}, {PLANTED}"
    assert decide(prepared, bash.spec, exactly, Level.L3).verdict == "allow"


@pytest.mark.parametrize("command", LOOKING)
async def test_a_command_that_looks_at_it_or_takes_it_away_runs_as_permitted(
    command: str, bash: Bash, context: ToolContext
) -> None:
    prepared = await prepare(bash, context, command=command)

    assert decide(prepared, bash.spec, EVERYTHING, Level.L3).verdict == "allow"

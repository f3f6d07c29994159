"""Programs that people use work without the network, where no Unix socket can be connected."""

from __future__ import annotations

import shutil

import pytest

from support import needs
from support.arena import Arena
from support.commands import run_in
from turnstone.core.sandbox import Sandbox

PYTHON = "/usr/bin/python3 - <<'END'\n"

PROGRAMS = {
    "git": "git init -q r && cd r && git -c user.name=a -c user.email=a commit -q --allow-empty"
    " -m first && git log --oneline | wc -l && git status",
    "make": "printf 'all: a b\\na b:\\n\\t@echo made $@\\n' > Makefile; make -j2",
    "python": PYTHON + "import multiprocessing as m\n"
    "with m.Pool(2) as pool: print(sum(pool.map(abs, [-1, -2])))\nEND",
    "python3": PYTHON + "import asyncio\nasync def main():\n"
    "    p = await asyncio.create_subprocess_exec('true')\n    print(await p.wait())\n"
    "asyncio.run(main())\nEND",
    "bash": "getent passwd root; id; ls | cat; coproc cat; kill $COPROC_PID",
    "node": "node -e \"require('child_process').spawn('cat', {stdio: 'pipe'}).stdin.end();"
    "require('child_process').fork('-e', ['0'])\"",
    "npm": 'npm --version && printf \'{"scripts": {"t": "echo ran"}}\' > package.json && npm run t',
}


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_common_program_works(program: str, confined: Sandbox, arena: Arena) -> None:
    if program in {"node", "npm"} and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed, and nothing else here needs it")
    needs.require(program)

    result = await run_in(confined, PROGRAMS[program], arena.workspace)

    assert result.exit_code == 0, result.output


async def test_a_pair_of_sockets_can_be_had(confined: Sandbox, arena: Arena) -> None:
    script = PYTHON + "import socket\na, b = socket.socketpair()\na.send(b'there')\n"

    result = await run_in(confined, f"{script}print(b.recv(9))\nEND", arena.workspace)

    assert "there" in result.output

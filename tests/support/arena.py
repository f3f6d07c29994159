"""What an attack is made on: a workspace, and around it what must stay out of reach."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arena:
    """`nonce` is in every secret, so that to see it in an output is to have got through."""

    nonce: str
    workspace: Path
    sibling: Path  # its name begins with the workspace's
    outside: Path  # a file that exists, and must not change
    beside_tests: Path  # a file that does not exist, in a folder that is not hidden
    home_secret: Path
    hidden: Path
    runtime_socket: Path
    abstract_name: str
    port: int
    udp_port: int
    terminal: Path  # somebody's, who reads what appears on it
    victim: subprocess.Popen[bytes]  # a process of the person, with the nonce in its environment
    callers: list[str]  # what somebody has connected to

    def untouched(self) -> bool:
        return self.outside.read_text() == "precious" and not self.beside_tests.exists()

"""Ways of a path to what lies outside the workspace, or is no file. One a row.

In a path, WS is the workspace, OUT a folder beside it with the file `secret`, and FD the
number of a descriptor of that file.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SECRET = "SECRET needle\n"


class Attack(NamedTuple):
    name: str
    path: str


#: They lead to the secret: whoever opens them without looking has it.
ESCAPES = [
    Attack("dot-dot", "../out/secret"),
    Attack("dot-dot after a dot", "./../out/secret"),
    Attack("dot-dot out of a folder", "deep/../../out/secret"),
    Attack("dot-dot with doubled slashes", "deep//..//..//out//secret"),
    Attack("dot-dot and in again and out", "../ws/../out/secret"),
    Attack("dot-dot through two folders", "deep/deeper/../../../out/secret"),
    Attack("dot-dot above the parent", "../../PARENT/out/secret"),
    Attack("dot-dot up to the root", "../" * 40 + "OUT/secret"),
    Attack("dots and dot-dot mixed", "deep/./.././../out/./secret"),
    Attack("dot-dot after the whole workspace", "WS/../out/secret"),
    Attack("the whole path", "OUT/secret"),
    Attack("the whole path with two slashes", "/OUT/secret"),
    Attack("the whole path with three slashes", "//OUT/secret"),
    Attack("a sibling of the same beginning", "WS-evil/secret"),
    Attack("the same by dot-dot", "../ws-evil/secret"),
    Attack("a sibling in capitals", "../WS/secret"),
    Attack("a sibling with a space", "../ws /secret"),
    Attack("a sibling with a dot", "../ws./secret"),
    Attack("a sibling with a mark of direction", "../ws\u202e/secret"),
    Attack("a sibling with a zero-width space", "../ws\u200b/secret"),
    Attack("a sibling with a combining mark", "../ws\u0301/secret"),
    Attack("a sibling in other letters", "../w\u0455/secret"),
    Attack("a sibling with a line feed", "../ws\n/secret"),
    Attack("a sibling with a backslash", "../ws\\/secret"),
    Attack("a link to the file", "to_file"),
    Attack("a link to its folder", "to_folder/secret"),
    Attack("a link to a link", "twice/secret"),
    Attack("a chain of ten links", "chain9/secret"),
    Attack("a link up", "up/out/secret"),
    Attack("a link to the root", "root/OUT/secret"),
    Attack("a link in the middle", "deep/middle/secret"),
    Attack("a link in a hidden folder", ".cache/link/secret"),
    Attack("a link, and dot-dot behind it", "to_folder/../out/secret"),
    Attack("a link with a dot behind it", "to_folder/./secret"),
    Attack("a link out and in and out", "to_folder/back/to_file"),
    Attack("a link with a line feed in its name", "a\nlink"),
    Attack("a link that looks like a file", "notes.txt"),
    Attack("a link named as an option", "--link"),
    Attack("a link through a sibling of the same beginning", "evil/secret"),
    Attack("a relative link out of a deep folder", "deep/deeper/up/out/secret"),
    Attack("the root of this process", "/proc/self/root/OUT/secret"),
    Attack("the root of this process by number", "/proc/PID/root/OUT/secret"),
    Attack("the root of this thread", "/proc/thread-self/root/OUT/secret"),
    Attack("the current folder of this process", "/proc/self/cwd/secret"),
    Attack("a descriptor of this process", "/proc/self/fd/FD"),
    Attack("a descriptor as a device", "/dev/fd/FD"),
    Attack("a link to the root of this process", "magic/OUT/secret"),
    Attack("a link to a descriptor", "magic_file"),
    Attack("the home directory", "~/secret"),
    Attack("the home directory and dot-dot", "~/../out/secret"),
]


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def _loop_of_two(path: Path) -> None:
    path.symlink_to("loop_b")
    path.with_name("loop_b").symlink_to(path.name)


def _fifo_by_link(path: Path) -> None:
    os.mkfifo(path.with_name("real_fifo"))
    path.symlink_to("real_fifo")


def _link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


#: What is made in the workspace under the name `thing`: nothing that can be read or written.
THINGS: list[tuple[str, Callable[[Path], None]]] = [
    ("a FIFO, which would be waited for", os.mkfifo),
    ("a link to a FIFO", _fifo_by_link),
    ("a socket", _socket),
    ("a folder", Path.mkdir),
    ("a link to the workspace itself", _link_to(".")),
    ("a link to itself", _link_to("thing")),
    ("two links to one another", _loop_of_two),
    ("a link through itself", _link_to("thing/deeper")),
    ("a link to what has no end", _link_to("/dev/zero")),
    ("a link to what has no end and is random", _link_to("/dev/urandom")),
    ("a link to the terminal", _link_to("/dev/tty")),
    ("a link to what is always full", _link_to("/dev/full")),
    ("a link below a file", _link_to("file/thing")),
]

#: No paths at all.
NO_PATHS = [
    ("empty", ""),
    ("spaces alone", "   "),
    ("a NUL at the end", "file\0"),
    ("a NUL and another ending", "file\0.txt"),
    ("a NUL at the start", "\0file"),
    ("half of a character", "file\udcff\ud800"),
    ("a name of 256 bytes", "x" * 256),
    ("a name of 128 letters of two bytes", "ü" * 128),
    ("5,000 characters", "x/" * 2500),
    ("5,000 slashes and dots", "./" * 2500 + "file"),
]

#: Names of one file of secrets, in the workspace.
SECRETS = [
    ".env",
    "./.env",
    "deep/../.env",
    ".ENV",
    ".Env.Local",
    "deep/.env.production",
    "env_link",
    "WS/.env",
    "up/ws/.env",
    "sub/ID_RSA",
    "a.PEM",
    ".ssh/config",
    ".git/config",
    ".Aws/credentials",
    ".ne\u0074rc",
]

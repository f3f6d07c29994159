"""What other processes do with a session file: `many PATH NAME`, `full-disk PATH`."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path

from oturn import Context, Message
from oturn.session_store import SessionStore


def many(path: Path, name: str) -> None:
    store = SessionStore(path)
    for number in range(200):
        store.append_item(Message(role="user", content=f"{name} {number}\n" + "x" * number * 50))


def full_disk(path: Path) -> None:
    """A file may grow no more after the first record; then it may again."""
    context = Context(path)
    context.append_message(Message(role="user", content="first"))
    size = path.stat().st_size
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, hard))
    try:
        context.append_message(Message(role="assistant", content="x" * 200))
    except OSError as error:
        print(error.errno, path.stat().st_size == size, len(context.history))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    context.append_message(Message(role="user", content="later"))
    print(context.history == Context.load(path).history)


if __name__ == "__main__":
    if sys.argv[1] == "many":
        many(Path(sys.argv[2]), sys.argv[3])
    else:
        full_disk(Path(sys.argv[2]))

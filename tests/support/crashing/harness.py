"""The campaign as a test sees it: orders in, outcomes out; and how many of them there are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from support.crashing.campaign import Order, Outcome
from support.crashing.tracing import CALLS
from support.needs import give_up

ToldT = TypeVar("ToldT")


class Campaign:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def carry_out(self, order: Order) -> Outcome:
        """Raises AssertionError if the campaign itself breaks."""
        return ordered(self._process, order, Outcome)

    def expect_no_violation(self, order: Order) -> Outcome:
        """The order is in the message of a failure: it shows the fault again."""
        outcome = self.carry_out(order)
        told = f"{msgspec.json.encode(order).decode()}: {outcome}"
        assert not outcome.violations, told
        return outcome


def ordered(process: subprocess.Popen[bytes], order: msgspec.Struct, kind: type[ToldT]) -> ToldT:
    """What the program answers to an order. Raises AssertionError if it ends instead."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(order) + b"\n")
    process.stdin.flush()
    line = process.stdout.readline()
    assert line, f"the program ended at {msgspec.json.encode(order).decode()}"
    return msgspec.json.decode(line, type=kind)


@contextmanager
def campaign() -> Iterator[Campaign]:
    """A campaign that runs until the block ends."""
    with running("support.crashing.campaign") as process:
        yield Campaign(process)


@contextmanager
def running(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of the suite that takes orders from us, until the block ends."""
    if not CALLS:
        give_up("processes are traced on Linux only, on x86-64 and ARM64")
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def size() -> str:
    """`default`, `ci` or `long`, as for the whole run."""
    default = "ci" if os.environ.get("CI") == "true" else "default"
    return os.environ.get("TURNSTONE_TEST_SIZE", default)

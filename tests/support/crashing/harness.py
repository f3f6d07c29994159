"""The campaign as a test sees it: orders in, outcomes out; and how many of them there are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from support.crashing.campaign import Order, Outcome
from support.crashing.tracing import CALLS
from support.needs import give_up


class Campaign:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def carry_out(self, order: Order) -> Outcome:
        """Raises AssertionError if the campaign itself breaks."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the campaign ended at {msgspec.json.encode(order).decode()}"
        return msgspec.json.decode(line, type=Outcome)

    def expect_no_violation(self, order: Order) -> Outcome:
        """The order is in the message of a failure: it shows the fault again."""
        outcome = self.carry_out(order)
        told = f"{msgspec.json.encode(order).decode()}: {outcome}"
        assert not outcome.violations, told
        return outcome


@contextmanager
def campaign() -> Iterator[Campaign]:
    """A campaign that runs until the block ends."""
    if not CALLS:
        give_up("processes are traced on Linux only, on x86-64 and ARM64")
    process = subprocess.Popen(
        [sys.executable, "-m", "support.crashing.campaign"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    with process:
        try:
            yield Campaign(process)
        except BaseException:
            process.kill()
            raise


def size() -> str:
    """`default`, `ci` or `long`, as for the whole run."""
    default = "ci" if os.environ.get("CI") == "true" else "default"
    return os.environ.get("TURNSTONE_TEST_SIZE", default)

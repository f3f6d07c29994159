"""What a test needs from the machine: skipped without it on a laptop, failed in CI.

Green must never mean "not run": where `CI=true` is set, everything is expected to be there.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

#: Where a program's name is not that of its Debian package.
_PACKAGES = {"rg": "ripgrep", "bwrap": "bubblewrap", "node": "nodejs"}


def require(program: str) -> str:
    """The path of a program; without it the test ends here."""
    path = shutil.which(program)
    if path is None:
        package = _PACKAGES.get(program, program)
        give_up(f"{program} is not installed (Debian: apt-get install {package})")
    return path


def give_up(reason: str) -> NoReturn:
    """End a test that this machine cannot run: a skip on a laptop, a failure in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)

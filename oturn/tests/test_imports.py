"""Importing the package loads nothing heavy. What is in it: `test_public_surface`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import oturn

HEAVY = ["pydantic", "httpx2", "asyncio", "litellm"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        oturn.nothing_of_the_kind  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import oturn, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

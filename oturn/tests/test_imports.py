"""What can be imported, and that importing the package loads nothing heavy."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import oturn

HEAVY = ["pydantic", "httpx2", "asyncio", "litellm"]


def test_every_exported_name_is_there() -> None:
    assert len(oturn.__all__) == 29
    for name in oturn.__all__:
        assert getattr(oturn, name) is not None
        assert name in dir(oturn)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        oturn.nothing_of_the_kind  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import oturn, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module",
    [
        "nucleus",
        "oturn",
        "runtime_config",
        "context",
        "model",
        "events",
        "agent_stream_state",
        "llm_transport",
        "tool_runtime_utils",
        "tools",
        "tools.base",
        "tools.examples",
        "tools.precheck",
    ],
)
def test_submodules_of_the_contract_can_be_imported(module: str) -> None:
    importlib.import_module(f"oturn.{module}")


def test_the_prewarm_functions_tell_that_nothing_is_warmed() -> None:
    assert oturn.start_global_litellm_prewarm(blocking=True, timeout=0.1) is False
    assert oturn.get_global_litellm_prewarm_error() is None

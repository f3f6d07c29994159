"""The layers that `docs/architecture.md` draws are those that the build checks, and all of them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import grimp
import pytest

#: Packages from outside that have one home, and who may import them. What is not here may be
#: imported anywhere above the pure modules.
HOMES = {
    "sqlite3": ["turnstone.core.store"],
    "psycopg": ["turnstone.core.store"],
    "redis": ["turnstone.mq"],
    "prometheus_client": ["turnstone.core.metrics"],
    "opentelemetry": ["turnstone.server.traces"],
    "litellm": ["oturn.transport.litellm"],
    "pydantic": ["oturn"],
    "httpx2": ["oturn.tools", "oturn.transport", "turnstone.api", "turnstone.tools.web"],
    "html_to_markdown": ["turnstone.tools.foreign_program"],
    "pypdf": ["turnstone.tools.foreign_program"],
    "cronsim": ["turnstone.core.timers"],
    "starlette": ["turnstone.server", "turnstone.console"],
    "uvicorn": ["turnstone.server", "turnstone.console"],
    "click": ["turnstone.main", "turnstone.core.config", "turnstone.cli"],
    "prompt_toolkit": ["turnstone.cli"],
    "rich": ["turnstone.cli"],
    "tree_sitter": ["turnstone.core.shell"],
    "tree_sitter_bash": ["turnstone.core.shell"],
}

#: Modules that need not be pure: they wait, keep, talk, or give a message its date.
STATEFUL = [
    "oturn.cancelling",
    "oturn.context",
    "oturn.driver",
    "oturn.gate",
    "oturn.history",
    "oturn.inputs",
    "oturn.kept_records",
    "oturn.llm_transport",
    "oturn.mcp_adapter",
    "oturn.model",
    "oturn.nucleus",
    "oturn.oturn",
    "oturn.questions",
    "oturn.remote_tools",
    "oturn.runtime",
    "oturn.session_file",
    "oturn.session_records",
    "oturn.session_store",
    "oturn.subscribers",
    "oturn.tool_debug",
    "oturn.tool_outcome",
    "oturn.tool_runtime",
    "oturn.tools",
    "oturn.transport.asking",
    "oturn.transport.chaotic",
    "oturn.transport.choose",
    "oturn.transport.client",
    "oturn.transport.echo",
    "oturn.transport.endpoint",
    "oturn.transport.litellm",
    "oturn.transport.openai",
    "oturn.transport.scripted",
    "oturn.transport.windows",
    "oturn.turn_calls",
    "oturn.turn_handler",
    "oturn.turn_publish",
    "oturn.usage",
    "oturn.user_message",
    "oturn.turn_diagram",  # reads and writes a page
    "turnstone.core.agents",
    "turnstone.core.answering",
    "turnstone.core.ask",
    "turnstone.core.attaching",
    "turnstone.core.family",
    "turnstone.core.awake",
    "turnstone.core.background",
    "turnstone.core.calls",
    "turnstone.core.clock",
    "turnstone.core.command_handlers",
    "turnstone.core.command_order",
    "turnstone.core.command_records",
    "turnstone.core.commanding",
    "turnstone.core.debugging",
    "turnstone.core.exporting",
    "turnstone.core.import_checks",
    "turnstone.core.importing",
    "turnstone.core.forking",
    "turnstone.core.compacting",
    "turnstone.core.config",
    "turnstone.core.endpoint",
    "turnstone.core.engine",
    "turnstone.core.erasure",
    "turnstone.core.heir",
    "turnstone.core.images",
    "turnstone.core.journal",
    "turnstone.core.livelog",
    "turnstone.core.local_host",
    "turnstone.core.logs",
    "turnstone.core.manager",
    "turnstone.core.metrics",
    "turnstone.core.model_calls",
    "turnstone.core.model_gate",
    "turnstone.core.model_setup",
    "turnstone.core.models",
    "turnstone.core.node",
    "turnstone.core.outputs",
    "turnstone.core.permissions",
    "turnstone.core.practice",
    "turnstone.core.project_notes",
    "turnstone.core.prompting",
    "turnstone.core.prompts",
    "turnstone.core.pocket",
    "turnstone.core.purse",
    "turnstone.core.spending",
    "turnstone.core.relay",
    "turnstone.core.remembering",
    "turnstone.core.session",
    "turnstone.core.showing",
    "turnstone.core.sessions",
    "turnstone.core.store",
    "turnstone.core.extraction",
    "turnstone.core.paid",
    "turnstone.core.summarising",
    "turnstone.core.timekeeping",
    "turnstone.core.titles",
    "turnstone.core.workstream",
]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("oturn", "turnstone", include_external_packages=True, cache_dir=None)


@pytest.fixture(scope="module")
def contracts(root: Path) -> dict[str, dict[str, Any]]:
    table = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["id"]: contract for contract in table["contracts"]}


def within(module: str, packages: list[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def named_in(contract: dict[str, Any]) -> set[str]:
    return {
        name.strip("() ")
        for layer in contract["layers"]
        for name in layer.replace("|", ":").split(":")
    }


def test_every_contract_of_the_import_linter_is_kept(root: Path) -> None:
    program = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run(
        [program, "--no-logo", "--no-cache"], cwd=root, check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_package_of_turnstone_has_a_layer(
    graph: grimp.ImportGraph, contracts: dict[str, dict[str, Any]]
) -> None:
    here = {
        module for module in graph.find_children("turnstone") if not module.endswith("__main__")
    }
    assert here <= named_in(contracts["layers"])


@pytest.mark.parametrize(
    ("package", "contract"), [("turnstone.core", "core-layers"), ("oturn", "oturn-layers")]
)
def test_every_module_of_the_engine_has_a_layer(
    graph: grimp.ImportGraph, contracts: dict[str, dict[str, Any]], package: str, contract: str
) -> None:
    here = graph.find_children(package) - {"oturn.transport"}
    if package == "oturn":
        here |= graph.find_children("oturn.transport")
    assert here <= named_in(contracts[contract])


def test_what_is_not_known_to_wait_is_held_to_be_pure(
    graph: grimp.ImportGraph, contracts: dict[str, dict[str, Any]]
) -> None:
    pure = contracts["pure"]["source_modules"]
    modules = graph.find_children("oturn") | graph.find_children("turnstone.core")
    modules |= graph.find_children("oturn.transport")
    unclaimed = {m for m in modules - {"oturn.transport"} if not within(m, pure + STATEFUL)}
    assert unclaimed == set()
    assert not [module for module in pure if within(module, STATEFUL)]


def test_a_foreign_package_is_imported_only_at_its_home(graph: grimp.ImportGraph) -> None:
    strays = {
        outside: sorted(
            importer
            for importer in graph.find_modules_that_directly_import(outside)
            if not within(importer, homes)
        )
        for outside, homes in HOMES.items()
        if outside in graph.modules
    }
    assert {outside: importers for outside, importers in strays.items() if importers} == {}


def test_oturn_knows_nothing_of_turnstone(graph: grimp.ImportGraph) -> None:
    assert not graph.chain_exists(importer="oturn", imported="turnstone", as_packages=True)

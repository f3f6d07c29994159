"""What holds for every test: a home of its own, a clean environment, a seed that is printed."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from support.postgres import PostgresServer

#: Rounds of a property at each size. Counts, never seconds: a slow machine is no failure.
_EXAMPLES = {"default": 50, "ci": 50, "long": 2000}

#: Variables through which a person's own settings, keys and proxies would reach a test.
_PREFIXES = ("TURNSTONE_", "OPENAI_", "TAVILY_", "LLM_", "REDIS_", "XDG_")
_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "NO_COLOR", "FORCE_COLOR")

_SIZE = "TURNSTONE_TEST_SIZE"
_HOME = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One seed for all workers, chosen here so that it can be printed before anything runs."""
    for size, examples in _EXAMPLES.items():
        hypothesis.settings.register_profile(
            size, max_examples=examples, deadline=None, print_blob=True
        )
    hypothesis.settings.load_profile(_test_size())
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))
    config.stash[_HOME] = tempfile.mkdtemp(prefix="turnstone-home-")
    _leave_the_persons_home(config.stash[_HOME])


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[_HOME], ignore_errors=True)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    seed = config.option.hypothesis_seed
    terminalreporter.write_line(f"size: {_test_size()}; --hypothesis-seed={seed}")


def _test_size() -> str:
    """`default`, `ci` or `long`; TURNSTONE_TEST_SIZE says it, and otherwise CI does."""
    size = os.environ.get(_SIZE, "ci" if os.environ.get("CI") == "true" else "default")
    if size not in _EXAMPLES:
        raise pytest.UsageError(f"{_SIZE} is {size!r}; it must be one of {', '.join(_EXAMPLES)}.")
    return size


def _leave_the_persons_home(home: str) -> None:
    for name in list(os.environ):
        foreign = name.startswith(_PREFIXES) or name.lower() in _NAMES or name in _NAMES
        if foreign and name != _SIZE:
            del os.environ[name]
    os.environ["HOME"] = home
    for kind in ("CONFIG", "DATA", "STATE", "CACHE"):
        path = os.path.join(home, kind.lower())
        os.mkdir(path, 0o700)
        os.environ[f"XDG_{kind}_HOME"] = path


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Chance for one test: another for each, and the same again with the same --hypothesis-seed."""
    named = f"{request.config.option.hypothesis_seed} {request.node.nodeid}"
    return zlib.crc32(named.encode())


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; each test takes a database of its own there."""
    from support.postgres import postgres_server

    with postgres_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _environment_stays() -> Iterator[None]:
    """A test that changes the environment puts it back; the next one must not inherit it."""
    before = dict(os.environ)
    yield
    after = dict(os.environ)
    names = (before.keys() | after.keys()) - {"PYTEST_CURRENT_TEST"}
    changed = sorted(name for name in names if before.get(name) != after.get(name))
    assert not changed, "the test left a changed environment behind"

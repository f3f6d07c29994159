"""A node is killed around each of its journal's writes, and at moments of chance, many times.

Over every store. The same is expected as at every system call, of the journal and of a reader
that resumes at the last id it has seen.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest

from support.crashing.campaign import AtInstant, AtRecord, Death, Order
from support.crashing.harness import Campaign, campaign, size
from support.crashing.stores import When
from support.postgres import PostgresServer

#: Rounds over all writes, and turns that are killed at moments of chance.
ROUNDS = {"default": (1, 6), "ci": (1, 6), "long": (5, 120)}

#: What makes a server take 100 ms for each commit, and how many more of the writes are killed.
SLOW = urlencode({"options": "-c commit_delay=100000 -c commit_siblings=0"}, quote_via=quote)
SLOW_WRITES = {"default": 2, "ci": 2, "long": 1000}

#: Of a write, where it is died at: at both at the size `long`, else at one of them by chance.
SIDES: tuple[When, ...] = ("before", "after")

#: Deaths of one turn, at most.
LIVES = 5


@pytest.fixture(params=["sqlite", "postgres"])
def new_store(request: pytest.FixtureRequest) -> Callable[[], str]:
    """The URL of an empty store; empty for a file."""
    if request.param == "sqlite":
        return lambda: ""
    database: Callable[[], str] = request.getfixturevalue("postgres").database
    return database


@pytest.mark.timeout(900)
def test_a_kill_around_any_write_of_the_journal_loses_nothing_and_doubles_nothing(
    new_store: Callable[[], str],
) -> None:
    rounds, _ = ROUNDS[size()]
    dice, died = new_dice(), 0
    with campaign() as nodes:
        writes = nodes.expect_no_violation(Order(url=new_store())).writes
        for number in range(1, writes + 1):
            for more in range(rounds):
                for when in SIDES if size() == "long" else dice.sample(SIDES, 1):
                    deaths: list[Death] = [AtRecord(number, when)]
                    # The lives after the first die early, while they take the turn up.
                    deaths += [AtRecord(dice.randrange(1, 6), when) for _ in range(more)]
                    order = Order(deaths=deaths, url=new_store())
                    died += len(nodes.expect_no_violation(order).died)
    print(died, "kills")
    assert died >= writes


@pytest.mark.timeout(900)
def test_kills_at_moments_of_chance_lose_nothing_and_double_nothing(
    new_store: Callable[[], str],
) -> None:
    _, turns = ROUNDS[size()]
    dice, died = new_dice(), 0
    with campaign() as nodes:
        seconds = duration(nodes, new_store)
        for _ in range(turns):
            deaths = [AtInstant(dice.uniform(0, seconds)) for _ in range(LIVES)]
            order = Order(deaths=[*deaths], url=new_store())
            died += len(nodes.expect_no_violation(order).died)
    print(died, "kills")
    assert died >= turns // 2


@pytest.mark.timeout(900)
def test_a_kill_while_the_server_still_commits_loses_nothing_and_doubles_nothing(
    postgres: PostgresServer,
) -> None:
    """The next life has begun when what was under way is committed."""

    def new_store() -> str:
        return f"{postgres.database()}?{SLOW}"

    with campaign() as nodes:
        writes = nodes.expect_no_violation(Order(url=new_store())).writes
        more = new_dice().sample(range(4, writes + 1), min(SLOW_WRITES[size()], writes - 3))
        numbers = [1, 2, 3, *more]  # that there is a workstream, and its message, is in the first
        for number in numbers:
            order = Order(deaths=[AtRecord(number, "during")], url=new_store())
            assert nodes.expect_no_violation(order).died
    print(len(numbers), "kills")


def new_dice() -> random.Random:
    """Of a seed that is printed, for a failure to be had again."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def duration(nodes: Campaign, new_store: Callable[[], str]) -> float:
    """How long a life takes on this machine, at least: where kills should fall."""
    return min(nodes.expect_no_violation(Order(url=new_store())).seconds for _ in range(3))

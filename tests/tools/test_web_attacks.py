"""Attacks on `web_fetch`: no byte reaches an address that it must not reach.

The cases with addresses run in a network of their own, in which every address is this machine;
the same cases without the guard show that each attack works.
"""

from __future__ import annotations

from typing import Any

import pytest

from support.web import world
from support.web_attacks import (
    ADDRESSES,
    BAD_REDIRECTS,
    NO_TCP,
    PUBLIC,
    PUBLIC_6,
    SPELLINGS,
    TRICKS,
    WAYS,
)

HOPS = {PUBLIC, PUBLIC_6}

#: Seconds, for whichever test comes first: it waits for all of the attacks.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return world()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_no_way_leads_to_a_forbidden_address(found: dict[str, Any], address: str, way: str) -> None:
    case = found["guarded"][f"{way} {address}"]

    assert case["outcome"] == "blocked"
    assert ADDRESSES[address] in case["words"]
    assert set(case["reached"]) <= (HOPS if way.startswith("redirect") else set())


def test_without_the_guard_each_way_leads_there(found: dict[str, Any]) -> None:
    direct = [way for way in WAYS if way != "one of several"]  # there the first is a public one
    for way in direct:
        for address in ADDRESSES.keys() - NO_TCP:
            case = found["unguarded"][f"{way} {address}"]
            assert case["outcome"] == "page", (way, address)
            assert case["words"] == "secret"
            assert case["reached"][-1] not in HOPS


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_connection_that_ends_elsewhere_is_closed_before_a_byte_is_sent(
    found: dict[str, Any], address: str
) -> None:
    """The address is open here, and the kernel connects to another: the peer is looked at."""
    case = found["unguarded"][f"literal {address}"]

    assert case["outcome"] == "blocked"
    assert "led to" in case["words"]
    assert case["reached"] == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("address", [PUBLIC, PUBLIC_6])
def test_public_addresses_are_reached_on_every_way(
    found: dict[str, Any], address: str, way: str
) -> None:
    assert found["guarded"][f"{way} {address}"]["outcome"] == "page"


@pytest.mark.parametrize("url", SPELLINGS)
def test_no_spelling_of_an_address_leads_there(found: dict[str, Any], url: str) -> None:
    assert found["guarded"][url]["outcome"] == "blocked"
    assert found["guarded"][url]["reached"] == []


@pytest.mark.parametrize("url", TRICKS, ids=lambda url: ascii(url)[:50])
def test_no_trick_in_an_address_leads_anywhere(found: dict[str, Any], url: str) -> None:
    assert found["guarded"][url]["outcome"] == "blocked"
    assert found["guarded"][url]["reached"] == []


@pytest.mark.parametrize("target", BAD_REDIRECTS)
def test_no_redirect_leads_to_a_forbidden_place(found: dict[str, Any], target: str) -> None:
    case = found["guarded"][f"redirect {target}"]

    assert case["outcome"] == "blocked"
    assert case["reached"] == [PUBLIC]


def test_a_client_that_takes_what_it_is_given_is_led_to_this_machine(found: dict[str, Any]) -> None:
    def misled(urls: tuple[str, ...]) -> int:
        return sum(bool(found["unguarded"][url]["reached"]) for url in urls)

    assert misled(SPELLINGS) >= 12
    assert misled(TRICKS) >= 5
    for target in ("http://127.0.0.1:80/", "//127.0.0.1/", "http://[::1]/", "http://localhost/"):
        assert found["unguarded"][f"redirect {target}"]["reached"][-1] not in HOPS


def test_a_name_that_changes_after_the_check_leads_nowhere_else(found: dict[str, Any]) -> None:
    case = found["guarded"]["rebinding"]["between check and connection"]

    assert case == {"outcome": "page", "words": "secret", "reached": [PUBLIC], "lookups": 1}


def test_a_name_that_changes_between_redirects_is_judged_anew(found: dict[str, Any]) -> None:
    guarded = found["guarded"]["rebinding"]["between two redirects"]
    unguarded = found["unguarded"]["rebinding"]["between two redirects"]

    assert (guarded["outcome"], guarded["reached"]) == ("blocked", [PUBLIC])
    assert (unguarded["outcome"], unguarded["reached"]) == ("page", [PUBLIC, "127.0.0.1"])


def test_there_are_as_many_attacks_as_promised() -> None:
    assert len(ADDRESSES) >= 33
    assert len(set(SPELLINGS)) >= 15
    assert len({*ADDRESSES, *SPELLINGS, *TRICKS, *BAD_REDIRECTS}) >= 90

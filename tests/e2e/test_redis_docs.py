"""What `docs/redis.md` says of setting up Redis, and of its failures, is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.redis import redis_server
from support.redis_faults import FAULTS
from support.redis_rights import PAGE
from turnstone.core.config import load_settings
from turnstone.mq.worker_start import redis_address


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def failures() -> str:
    """The first column of the table of failures."""
    table = PAGE.read_text(encoding="utf-8").partition("| the log says |")[2].partition("\n\n")[0]
    return "\n".join(line.split("|")[1] for line in table.splitlines()[2:])


@pytest.mark.parametrize("text", blocks("conf"))
def test_a_redis_starts_with_each_piece_of_its_configuration(text: str) -> None:
    options = [
        word
        for line in text.splitlines()
        for key, _, value in [line.partition(" ")]
        for word in (f"--{key}", *value.split())
    ]
    with redis_server(*options) as server, server.client() as client:
        name, _, value = text.splitlines()[0].partition(" ")
        if name == "user":
            assert client.acl_getuser(value.partition(" ")[0])["enabled"]
        else:
            assert client.config_get(name) == {name: value}


@pytest.mark.parametrize("text", blocks("toml"))
def test_each_piece_of_our_configuration_says_where_redis_is(tmp_path: Path, text: str) -> None:
    config = tmp_path / ".config" / "turnstone" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(text)
    settings = load_settings("turnstone-server", flags={}, env={"HOME": str(tmp_path)})
    address = redis_address(settings)
    told = dict(re.findall(r'^(\w+) = "?([^"\n]*)"?$', text, re.MULTILINE))
    names = {"user": "username"}
    for name in told.keys() - {"prefix", "sentinels"}:
        assert str(getattr(address, names.get(name) or name)).lower() == told[name].lower(), name
    if "sentinels" in text:
        assert str(address) == "mymaster (by Sentinel one:26379, two:26379, three:26379)"


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.told])
def test_what_a_worker_s_log_says_of_a_failure_is_on_the_page(name: str) -> None:
    assert re.search(FAULTS[name].told, failures())

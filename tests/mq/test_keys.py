"""The names in Redis: one table in the module, the same on the page, one method for each."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from turnstone.mq import keys as module
from turnstone.mq.keys import Keys

PAGE = Path(__file__).resolve().parents[2] / "docs" / "redis.md"
SCRIPTS = Path(module.__file__).with_name("scripts")


def names_in_the_module() -> dict[str, str]:
    found = re.findall(r"^(P:\S+) +(\w+)", module.__doc__ or "", re.MULTILINE)
    return dict(found)


def names_of_the_methods() -> set[str]:
    keys = Keys("P")
    found = set()
    for name, member in inspect.getmembers(Keys):
        if isinstance(member, property):
            found.add(str(getattr(keys, name)))
        elif inspect.isfunction(member) and not name.startswith("_") and name != "pattern":
            (argument,) = [a for a in inspect.signature(member).parameters if a != "self"]
            short = {
                "node_id": "<node>",
                "ws_id": "<ws>",
                "request_id": "<request>",
                "timer_id": "<timer>",
                "correlation_id": "<cid>",
                "incarnation": "<node>|<boot>",
                "requirement": "<requirement>",
            }[argument]
            found.add(str(getattr(keys, name)(short)))
    return found


def test_every_name_of_the_table_has_a_method_and_the_other_way_round() -> None:
    assert set(names_in_the_module()) == names_of_the_methods()


def test_the_page_has_the_same_names_and_types() -> None:
    rows = re.findall(r"^\| `(P:[^`]+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    cells = {name.replace("\\|", "|"): kind for name, kind in rows}
    assert cells == names_in_the_module()


def test_scripts_make_no_name_that_is_not_in_the_table() -> None:
    known = {re.sub(r"<.*", "", name)[1:] for name in names_in_the_module()}
    used = set()
    for path in SCRIPTS.glob("*.lua"):
        used |= set(re.findall(r"P \.\. '([^']+)'", path.read_text()))
    assert used
    assert used <= known


def test_the_prefix_of_a_cluster_is_in_every_name() -> None:
    keys = Keys("{turnstone}")
    assert keys.inbound == "{turnstone}:inbound"
    assert keys.message("c") == "{turnstone}:x:cid:c"
    assert Keys.pattern("a[b]*:") == "a\\[b\\]\\*:"

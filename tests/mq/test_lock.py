"""The lock of a worker: one holder, and a true word about those before it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from turnstone.core.errors import ConfigurationError
from turnstone.mq.lock import hold

BUSY = ConfigurationError("It runs already.")


def test_a_lock_has_one_holder_who_learns_which_boots_held_it_before(tmp_path: Path) -> None:
    path = tmp_path / "state" / "one.lock"
    boots: list[str] = []
    for _ in range(3):
        with hold(path, BUSY) as held:
            assert held.dead == tuple(boots)
            boots.append(held.boot)
            with pytest.raises(ConfigurationError, match="runs already"), hold(path, BUSY):
                pass

    assert len(set(boots)) == 3


def test_a_copy_of_a_lock_file_says_nothing_of_who_is_dead(tmp_path: Path) -> None:
    path, copy = tmp_path / "one.lock", tmp_path / "two.lock"
    with hold(path, BUSY):
        shutil.copy(path, copy)
        with hold(copy, BUSY) as other:
            assert other.dead == ()


def test_the_file_does_not_grow_and_keeps_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    boots = []
    for _ in range(60):
        with hold(path, BUSY) as held:
            boots.append(held.boot)
    with hold(path, BUSY) as held:
        assert held.dead[-3:] == tuple(boots[-3:])
    assert path.stat().st_size < 512


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"4711\ndeadbeef\n", b"deadbeef"])
def test_a_file_that_another_wrote_says_nothing_of_who_is_dead(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "one.lock"
    path.write_bytes(content)
    with hold(path, BUSY) as held:
        assert held.dead == ()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigurationError, match="file/one.lock cannot be made"),
        hold(tmp_path / "file" / "one.lock", BUSY),
    ):
        pass

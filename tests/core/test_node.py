"""Who writes to a store: a lock that ends with its process, and an id that servers keep."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from turnstone.core.errors import StoreError
from turnstone.core.node import lives, lock_process, lock_server


def test_a_server_keeps_its_id_and_is_alone(tmp_path: Path) -> None:
    store = tmp_path / "turnstone.db"
    first = lock_server(store)

    with pytest.raises(StoreError, match=f"process {os.getpid()}"):
        lock_server(store)
    assert lives(store, first.node_id)
    first.release()
    first.release()

    assert not lives(store, first.node_id)
    again = lock_server(store)
    assert again.node_id == first.node_id
    again.release()


def test_a_wanted_id_is_kept_from_then_on(tmp_path: Path) -> None:
    store = tmp_path / "turnstone.db"
    lock_server(store, "server-12").release()
    again = lock_server(store)

    assert again.node_id == "server-12"
    assert again.former == ()
    again.release()
    renamed = lock_server(store, "server-13")
    assert (renamed.node_id, renamed.former) == ("server-13", ("server-12",))
    assert lives(store, "server-13")
    renamed.release()


def test_former_ids_are_kept_until_their_workstreams_are_adopted(tmp_path: Path) -> None:
    store = tmp_path / "turnstone.db"
    for node_id in ("first", "second", "third"):
        lock_server(store, node_id).release()

    lock = lock_server(store)

    assert (lock.node_id, lock.former) == ("third", ("second", "first"))
    lock.adopted()
    lock.release()
    again = lock_server(store, "second")
    assert (again.node_id, again.former) == ("second", ("third",))
    again.release()


def test_a_dead_process_is_dead_also_while_another_asks_about_it(tmp_path: Path) -> None:
    store = tmp_path / "turnstone.db"
    gone = lock_process(store)
    gone.release()
    with (tmp_path / "turnstone.db.nodes" / f"{gone.node_id}.lock").open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)

        assert not lives(store, gone.node_id)


def test_processes_live_beside_a_server_under_ids_of_their_own(tmp_path: Path) -> None:
    store = tmp_path / "turnstone.db"
    locks = [lock_server(store), lock_process(store), lock_process(store)]

    assert len({lock.node_id for lock in locks}) == 3
    assert all(lives(store, lock.node_id) for lock in locks)
    assert not lives(store, "somebody_else")
    for lock in locks:
        lock.release()
    assert not any(lives(store, lock.node_id) for lock in locks)


def test_a_store_that_is_a_folder_and_a_place_that_cannot_be_written_are_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="is a folder"):
        lock_process(Path("/"))
    with pytest.raises(StoreError, match="cannot be written"):
        lock_server(tmp_path / "file" / "turnstone.db")

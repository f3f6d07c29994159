"""What holds a place follows nothing and reads little, whoever writes in the same folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from turnstone.sandbox.placeholders import held, is_free

PRECIOUS = "precious"

#: Enough that the way by path is caught in every run on a machine of one core too.
_ROUNDS = 300


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    file = tmp_path / "victim"
    file.write_text(PRECIOUS)
    file.chmod(0o600)
    return file


@contextmanager
def swapping(folder: Path, target: Path) -> Iterator[None]:
    """Somebody puts a link in the place of each new name in the folder, as fast as can be."""
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for name in os.listdir(folder):
                if name.startswith(".turnstone"):
                    with suppress(OSError):
                        os.symlink(target, folder / "link")
                    with suppress(OSError):
                        os.rename(folder / "link", folder / name)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def untouched(victim: Path) -> bool:
    return victim.stat().st_mode & 0o777 == 0o600 and victim.read_text() == PRECIOUS


def by_descriptor(folder: Path) -> None:
    with held([folder / "commondir"], []):
        pass


def by_path(folder: Path) -> None:
    temporary = folder / ".turnstone-0.tmp"
    with suppress(OSError):
        temporary.write_bytes(b".\n")
        temporary.chmod(0o444)
    temporary.unlink(missing_ok=True)


def attacked(work: Callable[[Path], None], folder: Path, victim: Path) -> bool:
    """Whether the victim was changed."""
    with swapping(folder, victim):
        for _ in range(_ROUNDS):
            work(folder)
            if not untouched(victim):
                return True
    return False


def test_a_link_put_in_between_leads_nowhere(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "git"
    folder.mkdir()

    assert not attacked(by_descriptor, folder, victim)


def test_a_link_put_in_between_leads_the_plain_way_astray(tmp_path: Path, victim: Path) -> None:
    """Or the test above would say nothing."""
    folder = tmp_path / "git"
    folder.mkdir()

    assert attacked(by_path, folder, victim)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_no_file_of_another_is_given_away(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "git"
    folder.mkdir()
    os.chown(folder, 65534, 65534)

    assert not attacked(by_descriptor, folder, victim)
    assert victim.stat().st_uid == 0


def test_nothing_is_made_by_way_of_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "git").symlink_to("elsewhere")

    with held([tmp_path / "git" / "commondir"], [tmp_path / "git" / "hooks"]) as made:
        assert made.files == made.folders == []
        assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_with_the_name_is_not_followed(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "commondir").symlink_to(victim)

    with held([tmp_path / "commondir"], []) as made:
        assert made.files == []

    assert (tmp_path / "commondir").is_symlink()
    assert untouched(victim)


def test_a_file_of_any_size_is_told_from_a_placeholder(tmp_path: Path) -> None:
    """Read as a whole it would not fit into any memory."""
    file = tmp_path / "config"
    file.touch()
    os.truncate(file, 1 << 40)

    assert not is_free(file)


def test_a_pipe_is_told_from_a_placeholder_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config")

    assert not is_free(tmp_path / "config")


def test_what_was_written_into_a_placeholder_stays(tmp_path: Path) -> None:
    file = tmp_path / "config"

    with held([file], []):
        file.chmod(0o644)
        file.write_text("[core]\n")

    assert file.read_text() == "[core]\n"

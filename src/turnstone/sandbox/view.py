"""What of the file system a confined command sees: which folders are hidden, which protected.

Looks at the disk to see what there is; changes nothing. The result is data for `bwrap`.

Of what starts by itself later, with the person's rights, a command cannot write or make: the
settings and hooks of the workspace's own repository, and, where the workspace is a home
directory or a folder above one, the starter files and folders of the home. It *can* write what
else a project brings along and somebody runs: sources, build files, `.envrc` (direnv asks
before it runs a new one), `.vscode`, `.github`, and the repositories in folders below, those
of submodules among them, and one made anew where the workspace has no `.git`. A starter file
that is a link is protected where the link leads to, but the link itself can be replaced. Our
own files in a folder that is the workspace are hidden if they are there when it starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from turnstone.core.errors import ToolRefused
from turnstone.core.sensitive import (
    HOME_SECRETS,
    HOME_STARTER_FILES,
    HOME_STARTER_FOLDERS,
    is_own,
)
from turnstone.sandbox.identity import Identity
from turnstone.sandbox.placeholders import is_free

#: Replaced by empty, writable memory: sockets of other programs, and everybody's files.
SHARED = tuple(map(Path, ("/tmp", "/var/tmp", "/run", "/var/run", "/home", "/root")))  # noqa: S108

#: What only root can read; a confined command of root could, for its own files are root's.
SYSTEM_SECRETS = (
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/krb5.keytab",
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/wireguard",
)

#: Programs that live in a home directory, without the credentials beside them.
TOOLCHAINS = (
    ".local/bin",
    ".local/share/uv",
    ".local/share/pipx",
    ".cargo/bin",
    ".rustup",
    ".pyenv",
    ".nvm",
    ".bun/bin",
    ".deno/bin",
    "go/bin",
)

#: What makes git run programs, on the host too; below `.git`. `commondir` says where the
#: settings are, so that it must not come into being.
_GIT_FILES, _GIT_FOLDERS = ("config", "commondir"), ("hooks",)
_GIT_FILES_OF_SOME = ("config.worktree",)

#: Folders that the system cannot do without, though some account calls one its home.
_SYSTEM = tuple(map(Path, ("/bin", "/sbin", "/lib", "/lib64", "/usr", "/etc", "/dev", "/proc")))


@dataclass(frozen=True, slots=True)
class View:
    """Mounts in the order in which they must be made; later ones cover earlier ones."""

    hidden: tuple[Path, ...]  # before the workspace
    toolchains: tuple[Path, ...]  # read-only, into what was hidden
    home: Path | None  # made anew, empty, if it was hidden
    workspace: Path
    pinned: tuple[Path, ...]  # as they are: what is mounted cannot be renamed out of the way
    read_only: tuple[Path, ...]  # below the workspace, as all that follow
    hidden_within: tuple[Path, ...]
    absent_files: tuple[Path, ...]  # must not come into being
    absent_folders: tuple[Path, ...]


def view_of(workspace: Path, identity: Identity, hidden: Sequence[Path]) -> View:
    """Raises ToolRefused where the workspace leaves nothing to confine."""
    workspace = workspace.resolve()
    if workspace == Path("/") or workspace in _SYSTEM:
        raise ToolRefused(
            f"Commands cannot be confined to {workspace}: it holds the system itself.",
            hint="Choose a folder of your own as the workspace.",
        )
    homes = [h for h in _homes(identity) if not _is_system(h)]
    above = [h for h in homes if h.is_relative_to(workspace)]
    masks = {mask for mask in _masks(homes, hidden) if mask.exists() and not mask.is_symlink()}
    # Resolved, because nothing can be mounted on a link.
    secrets = {(h / name).resolve() for h in above for name in HOME_SECRETS} | masks
    secrets |= set(_own(workspace, hidden))
    outer = _outermost(p for p in secrets if p.exists() and not p.is_relative_to(workspace))
    within = _outermost(
        p for p in secrets if p.exists() and workspace in p.parents and p not in above
    )
    files, folders = (
        [p for p in paths if workspace in p.parents and not _is_below(p, within)]
        for paths in _starters(workspace, above)
    )
    read_only = [p for p in (*files, *folders) if not is_free(p)]
    free_files = [p for p in files if is_free(p)]
    free_folders = [p for p in folders if is_free(p)]
    home = identity.home
    return View(
        hidden=outer,
        toolchains=tuple(home / name for name in TOOLCHAINS if _is_below(home, outer)),
        home=home if _is_below(home, outer) else None,
        workspace=workspace,
        pinned=_pins(workspace, (*read_only, *within, *free_files, *free_folders)),
        read_only=tuple(read_only),
        hidden_within=within,
        absent_files=tuple(free_files),
        absent_folders=tuple(free_folders),
    )


def _masks(homes: Sequence[Path], hidden: Sequence[Path]) -> Iterator[Path]:
    yield from (*SHARED, *map(Path, SYSTEM_SECRETS), *homes, *hidden)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime)


def _own(workspace: Path, hidden: Sequence[Path]) -> Iterator[Path]:
    """What is ours in the workspace, where it cannot be hidden as a whole."""
    if workspace in hidden:
        yield from (p for p in workspace.iterdir() if is_own(p, [workspace], workspace))


def _starters(workspace: Path, homes: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Files and folders from which something is started by itself, there or not."""
    files = [(h / name).resolve() for h in homes for name in HOME_STARTER_FILES]
    folders = [(h / name).resolve() for h in homes for name in HOME_STARTER_FOLDERS]
    git = workspace / ".git"
    if git.is_symlink() or not git.exists():
        return files, folders
    if git.is_file():  # a linked worktree: the file says where the repository is
        return [*files, git], folders
    some = [(git / name).resolve() for name in _GIT_FILES_OF_SOME if (git / name).exists()]
    files += [*((git / name).resolve() for name in _GIT_FILES), *some]
    return files, [*folders, *((git / name).resolve() for name in _GIT_FOLDERS)]


def _pins(workspace: Path, protected: Sequence[Path]) -> tuple[Path, ...]:
    """The folders between the workspace and what is protected, there or not, those above first."""
    between = {p for path in protected for p in path.parents if workspace in p.parents}
    return tuple(sorted(between - set(protected)))


def _homes(identity: Identity) -> Iterator[Path]:
    yield identity.home.resolve()
    yield Path.home().resolve()


def _is_system(home: Path) -> bool:
    return len(home.parts) < 2 or any(home.is_relative_to(folder) for folder in _SYSTEM)


def _is_below(path: Path, masks: Sequence[Path]) -> bool:
    return any(path.is_relative_to(mask) for mask in masks)


def _outermost(paths: Iterator[Path] | Sequence[Path]) -> tuple[Path, ...]:
    """Without those that lie in another one, and in a fixed order."""
    kept: list[Path] = []
    for path in sorted(set(paths)):
        if not _is_below(path, kept):
            kept.append(path)
    return tuple(kept)

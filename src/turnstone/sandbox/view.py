"""What of the file system a confined command sees: which folders are hidden, which protected.

Looks at the disk to see what there is; changes nothing. The result is data for `bwrap`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from turnstone.core.errors import ToolRefused
from turnstone.sandbox.identity import Identity

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

#: Hidden one by one where the workspace is a home directory, or a folder above it.
HOME_SECRETS = (
    ".ssh .gnupg .aws .azure .kube .docker .password-store .mozilla .thunderbird .turnstone "
    ".netrc .npmrc .pypirc .git-credentials .pgpass .my.cnf .vault-token .bash_history "
    ".zsh_history .python_history .cargo/credentials .cargo/credentials.toml .config/gcloud "
    ".config/gh .config/turnstone .config/google-chrome .config/chromium .config/rclone "
    ".local/share/keyrings .local/share/turnstone .local/state/turnstone"
).split()

#: Start by themselves what is written in them: read-only where the workspace holds them.
HOME_STARTERS = (
    ".bashrc .bash_profile .bash_login .bash_logout .profile .zshrc .zprofile .zshenv "
    ".gitconfig .config/git .config/autostart .config/systemd .config/fish .local/bin"
).split()

#: Folders that the system cannot do without, though some account calls one its home.
_SYSTEM = tuple(map(Path, ("/bin", "/sbin", "/lib", "/lib64", "/usr", "/etc", "/dev", "/proc")))


@dataclass(frozen=True, slots=True)
class View:
    """Mounts in the order in which they must be made; later ones cover earlier ones."""

    hidden: tuple[Path, ...]  # before the workspace
    toolchains: tuple[Path, ...]  # read-only, into what was hidden
    home: Path | None  # made anew, empty, if it was hidden
    workspace: Path
    hidden_within: tuple[Path, ...]  # below the workspace
    read_only: tuple[Path, ...]  # below the workspace
    read_only_folders: tuple[Path, ...]  # the same, empty where they do not exist


def view_of(workspace: Path, identity: Identity, hidden: Sequence[Path]) -> View:
    """Raises ToolRefused where the workspace leaves nothing to confine."""
    workspace = workspace.resolve()
    if workspace == Path("/") or workspace in _SYSTEM:
        raise ToolRefused(
            f"Commands cannot be confined to {workspace}: it holds the system itself.",
            hint="Choose a folder of your own as the workspace.",
        )
    homes = [h for h in _homes(identity) if not _is_system(h)]
    masks = {*SHARED, *map(Path, SYSTEM_SECRETS), *homes, *hidden}
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        masks.add(Path(runtime))
    masks = {mask for mask in masks if mask.exists() and not mask.is_symlink()}
    above = [h for h in homes if h.is_relative_to(workspace)]
    covered = [h / name for h in above for name in HOME_SECRETS]
    within = [p for p in (*masks, *covered) if workspace in p.parents and p.exists()]
    starters = [h / name for h in above for name in HOME_STARTERS if (h / name).exists()]
    git_files, git_folders = _git(workspace)
    outer = _outermost(mask for mask in masks if not mask.is_relative_to(workspace))
    home = identity.home
    return View(
        hidden=outer,
        toolchains=tuple(home / name for name in TOOLCHAINS if _is_below(home, outer)),
        home=home if _is_below(home, outer) else None,
        workspace=workspace,
        hidden_within=_outermost(p for p in within if p not in above),
        read_only=(*starters, *git_files),
        read_only_folders=git_folders,
    )


def _homes(identity: Identity) -> Iterator[Path]:
    yield identity.home
    yield Path.home()


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


def _git(workspace: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Files and folders of the repository that make git run programs, on the host too."""
    git = workspace / ".git"
    if git.is_symlink() or not git.exists():
        return (), ()
    if git.is_file():  # a linked worktree: the file says where the repository is
        return (git,), ()
    return (git / "config",), (git / "hooks",)

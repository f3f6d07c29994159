"""What holds secrets, what starts by itself, and what is our own: one list for tools and sandbox.

Names and places only; nothing is looked at or opened here. Names are patterns in lower case,
for whoever folds the case first; places are as they are on the disk, below a home directory.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

#: Secrets wherever they are. A command may read these in its workspace, since builds do.
SECRET_NAMES = (
    ".env*",
    "*.pem",
    "*.p12",
    "*.pfx",
    "*.kdbx",
    "id_rsa",
    "id_dsa",
    "id_ecdsa*",
    "id_ed25519*",
)

#: Secrets of a home directory: hidden from commands one by one where the workspace is a home
#: directory or a folder above one; asked about, and left out by `search`, in any folder.
HOME_SECRETS = tuple(
    (
        # Keys, tokens and passwords.
        ".ssh .gnupg .aws .azure .kube .docker .dockercfg .password-store .netrc .npmrc .pypirc "
        ".git-credentials .gitcookies .pgpass .my.cnf .mylogin.cnf .vault-token .s3cfg .boto "
        ".terraformrc .terraform.d .huggingface .cache/huggingface/token .cargo/credentials "
        ".cargo/credentials.toml .gem/credentials .composer/auth.json .m2/settings.xml "
        ".config/gcloud .config/gh .config/glab-cli .config/hub .config/git/credentials "
        ".config/rclone .config/op .config/sops .config/containers .config/composer "
        ".config/pypoetry/auth.toml .local/share/containers .local/share/keyrings "
        ".local/share/kwalletd "
        # What the person has typed.
        ".bash_history .zsh_history .python_history .psql_history .mysql_history "
        ".sqlite_history .node_repl_history .histfile .lesshst .viminfo "
        ".local/share/fish/fish_history "
        # Cookies and mail.
        ".mozilla .thunderbird .config/google-chrome .config/chromium .config/vivaldi "
        ".config/microsoft-edge .config/BraveSoftware "
        # Our own.
        ".turnstone .config/turnstone .local/share/turnstone .local/state/turnstone"
    ).split()
)

#: Files of a home directory that start by themselves what is written in them.
HOME_STARTER_FILES = tuple(
    (
        ".bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .xprofile "
        ".xsession .xsessionrc .zshrc .zprofile .zshenv .zlogin .zlogout .gitconfig"
    ).split()
)

#: Folders of which the same holds, or whose settings name programs to start.
HOME_STARTER_FOLDERS = tuple(
    (
        ".config/autostart .config/environment.d .config/fish .config/git .config/systemd "
        ".config/turnstone .local/bin .ssh .aws .docker .kube"
    ).split()
)

#: Names of files and folders of a project from which editors, git, shells and services start
#: something later, by themselves, where a person opens or enters the folder, uses git or a
#: language's own tools in it, or pushes it. Not sources, nor what is run by its name (`make`).
PROJECT_STARTERS = tuple(
    (
        # Version control; a folder with a HEAD in it may be a repository without a .git.
        ".git .hg .jj head .gitmodules .gitattributes .lfsconfig .githooks .husky lefthook.yml "
        "lefthook.yaml .lefthook.yml .lefthook.yaml .pre-commit-config.yaml .overcommit.yml "
        # Shells and environments.
        ".envrc .autoenv .autoenv.zsh mise.toml .mise.toml .mise .rtx.toml "
        # Editors, and other agents.
        ".vscode .idea .fleet .zed .devcontainer .devcontainer.json .vimrc .exrc .nvimrc "
        ".nvim.lua .lvimrc .dir-locals.el .dir-locals-2.el .mcp.json .claude .cursor .codex "
        ".gemini .windsurf "
        # Languages, where their tools start.
        ".cargo .yarnrc .yarnrc.yml .yarn .pnpmfile.cjs .pnp.cjs .bundle .rprofile .renviron "
        ".irbrc .pryrc .ghci .ocamlinit .octaverc .gdbinit .lldbinit sitecustomize.py "
        "usercustomize.py "
        # Services.
        ".github .gitlab-ci.yml .circleci .ci jenkinsfile .travis.yml azure-pipelines.yml "
        "bitbucket-pipelines.yml .buildkite .drone.yml .woodpecker .woodpecker.yml .forgejo "
        ".gitea .appveyor.yml appveyor.yml .cirrus.yml .semaphore .teamcity .tekton "
        "cloudbuild.yaml .gitpod.yml .idx .replit"
    ).split()
)

#: All such names, with those of shells: harmless to read, and asked about before they are
#: written.
STARTER_NAMES = (
    ".bash*",
    ".zsh*",
    ".zprofile",
    ".zlogin",
    ".zlogout",
    ".profile",
    ".xprofile",
    ".xsession*",
    ".xinitrc",
    ".cshrc",
    ".tcshrc",
    ".kshrc",
    ".login",
    ".logout",
    ".inputrc",
    ".pam_environment",
    ".gitconfig",
    "*.code-workspace",
    "*.desktop",
    "*.pth",
    *PROJECT_STARTERS,
)

#: Places of several names of which the same holds.
STARTER_PLACES = tuple(place for place in HOME_STARTER_FOLDERS if "/" in place)

#: Where secrets are, wherever such a place is: names, and places of several names, folded.
SECRET_ANYWHERE = (*SECRET_NAMES, *(place for place in HOME_SECRETS if "/" not in place))
SECRET_PLACES = (".git/config", *(place.casefold() for place in HOME_SECRETS if "/" in place))

_LAST_OF_PLACES = frozenset(place.rpartition("/")[2] for place in SECRET_PLACES)

#: What is ours in a folder that holds our state, where the folder as a whole cannot be hidden.
OWN_NAMES = ("token", "*.db", "*.db-wal", "*.db-shm", "*.db-journal", "*.nodes")

#: What belongs to a store, after its name: SQLite's files beside it, and the locks of nodes.
_STORE_ENDINGS = ("", "-wal", "-shm", "-journal", ".nodes")


def store_files(store: Path) -> tuple[Path, ...]:
    """The files and folders of the store at this path, to be hidden whatever its name is."""
    return tuple(store.with_name(f"{store.name}{ending}") for ending in _STORE_ENDINGS)


def is_secret(parts: Sequence[str]) -> bool:
    """Whether one of these names, or some of them in a row, stand for credentials.

    Case and Unicode form do not matter, since to some file systems they do not.
    """
    folded = folded_names(parts)
    within = f"/{'/'.join(folded)}/"
    return any(map(_is_secret_name, folded)) or any(
        f"/{place}/" in within for place in SECRET_PLACES
    )


def is_starter(parts: Sequence[str]) -> bool:
    """Whether one of these names, or some of them in a row, stand for what other programs start
    or obey later. Case and Unicode form do not matter."""
    folded = folded_names(parts)
    within = f"/{'/'.join(folded)}/"
    return any(fnmatchcase(part, name) for part in folded for name in STARTER_NAMES) or any(
        f"/{place}/" in within for place in STARTER_PLACES
    )


@lru_cache(maxsize=10_000)
def is_plain_name(name: str) -> bool:
    """Whether a file of this name is no secret in any folder that is none itself."""
    [folded] = folded_names([name])
    return not _is_secret_name(folded) and folded not in _LAST_OF_PLACES


@lru_cache(maxsize=10_000)
def _is_secret_name(folded: str) -> bool:
    return any(fnmatchcase(folded, name) for name in SECRET_ANYWHERE)


def folded_names(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in parts)


def is_own(path: Path, hidden: Sequence[Path], workspace: Path) -> bool:
    """Whether `path` is hidden: in one of `hidden`, which are folders or files; all resolved.

    Of a hidden folder that is the workspace, or holds it, only the names in OWN_NAMES are.
    Case and Unicode form do not matter, since to some file systems they do not.
    """
    parts, base = folded_names(path.parts), folded_names(workspace.parts)
    for folder in (folded_names(entry.parts) for entry in hidden):
        rest = parts[len(folder) :]
        if parts[: len(folder)] != folder:
            continue
        if base[: len(folder)] != folder:
            return True
        if rest and any(fnmatchcase(rest[0], name) for name in OWN_NAMES):
            return True
    return False

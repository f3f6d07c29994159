# Sourced by the scripts beside it: makes .venv and keeps it as the locks say.
# Sets up only what has changed since the last time; never touches a package outside .venv.
# Needs $0 of the script that sources it for its messages.

say() {
    echo "$(basename "$0"): $*" >&2
}

# The newest Python on PATH that is new enough, or the one that PYTHON names.
find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    say "Python 3.11 or newer is needed, and none was found as ${PYTHON:-python3}." \
        "Install it (Debian 12: apt-get install python3 python3-venv), or name it: PYTHON=/path/to/python3."
    return 1
}

venv_works() {
    .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
    python=$(find_python) || return 1
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "this Python has no venv module. On Debian and Ubuntu: apt-get install python3-venv."
        return 1
    fi
    "$python" -m venv --clear .venv
}

install_locked() {
    # Errors only: what an index has to say about itself is of no use here.
    pip="env PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pip --quiet --quiet --no-input"
    $pip install --require-hashes --no-deps --requirement "$1" &&
        $pip install --no-deps --no-build-isolation --editable ./oturn --editable .
}

# prepare_venv run|dev: in the root of the tree; dev holds all that run does.
# The stamp says what was installed, from which locks, and where the tree stood then.
prepare_venv() {
    locks=$(cat requirements.txt requirements-dev.txt pyproject.toml oturn/pyproject.toml | cksum)
    here=$(pwd)
    stamp=$(cat .venv/turnstone-stamp 2>/dev/null || true)
    if venv_works; then
        case $stamp in
        "dev $locks $here" | "$1 $locks $here") return 0 ;;
        *" $here" | "") ;;
        *) make_venv || return 1 ;; # the tree was moved: its programs name the old place
        esac
    else
        make_venv || return 1
    fi
    rm -f .venv/turnstone-stamp
    case $1 in run) lock=requirements.txt ;; *) lock=requirements-dev.txt ;; esac
    say "installing what $lock names into .venv; this is done once."
    if ! install_locked "$lock"; then
        say "the packages could not be installed; the lines above say why." \
            "A package index must be reachable: pip's own settings say which one."
        return 1
    fi
    echo "$1 $locks $here" >.venv/turnstone-stamp
}

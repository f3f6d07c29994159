"""The configuration file: reads it, and says of every key where it stands and if it is known.

Reads this one file, once. Does not know what values are right; `values` does.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnstone.core.config.rows import BY_NAME, MODEL_KEYS, MODELS, SECTIONS, model_rows
from turnstone.core.config.table import Setting
from turnstone.core.errors import ConfigurationError

_PLACE: Final = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)"
)
_HEADER: Final = re.compile(r"\s*\[+\s*(?P<name>[^\[\]]+?)\s*\]+\s*(#.*)?$")
_KEY: Final = re.compile(r"\s*(?P<name>[\w\-.\s\"']+?)\s*=")
_MODEL_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
#: The name of the model that has no section of its own.
DEFAULT_MODEL: Final = "default"
#: Mode bits by which others than the owner can read.
_READABLE_BY_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, slots=True)
class Entry:
    """One known key of the file, with its value as TOML gives it."""

    row: Setting
    raw: object
    where: str  # path:line


@dataclass(frozen=True, slots=True)
class ConfigFile:
    path: Path
    entries: tuple[Entry, ...]
    problems: tuple[str, ...]  # unknown sections and keys, one sentence each
    open_to_others: bool  # whether others than its owner can read it


def read_config_file(path: Path) -> ConfigFile:
    """Read `path`.

    FileNotFoundError if there is none; ConfigurationError if it cannot be read or is not TOML.
    """
    try:
        with path.open("rb") as file:
            open_to_others = bool(os.fstat(file.fileno()).st_mode & _READABLE_BY_OTHERS)
            text = file.read().decode("utf-8-sig")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(
            f"The configuration file {path} cannot be read: {error.strerror}.",
            hint="Correct its path or its permissions.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"The configuration file {path} is not UTF-8 text.", hint="Save it as UTF-8."
        ) from error
    document = _parsed(path, text)
    lines = _lines(text)
    problems: list[str] = []
    entries: list[Entry] = []
    for row, raw in _keys(document, lines, path, problems):
        entries.append(Entry(row, raw, _where(path, lines, row.name)))
    return ConfigFile(path, tuple(entries), tuple(problems), open_to_others)


def _parsed(path: Path, text: str) -> dict[str, object]:
    # A number of thousands of digits and a very deep nest fail in other ways than bad TOML does.
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        found = _PLACE.fullmatch(str(error))
        what = found["what"] if found else str(error)
        place = f" at line {found['line'] or text.count(chr(10)) + 1}" if found else ""
        raise ConfigurationError(
            f"The configuration file {path} is not valid TOML{place}: {what}.",
            hint='Texts need quotes, as in name = "value".',
        ) from error


def _keys(
    document: dict[str, object], lines: dict[str, int], path: Path, problems: list[str]
) -> Iterator[tuple[Setting, object]]:
    """Row and value of every known key; what is unknown goes to `problems`."""
    for section, table in document.items():
        if not isinstance(table, dict):
            problems.append(_stray(section, _where(path, lines, section)))
        elif section == MODELS:
            yield from _models(table, lines, path, problems)
        elif section not in SECTIONS:
            problems.append(_unknown_section(section, _where(path, lines, section)))
        else:
            for key, raw in table.items():
                name = f"{section}.{key}"
                if name in BY_NAME:
                    yield BY_NAME[name], raw
                else:
                    problems.append(_unknown_key(section, key, _where(path, lines, name)))


def _models(
    table: dict[str, object], lines: dict[str, int], path: Path, problems: list[str]
) -> Iterator[tuple[Setting, object]]:
    """The same of the sections [models.<name>]."""
    for model, values in table.items():
        section = f"{MODELS}.{model}"
        where = _where(path, lines, section)
        if not isinstance(values, dict):
            problems.append(
                f"{section} in {where} must be a section of its own: [{MODELS}.<name>]."
            )
        elif not _MODEL_NAME.fullmatch(model) or model == DEFAULT_MODEL:
            problems.append(_wrong_name(model, where))
        elif not values:
            problems.append(f"[{section}] in {where} is empty; it must say model = at least.")
        else:
            rows = {row.key: row for row in model_rows(model)}
            for key, raw in values.items():
                if key in rows:
                    yield rows[key], raw
                else:
                    place = _where(path, lines, f"{section}.{key}")
                    problems.append(_unknown_model_key(section, key, place))


def _wrong_name(model: str, where: str) -> str:
    if model == DEFAULT_MODEL:
        return f"[{MODELS}.{model}] in {where}: that is the name of the model of [api] and [model]."
    return (
        f"A model in {where} has the name {model!r}; it must be of lower-case letters, digits,"
        " - and _, and begin with a letter."
    )


def _unknown_model_key(section: str, key: str, where: str) -> str:
    keys = tuple(row.key for row in MODEL_KEYS)
    near = nearest(key, keys)
    advice = f'did you mean "{near}"?' if near else f"there are {', '.join(keys)}."
    return f'The section [{section}] has no key "{key}", which stands in {where}; {advice}'


def _stray(key: str, where: str) -> str:
    if key == MODELS:
        return f"{key} in {where} must be sections, one for each model: [{MODELS}.<name>]."
    if key in SECTIONS:
        return f"{key} in {where} must be a section; write [{key}] on a line of its own."
    homes = [section for section, keys in SECTIONS.items() if key in keys]
    advice = f"put it below [{homes[0]}]" if homes else "put it below the section it belongs to"
    return f'The key "{key}" in {where} stands in no section; {advice}.'


def _unknown_section(section: str, where: str) -> str:
    known = (*SECTIONS, MODELS)
    near = nearest(section, known)
    advice = f"did you mean [{near}]?" if near else f"there are {', '.join(known)}."
    return f"There is no section [{section}], which stands in {where}; {advice}"


def _unknown_key(section: str, key: str, where: str) -> str:
    near = nearest(key, SECTIONS[section])
    homes = [other for other, keys in SECTIONS.items() if key in keys]
    if near:
        advice = f'did you mean "{near}"?'
    elif homes:
        advice = f"it belongs in [{homes[0]}]."
    else:
        advice = f"there are {', '.join(SECTIONS[section])}."
    return f'The section [{section}] has no key "{key}", which stands in {where}; {advice}'


def nearest(word: str, known: tuple[str, ...], *, cutoff: float = 0.6) -> str:
    """The known name that is most like `word`, or an empty text if none is alike enough."""
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=cutoff)), "")


def _where(path: Path, lines: dict[str, int], name: str) -> str:
    line = lines.get(name)
    return f"{path}:{line}" if line else str(path)


def _lines(text: str) -> dict[str, int]:
    """Line numbers by section and "section.key": of the usual spellings, not of every one.

    tomllib tells no places. A key in an unusual spelling (an inline table) is just not found
    here, and is then named with its file alone.
    """
    places: dict[str, int] = {}
    section = ""
    inside = ""  # the quotes that will end a text of several lines
    for number, line in enumerate(text.splitlines(), start=1):
        if not inside:
            if header := _HEADER.match(line):
                section = _bare(header["name"])
                places.setdefault(section, number)
                continue
            if key := _KEY.match(line):
                name = f"{section}.{_bare(key['name'])}".lstrip(".")
                places.setdefault(name, number)
                places.setdefault(name.partition(".")[0], number)
        inside = _open_quotes(line, inside)
    return places


def _bare(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def _open_quotes(line: str, inside: str) -> str:
    for quotes in re.findall(r'"""|\'\'\'', line):
        if not inside:
            inside = quotes
        elif inside == quotes:
            inside = ""
    return inside

"""The loader of settings: one for all programs.

Four layers (defaults, file, environment, command line), each read whole and checked whole;
the later one wins. Whatever is wrong is collected and told at once: no value is dropped in
silence. Reads the configuration file; the environment and the flags are handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from turnstone.core.config.places import Places
from turnstone.core.config.rows import BY_NAME, MODELS, SECTIONS, SETTINGS, model_rows
from turnstone.core.config.structs import (
    ApiSettings,
    AuthSettings,
    BridgeSettings,
    BudgetSettings,
    ConsoleSettings,
    LogSettings,
    MetricsSettings,
    ModelSettings,
    NamedModel,
    NodeSettings,
    PolicySettings,
    QueueSettings,
    RedisSettings,
    RoleSettings,
    SandboxSettings,
    ServerSettings,
    SessionSettings,
    Settings,
    Source,
    StoreSettings,
    TerminalSettings,
    ToolSettings,
    TracesSettings,
    WebSettings,
)
from turnstone.core.config.table import CONFIG_VARIABLE, PROGRAMS, Setting, parameter
from turnstone.core.config.tomlfile import ConfigFile, nearest, read_config_file
from turnstone.core.config.values import WrongValue, from_file, from_text
from turnstone.core.errors import ConfigurationError

#: What one source has to say: values with their sources, by "section.key".
Layer: TypeAlias = dict[str, tuple[object, Source]]

#: Kubernetes gives every container such variables for a service that is called turnstone-….
_SERVICE_LINK: Final = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_[0-9]+_")
#: How alike a variable must be to a setting's to count as misspelt: one or two letters.
_MISSPELT: Final = 0.9


def load_settings(
    program: str,
    *,
    flags: Mapping[str, object],
    env: Mapping[str, str],
    home: Path | None = None,
    cwd: Path | None = None,
) -> Settings:
    """The settings of `program`, one of PROGRAMS: command line > environment > file > default.

    `flags` are by "section.key" or by the flag's name in `program` (`base_url`), and "config"
    is the path of the configuration file; None means not given. An empty environment variable
    counts as not set. `home` is $HOME, and `cwd` the current directory, unless given.

    ConfigurationError if anything is wrong: one sentence for each thing. ValueError for a
    program or a flag that does not exist, which is a mistake in the calling code.
    """
    if program not in PROGRAMS:
        raise ValueError(f"There is no program {program!r} that has settings.")
    places = Places(env, home, cwd or Path.cwd())
    report = _Report()
    file = _read_file(places, flags.get("config"))
    rows = _rows(file)
    given = (
        (_file_layer(file, places, report) if file else {})
        | _environment_layer(env, places, report, rows)
        | _flag_layer(program, flags, places, report)
    )
    merged = _default_layer(program, given, places, report, rows) | given
    models = _models(rows, merged, report)
    report.raise_problems()
    return _settings(program, file, merged, models, tuple(report.warnings))


@dataclass(frozen=True, slots=True)
class _Report:
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def raise_problems(self) -> None:
        if len(self.problems) == 1:
            raise ConfigurationError(self.problems[0])
        if self.problems:
            listed = "".join(f"\n  - {problem}" for problem in self.problems)
            raise ConfigurationError(f"{len(self.problems)} settings are wrong:{listed}")

    def wrong(self, row: Setting, where: str, error: WrongValue) -> None:
        self.problems.append(f"{row.name} is {error.given} {where}; it must be {error.right}.")


def _read_file(places: Places, flag: object) -> ConfigFile | None:
    named = places.named_file(flag)
    path = named[0] if named else places.usual_file()
    if path is None:
        return None
    try:
        return read_config_file(path)
    except FileNotFoundError as error:
        if named is None:
            return None
        raise ConfigurationError(
            f"There is no configuration file {path}, which {named[1]} names.",
            hint="Correct the path, or leave it out.",
        ) from error


def _rows(file: ConfigFile | None) -> tuple[Setting, ...]:
    """Every setting there is: those of the table, and those of each model that the file names."""
    sections = [entry.row.section for entry in file.entries] if file else []
    named = [s.removeprefix(f"{MODELS}.") for s in sections if s.startswith(f"{MODELS}.")]
    return (*SETTINGS, *(row for name in dict.fromkeys(named) for row in model_rows(name)))


def _models(rows: Sequence[Setting], merged: Layer, report: _Report) -> tuple[NamedModel, ...]:
    """The models by name. What of them is missing is told."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.section.startswith(f"{MODELS}.") and row.name in merged:
            name = row.section.removeprefix(f"{MODELS}.")
            found.setdefault(name, {})[row.key] = merged[row.name][0]
    for name, values in found.items():
        if values.get("model") == "":
            source = merged[f"{MODELS}.{name}.model"][1]
            place = f" ({source.where})" if source.where else ""
            report.problems.append(
                f"[{MODELS}.{name}] names no model{place}; write model = with the endpoint's id."
            )
    if report.problems:
        return ()
    return tuple(NamedModel(name=name, **values) for name, values in found.items())


def _default_layer(
    program: str, given: Layer, places: Places, report: _Report, rows: Sequence[Setting]
) -> Layer:
    layer: Layer = {}
    for row in rows:
        default = row.default_of(program)
        read: Callable[[], object] = partial(from_file, row, default, Path)
        if default is None:
            read = partial(places.derived, row, needed=program in row.programs)
        if row.name not in given:  # what is not needed cannot be missing
            _take(layer, row, Source("default"), "and neither is HOME", read, report)
    return layer


def _file_layer(file: ConfigFile, places: Places, report: _Report) -> Layer:
    """Paths in a file start from the file's own directory: it means the same from everywhere."""
    report.problems.extend(file.problems)
    layer: Layer = {}
    resolve = partial(places.resolve, base=file.path.parent)
    for entry in file.entries:
        read = partial(from_file, entry.row, entry.raw, resolve)
        _take(layer, entry.row, Source("file", entry.where), f"in {entry.where}", read, report)
    secret = {entry.row.name for entry in file.entries if entry.row.secret}
    secrets = [name for name, (value, _) in layer.items() if name in secret and value]
    if secrets and file.open_to_others:
        report.warnings.append(
            f"Others on this machine can read {file.path}, which holds {', '.join(secrets)};"
            f" run: chmod 600 {file.path}"
        )
    return layer


def _environment_layer(
    env: Mapping[str, str], places: Places, report: _Report, rows: Sequence[Setting]
) -> Layer:
    layer: Layer = {}
    resolve = partial(places.resolve, base=places.cwd)
    for row in rows:
        for variable in row.all_variables:
            if text := env.get(variable):
                read = partial(from_text, row, text, resolve)
                where = f"in the variable {variable}"
                _take(layer, row, Source("environment", variable), where, read, report)
                break
    report.warnings.extend(_strange_variables(env, rows))
    return layer


def _strange_variables(env: Mapping[str, str], rows: Sequence[Setting]) -> list[str]:
    """Warnings, not errors: the environment is everybody's, and others may use the prefix."""
    known = (*(row.variable for row in rows), CONFIG_VARIABLE)
    sections = tuple(f"TURNSTONE_{section.upper()}_" for section in (*SECTIONS, MODELS))
    warnings = []
    for name in sorted(env):
        if not name.startswith("TURNSTONE_") or name in known or _SERVICE_LINK.search(name):
            continue
        near = nearest(name, known, cutoff=_MISSPELT)
        if near or name.startswith(sections):
            question = f"; did you mean {near}?" if near else "."
            warnings.append(f"The variable {name} is no setting and is ignored{question}")
    return warnings


def _flag_layer(
    program: str, flags: Mapping[str, object], places: Places, report: _Report
) -> Layer:
    names = {parameter(flag): row for row in SETTINGS if (flag := row.flag_of(program))}
    layer: Layer = {}
    resolve = partial(places.resolve, base=places.cwd)
    for name, given in flags.items():
        row = names.get(name) or BY_NAME.get(name)
        if given is None or name == "config":
            continue
        if row is None:
            raise ValueError(f"{program} has no setting for the flag {name!r}.")
        flag = row.flag_of(program) or row.flag or row.name
        reader: Callable[..., object] = from_text if isinstance(given, str) else from_file
        read = partial(reader, row, given, resolve)
        _take(
            layer, row, Source("command line", flag), f"on the command line ({flag})", read, report
        )
    return layer


def _take(
    layer: Layer,
    row: Setting,
    source: Source,
    where: str,
    read: Callable[[], object],
    report: _Report,
) -> None:
    try:
        layer[row.name] = (read(), source)
    except WrongValue as error:
        report.wrong(row, where, error)


def _settings(
    program: str,
    file: ConfigFile | None,
    merged: Layer,
    models: tuple[NamedModel, ...],
    warnings: tuple[str, ...],
) -> Settings:
    def of(section: str) -> dict[str, Any]:
        return {key: merged[f"{section}.{key}"][0] for key in SECTIONS[section]}

    return Settings(
        api=ApiSettings(**of("api")),
        model=ModelSettings(**of("model")),
        roles=RoleSettings(**of("roles")),
        session=SessionSettings(**of("session")),
        tools=ToolSettings(**of("tools")),
        budget=BudgetSettings(**of("budget")),
        server=ServerSettings(**of("server")),
        node=NodeSettings(**of("node")),
        bridge=BridgeSettings(**of("bridge")),
        redis=RedisSettings(**of("redis")),
        console=ConsoleSettings(**of("console")),
        auth=AuthSettings(**of("auth")),
        store=StoreSettings(**of("store")),
        policy=PolicySettings(**of("policy")),
        sandbox=SandboxSettings(**of("sandbox")),
        web=WebSettings(**of("web")),
        log=LogSettings(**of("log")),
        terminal=TerminalSettings(**of("terminal")),
        metrics=MetricsSettings(**of("metrics")),
        traces=TracesSettings(**of("traces")),
        queue=QueueSettings(**of("queue")),
        models=models,
        program=program,
        file=file.path if file else None,
        sources={name: source for name, (_, source) in merged.items()},
        warnings=warnings,
    )

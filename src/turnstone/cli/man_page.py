"""The manual page, out of the commands themselves: roff for `man`. Reads and writes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

_LEADING = re.compile(r"^([.'])", re.MULTILINE)

#: What stands behind the commands.
_END = r"""
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
It failed; stderr says why.
.TP
.B 2
Wrong usage, or a message that cannot be sent.
.TP
.B 3
A call needed an approval, and nobody could be asked.
.TP
.B 130
Stopped by Ctrl-C.
.SH ENVIRONMENT
Every setting is a variable too: \fITURNSTONE_\fR, its section and its key, as in
TURNSTONE_API_BASE_URL.
.TP
.B NO_COLOR
If it is set, nothing is coloured.
.SH FILES
.TP
.I ~/.config/turnstone/config.toml
The settings. \fBturnstone config path\fR says where it is.
.TP
.I ~/.local/share/turnstone/
The store, the token of this machine's node, and reports of crashes.
"""


def written(root: click.Command, name: str) -> str:
    """The page of the program `name`, with all its commands. A flag is described where it first
    turns up, and only named where it means the same again."""
    ctx = click.Context(root, info_name=name, **root.context_settings)
    described: set[tuple[str, str]] = set()
    lines = [
        f".TH {name.upper()} 1",
        ".SH NAME",
        f"{name} \\- {_first(root)}",
        ".SH SYNOPSIS",
        f".B {name}",
        _escaped(" ".join(root.collect_usage_pieces(ctx))),
        ".SH DESCRIPTION",
        *_text(root),
        ".SH OPTIONS",
        *_options(root, ctx, described),
        ".SH COMMANDS",
    ]
    for command, inner in _below(root, ctx):
        usage = " ".join([inner.command_path, *command.collect_usage_pieces(inner)])
        lines += [f'.SS "{_escaped(usage)}"', *_text(command)]
        lines += _options(command, inner, described)
    return "\n".join(lines) + _END


def _below(
    command: click.Command, ctx: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    """All commands below this one, each behind the one it belongs to."""
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(ctx):
        found = command.get_command(ctx, name)
        if found is None or found.hidden:
            continue
        inner = click.Context(found, info_name=name, parent=ctx, **found.context_settings)
        yield found, inner
        yield from _below(found, inner)


def _text(command: click.Command) -> Iterator[str]:
    for paragraph in (command.help or "").split("\n\n"):
        yield ".PP"
        yield _escaped(" ".join(paragraph.split()))


def _options(
    command: click.Command, ctx: click.Context, described: set[tuple[str, str]]
) -> Iterator[str]:
    known = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None or not isinstance(parameter, click.Option):
            continue
        if record in described:
            if "--help" not in parameter.opts:
                known.append(f"\\fB{_escaped(parameter.opts[0])}\\fR")
            continue
        described.add(record)
        flags, meaning = record
        yield ".TP"
        yield f".B {_escaped(flags)}"
        yield _escaped(" ".join(meaning.split()))
    if known:
        yield ".PP"
        yield f"As above: {', '.join(known)}."


def _first(command: click.Command) -> str:
    return _escaped(" ".join((command.help or "").split("\n\n")[0].split()).rstrip("."))


def _escaped(text: str) -> str:
    """As roff shows it: no word of it is an order."""
    return _LEADING.sub(r"\\&\1", text.replace("\\", "\\e").replace("-", "\\-"))

"""`turnstone`: a conversation at a terminal, or one message of a script. Makes the node for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import msgspec

from turnstone.cli.script_message import message_of
from turnstone.cli.streams import StreamFailed, has_keyboard, make_ready
from turnstone.core.config import Settings
from turnstone.core.errors import InvalidRequest, TurnstoneError
from turnstone.main.running import INTERRUPTED, Flags, cluster_of, run, settings_of, told

if TYPE_CHECKING:
    from turnstone.cli.print_mode import Output
    from turnstone.core.local_host import Left, LocalHost

_LEFT_BEHIND = "{count} conversation(s) of earlier sessions were cut off in a turn:"
_LEFT_TO_DO = (
    "`turnstone up` takes them up, at what they were doing; `turnstone erase ID --force` drops one."
)

#: Conversations that are named, and characters of a message that are shown of each.
_LEFT_TOLD, _LEFT_WIDTH = 3, 60

_NO_MESSAGE = "There is no message, and no terminal to type one: turnstone -p TEXT."

#: The settings of a budget, by the name of its part.
_BUDGET = ("tokens", "seconds", "tool_calls", "money")


def chat(
    flags: Flags,
    prompt: str | None,
    files: Sequence[str],
    resume: str | None,
    newest: bool,
    budget: str | None,
    output: Output | None,
    as_json: bool,
) -> int:
    """The exit code. Raises click.UsageError."""
    output = _output(output, as_json=as_json)
    if resume is not None and newest:
        raise click.UsageError("--resume and --continue both name a session: give one of them.")
    flags = {**flags, **_budget_of(budget)} if budget is not None else flags
    make_ready()
    typed = prompt is None and has_keyboard()
    for given, flag in ((files, "--file"), (output, "--output-format")):
        if typed and given:
            raise click.UsageError(f"{flag} needs a message: turnstone -p TEXT {flag} …")
    try:
        settings = settings_of("turnstone", flags)  # told before stdin is waited for
        text = None if typed else message_of(prompt, files)
    except StreamFailed as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except TurnstoneError as error:
        code = told(error)
        return 2 if isinstance(error, InvalidRequest) else code
    except KeyboardInterrupt:
        return INTERRUPTED
    if text is not None and not text.strip():
        click.echo(f"error: {_NO_MESSAGE}", err=True)
        return 2
    begin = _Begin(resume, newest=newest, limited=budget is not None)
    return run(_run(settings, text, output or "text", begin))


@dataclass(frozen=True, slots=True)
class _Begin:
    """Where to begin: in a session by name, in the newest of this folder, or anew."""

    resume: str | None
    newest: bool
    limited: bool  # a budget was given, and holds for a session that is gone on with too

    async def session(self, host: LocalHost) -> str | None:
        """Raises UnknownSession."""
        name = await host.newest_here() if self.newest else self.resume
        if name is not None and self.limited:
            await host.set_budget((await host.resume(name)).id, host.engine.budget)
        return name


async def _run(settings: Settings, text: str | None, output: Output, begin: _Begin) -> int:
    """`text`: the message of a script; None: a person is there to type."""
    from turnstone.core.model_setup import window_unknown
    from turnstone.core.permissions import notice_of_node
    from turnstone.wiring import build_local_host, find_model

    if text is not None:
        settings = _untitled(settings)
    endpoint = await find_model(settings)
    host = await build_local_host(settings, endpoint, "process")
    try:
        if notice := notice_of_node(host.engine):
            click.echo(f"warning: {notice}", err=True)
        banner = _told(await host.left_behind())
        if not host.engine.models.default.context_window and endpoint.url:
            banner = f"{banner}\nwarning: {window_unknown('--context-window')}".lstrip()
        resume = await begin.session(host)
        if text is not None:
            from turnstone.cli.script import run_script

            return await run_script(host, text, output=output, resume=resume, banner=banner)
        from turnstone.cli.chat import run_chat

        return await run_chat(
            host,
            workspace=str(settings.tools.workspace),
            banner=banner,
            resume=resume,
            theme=settings.terminal.theme,
            cluster=cluster_of(settings),
        )
    finally:
        await host.aclose()


def _output(named: Output | None, *, as_json: bool) -> Output | None:
    if as_json and named not in (None, "stream-json"):
        raise click.UsageError(f"--json is stream-json, and --output-format says {named}.")
    return "stream-json" if as_json else named


def _budget_of(text: str) -> dict[str, str]:
    """`tokens=1000,money=2.5` as settings. What a value may be, is the loader's matter."""
    found: dict[str, str] = {}
    for entry in text.replace(",", " ").split():
        name, _, value = entry.partition("=")
        if name not in _BUDGET or not value:
            raise click.BadParameter(
                f"{entry!r} is no limit; write them as tokens=200000,money=2.5, of "
                f"{', '.join(_BUDGET)}.",
                param_hint="'--budget'",
            )
        found[f"budget.{name}"] = value
    if not found:
        raise click.BadParameter("no limit is named.", param_hint="'--budget'")
    return found


def _told(left: Sequence[Left]) -> str:
    """What an earlier session left: whose turn it is, and what to do; empty for nothing."""
    lines = [_LEFT_BEHIND.format(count=len(left))] if left else []
    for one in left[:_LEFT_TOLD]:
        said = " ".join(one.message.split())
        said = said if len(said) <= _LEFT_WIDTH else f"{said[:_LEFT_WIDTH]}…"
        lines.append(f"  {one.ws_id} ({one.name}): {said}")
    if len(left) > _LEFT_TOLD:
        lines.append(f"  … and {len(left) - _LEFT_TOLD} more")
    return "\n".join([*lines, _LEFT_TO_DO] if left else [])


def _untitled(settings: Settings) -> Settings:
    """For one message: the program is gone before a title could come."""
    change = msgspec.structs.replace
    return change(settings, session=change(settings.session, titles=False))

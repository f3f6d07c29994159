"""One message of a script, from a `Host` to an exit code: `print_mode`, and what can go wrong.

No traceback reaches whoever called, and no error is told twice.
"""

from __future__ import annotations

import sys

from turnstone.cli.complaints import beside, complain, say_error
from turnstone.cli.plain import sendable
from turnstone.cli.print_mode import (
    FAILED,
    STOPPED,
    USAGE,
    Output,
    Problem,
    Result,
    print_result,
    run_print,
)
from turnstone.cli.streams import StreamFailed, check_stdout, drop, has_keyboard, make_ready
from turnstone.core.errors import EmptyMessage, InvalidRequest, TurnstoneError
from turnstone.core.host import CreateWorkstream, Host

_ANY = CreateWorkstream()


async def run_script(
    host: Host,
    text: str,
    *,
    output: Output = "text",
    create: CreateWorkstream = _ANY,
    resume: str | None = None,
    banner: str = "",
) -> int:
    """Send this message, print its answer, and return the exit code (see `run_print`).

    A TurnstoneError is told on stderr, and ends with 1, or 2 for a message that cannot be sent;
    with `json` it is the result too. Questions are asked where stdin and stderr are a terminal.
    """
    make_ready()
    try:
        check_stdout()
        asked = None
        if has_keyboard() and sys.stderr.isatty():
            from turnstone.cli.lines import Lines  # with what a terminal needs

            asked = Lines(on=sys.stderr)
        return await run_print(
            host,
            beside(),
            sendable(text),
            create=create,
            output=output,
            lines=asked,
            resume=resume,
            banner=banner,
        )
    except TurnstoneError as error:
        complain(error)
        code = USAGE if isinstance(error, EmptyMessage | InvalidRequest) else FAILED
        if output == "json":
            problem = Problem(code=error.code, message=error.message, hint=error.hint)
            print_result(Result(outcome="failed", exit_code=code, error=problem))
        return code
    except StreamFailed as error:
        say_error(str(error))
        return FAILED
    except BrokenPipeError:
        drop(sys.stdout)  # whoever read it has enough, as `head` does
        return STOPPED

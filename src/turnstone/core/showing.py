"""Shows what a call prints while it runs. Gathers what comes in small pieces, for a moment.

What is shown, and how it is masked and bounded, is said by `core.results`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from turnstone.core.masking import Masking
from turnstone.core.results import ShownOutput
from turnstone.core.tool import EmitOutput

#: Seconds for which output may wait for more of it.
MOMENT = 0.05


@contextmanager
def showing(masking: Masking, show: Callable[[str], None]) -> Iterator[EmitOutput]:
    """What a call is to tell its output to; `show` is given what readers see of it, never an
    empty text. What was held back is shown at the end, unless the call is cancelled."""
    output = ShownOutput(masking)
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def tell(text: str) -> None:
        if text:
            show(text)

    def paused() -> None:
        nonlocal timer
        timer = None
        tell(output.pause())

    def emit(text: str) -> None:
        nonlocal timer
        if ended:
            return
        tell(output.piece(text))
        if timer is None:
            timer = loop.call_later(MOMENT, paused)

    ended = False
    try:
        yield emit
    except Exception:
        tell(output.rest())
        raise
    else:
        tell(output.rest())
    finally:
        ended = True
        if timer is not None:
            timer.cancel()

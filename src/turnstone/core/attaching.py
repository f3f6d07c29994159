"""What a message brings with it, on its way into the journal: images are kept on the disk first.

Decides nothing about what may come (`turnstone.core.attachments`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from turnstone.core import events as ev
from turnstone.core.attachments import Checked
from turnstone.core.engine import Engine
from turnstone.core.errors import CorrelationIdUsed, InvalidRequest, StoreError
from turnstone.core.outputs import keep_image
from turnstone.core.summary import Summary


def check_model(files: Sequence[Checked], workstream: Summary, engine: Engine) -> None:
    """Raises InvalidRequest for images that the workstream's model would not be shown."""
    first = next((n for n, one in enumerate(files) if one.ending), None)
    if first is None:
        return
    if not engine.models.takes_images(workstream):
        raise InvalidRequest(
            f"attachments[{first}]: the model {engine.models.shown(workstream)} takes no images.",
            hint="Choose one that does with /model, or send the message without it; where a model "
            "takes them and this node does not know, set `vision` of it to true.",
        )
    if engine.outputs is None:
        raise InvalidRequest(f"attachments[{first}]: this node has no place to keep images.")


async def kept(files: Sequence[Checked], ws_id: str, engine: Engine) -> list[ev.Attached]:
    """As the journal tells of them. Raises StoreError where an image cannot be kept."""
    found: list[ev.Attached] = []
    for one in files:
        attached = one.attached
        if one.ending and engine.outputs is not None:
            folder = engine.outputs / ws_id
            try:
                name = await asyncio.to_thread(keep_image, folder, one.data, one.ending)
            except OSError as error:
                raise StoreError(
                    f"An image of the message cannot be kept: {error.strerror or error}.",
                    hint="Nothing was sent. Look at the disk of the node.",
                ) from error
            attached = msgspec.structs.replace(attached, image=name)
        found.append(attached)
    return found


def check_same(first: ev.Event, again: ev.MessageAccepted) -> None:
    """What came under this correlation id before must be this very message."""
    if isinstance(first, ev.MessageAccepted) and _said(first) != _said(ev.sound(again)):
        raise CorrelationIdUsed(
            f"The correlation id {first.correlation_id!r} was used for another message, in "
            f"workstream {first.ws_id}; this one was not taken.",
            hint="Send it under a correlation id of its own.",
        )


def _said(message: ev.MessageAccepted) -> tuple[str, list[ev.Attached]]:
    """In whichever workstream: the folder of an image is that of its own."""
    files = [
        msgspec.structs.replace(one, image=one.image.rpartition("/")[2])
        for one in message.attachments
    ]
    return message.message.strip(), files

"""Files that come with a message: what may come, and how the model reads of it. Pure.

An image is kept beside the outputs of tools and named in the journal (`core.images`); a text
stands in the journal whole. What a person wrote stays as it was written: the texts are put
behind it only where a model is sent it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from turnstone.core.errors import InvalidRequest
from turnstone.core.event_base import Attached
from turnstone.core.host import Attachment
from turnstone.core.image_kinds import TYPES, ending_of, pixels_of

#: How many of one message, and characters of a name.
MAX_COUNT, MAX_NAME = 8, 200

#: Of one image, as providers take it: bytes, pixels of a side. And bytes of all of a message.
MAX_IMAGE, MAX_SIDE, MAX_IMAGES_TOTAL = 5_000_000, 8_000, 20_000_000

#: Characters of one text, and of all of a message.
MAX_TEXT, MAX_TEXTS_TOTAL = 200_000, 400_000

_FENCES = re.compile("`+")
_ENDING = re.compile(r"\.([A-Za-z0-9]{1,12})$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checked:
    """One that may come. `ending`: of an image, how its file is called; empty for a text."""

    attached: Attached
    data: bytes = b""
    ending: str = ""


def checked(given: Sequence[Attachment]) -> list[Checked]:
    """Raises InvalidRequest, with the field first, for what cannot be sent."""
    if len(given) > MAX_COUNT:
        raise InvalidRequest(
            f"attachments: there are {len(given)}; at most {MAX_COUNT} go with a message.",
            hint="Send the others with the next one.",
        )
    found = [_checked(f"attachments[{n}]", one) for n, one in enumerate(given)]
    bytes_of_images = sum(len(one.data) for one in found)
    if bytes_of_images > MAX_IMAGES_TOTAL:
        raise InvalidRequest(
            f"attachments: the images have {bytes_of_images:,} bytes; "
            f"at most {MAX_IMAGES_TOTAL:,} go with a message."
        )
    characters = sum(len(one.attached.text) for one in found)
    if characters > MAX_TEXTS_TOTAL:
        raise InvalidRequest(
            f"attachments: the texts have {characters:,} characters; "
            f"at most {MAX_TEXTS_TOTAL:,} go with a message.",
            hint="Name the files in the message instead; the model can read them.",
        )
    return found


def worded(message: str, given: Sequence[Attachment]) -> str:
    """The message; where nothing was written, what its files are called."""
    if message.strip() or not given:
        return message
    return ", ".join(one.name.strip() or "a file" for one in given)


def told(message: str, attached: Sequence[Attached]) -> str:
    """The message as a model reads it: the texts behind it, and the images by their names."""
    return "\n\n".join([message, *map(_told, attached)])


def _checked(field: str, one: Attachment) -> Checked:
    name = one.name.strip()
    if len(name) > MAX_NAME or not name.isprintable():
        raise InvalidRequest(
            f"{field}.name: it must be one printable line of up to {MAX_NAME} characters."
        )
    if bool(one.data) == bool(one.text):
        raise InvalidRequest(
            f"{field}: it must have either `data`, which is an image in base64, or `text`."
        )
    kind = one.media_type.strip()
    if len(kind) > MAX_NAME or not kind.isprintable():
        raise InvalidRequest(f"{field}.media_type: it looks like text/plain, or is left out.")
    if one.data:
        return _image(f"{field}.data", name, one.data)
    size = len(one.text)
    if size > MAX_TEXT:
        raise InvalidRequest(
            f"{field}.text: it has {size:,} characters; at most {MAX_TEXT:,} are taken.",
            hint="Name the file in the message instead; the model can read it.",
        )
    return Checked(Attached(name=name, media_type=kind or "text/plain", size=size, text=one.text))


def _image(field: str, name: str, data: bytes) -> Checked:
    """What its first bytes say counts, and not what it was declared to be."""
    ending = ending_of(data)
    if not ending:
        raise InvalidRequest(
            f"{field}: it is no PNG, JPEG, GIF or WebP image.",
            hint="Send a text in `text`; other files cannot be sent.",
        )
    if len(data) > MAX_IMAGE:
        raise InvalidRequest(
            f"{field}: the image has {len(data):,} bytes; at most {MAX_IMAGE:,} are taken.",
            hint="Send it smaller.",
        )
    sides = pixels_of(data)
    if sides is None or min(sides) < 1:
        raise InvalidRequest(f"{field}: the image is broken: it does not say how large it is.")
    if max(sides) > MAX_SIDE:
        raise InvalidRequest(
            f"{field}: the image has {sides[0]:,} x {sides[1]:,} pixels; "
            f"at most {MAX_SIDE:,} a side are taken.",
            hint="Send it smaller.",
        )
    return Checked(Attached(name=name, media_type=TYPES[ending], size=len(data)), data, ending)


def _told(one: Attached) -> str:
    name = one.name.replace("`", "'") or "without a name"
    if not one.text:
        return f"Image `{name}` is attached."
    longest = max((len(run) for run in _FENCES.findall(one.text)), default=0)
    fence = "`" * max(3, longest + 1)
    ending = _ENDING.search(name)
    text = one.text.removesuffix("\n")
    return f"File `{name}`:\n{fence}{ending[1] if ending else ''}\n{text}\n{fence}"

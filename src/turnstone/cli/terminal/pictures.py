"""Images that a message names with `@`: they go along with it, as files.

Only those that lie in one folder: a message may hold text of others, and that must not send what
lies elsewhere. What an image is, its first bytes say. Waits for nothing but the disk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from turnstone.core.attachments import MAX_IMAGE, MAX_NAME
from turnstone.core.errors import InvalidRequest
from turnstone.core.host import Attachment
from turnstone.core.image_kinds import ending_of

#: Bytes that say whether a file is an image.
_HEAD = 16


def pictures(folder: Path, names: Sequence[str]) -> dict[str, Attachment]:
    """Those of these files that are images, by their names. Others, and those that cannot be read,
    are left out. Raises InvalidRequest for an image that is too large to be sent."""
    found = ((name, _picture(folder, name)) for name in names)
    return {name: picture for name, picture in found if picture is not None}


def _picture(folder: Path, name: str) -> Attachment | None:
    try:
        path = (folder / name).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()):
            return None
        # Without O_NONBLOCK a pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            head = file.read(_HEAD) if stat.S_ISREG(about.st_mode) else b""
            if not ending_of(head):
                return None
            data = head + file.read(MAX_IMAGE + 1 - len(head))
    except (OSError, ValueError, RuntimeError):  # gone, not ours to read, a loop of links
        return None
    called = "".join(c if c.isprintable() else "�" for c in name)[-MAX_NAME:]
    if len(data) > MAX_IMAGE:
        raise InvalidRequest(
            f"{called}: the image has {max(about.st_size, len(data)):,} bytes; at most "
            f"{MAX_IMAGE:,} are taken.",
            hint="Send it smaller, or name it without the @.",
        )
    return Attachment(name=called, data=data)

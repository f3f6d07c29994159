"""What a file is that holds no lines: its kind, and the size of an image.

Looks at descriptors that are open already.
"""

from __future__ import annotations

import os

from turnstone.core.image_kinds import pixels_of

#: Bytes at the start of an image in which its size is looked for.
_HEAD = 1024 * 1024

_KINDS = (
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"BM", "BMP image"),
    (b"%PDF", "PDF document"),
    (b"PK\x03\x04", "ZIP archive, or a document made of one"),
    (b"\x1f\x8b", "gzip archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ", "xz archive"),
    (b"\x28\xb5\x2f\xfd", "Zstandard archive"),
    (b"7z\xbc\xaf", "7-Zip archive"),
    (b"\x7fELF", "ELF program"),
    (b"SQLite format 3", "SQLite database"),
    (b"\0asm", "WebAssembly program"),
    (b"OggS", "Ogg sound or video"),
    (b"ID3", "MP3 sound"),
)


def kind_of(start: bytes) -> str:
    """What the first bytes say the file is; empty for text."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP image"
    for magic, name in _KINDS:
        letters = magic.isascii() and magic.isalnum()  # a text may begin so, too
        if start.startswith(magic) and (b"\0" in start or not letters):
            return name
    return "of unknown kind" if b"\0" in start else ""


def pixels(descriptor: int) -> tuple[int, int] | None:
    """Width and height of an image, as far as they can be told."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return pixels_of(file.read(_HEAD))


def read_at_most(descriptor: int, most: int) -> bytes:
    """All of a file from its beginning, or no more than this many bytes and one."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read(most + 1)

"""What a file is that holds no lines: its kind, and the size of an image.

Looks at descriptors that are open already.
"""

from __future__ import annotations

import os
import struct

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

_JPEG_SIZE = frozenset(
    (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
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
        return _pixels(file.read(_HEAD))


def _pixels(head: bytes) -> tuple[int, int] | None:
    try:
        match head[:2]:
            case b"\x89P":
                return _pair(">II", head, 16) if head[12:16] == b"IHDR" else None
            case b"GI":
                return _pair("<HH", head, 6)
            case b"BM":
                width, height = _pair("<ii", head, 18)
                return width, abs(height)
            case b"RI":
                return _webp(head)
            case _:
                return _jpeg(head)
    except (struct.error, IndexError):
        return None


def _pair(form: str, data: bytes, at: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, data, at)
    return first, second


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    while head[at] == 0xFF:
        marker = head[at + 1]
        if marker in _JPEG_SIZE:
            height, width = _pair(">HH", head, at + 5)
            return width, height
        alone = marker == 0xFF or 0xD0 <= marker <= 0xD8
        at += (
            (1 if marker == 0xFF else 2)
            if alone
            else 2 + int.from_bytes(head[at + 2 : at + 4], "big")
        )
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8 ":
            width, height = _pair("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            sides = head[24:27], head[27:30]
            return int.from_bytes(sides[0], "little") + 1, int.from_bytes(sides[1], "little") + 1
        case _:
            return None

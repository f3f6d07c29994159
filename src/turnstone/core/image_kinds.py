"""What the bytes of an image say of it: which kind it is, and how large. Pure."""

from __future__ import annotations

import struct

#: The images that models take: how their files are called, and their media types.
TYPES = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}

_JPEG_SIZE = frozenset(
    (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
)


def ending_of(data: bytes) -> str:
    """`png`, `jpg`, `gif`, `webp`; empty for all else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def pixels_of(head: bytes) -> tuple[int, int] | None:
    """Width and height of an image that begins so, as far as they can be told."""
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

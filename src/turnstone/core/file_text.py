"""The content of a text file as text, and back to the same bytes. Pure.

UTF-8, with or without byte-order mark, and UTF-16 with one. Anything else is refused, since
it could not be written back as it was. Line endings are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Byte-order marks, and the encoding that follows. That of UTF-32 begins like that of UTF-16.
_MARKS = (
    (b"\xff\xfe\0\0", ""),
    (b"\0\0\xfe\xff", ""),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


class NotText(ValueError):
    """The bytes are no text that could be written back; the message says why, after a name."""


@dataclass(frozen=True, slots=True)
class FileText:
    """`text` is without the byte-order mark."""

    text: str
    encoding: str = "utf-8"
    mark: bytes = b""

    def encode(self, text: str) -> bytes:
        """Another text as the same file would hold it. Raises UnicodeEncodeError."""
        return self.mark + text.encode(self.encoding)


def marked_encoding(start: bytes) -> tuple[bytes, str]:
    """The byte-order mark at the start, and its encoding; empty where there is none known."""
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return (mark, encoding) if encoding else (b"", "")
    return b"", ""


def decode(data: bytes) -> FileText:
    """Raises NotText."""
    mark, encoding = marked_encoding(data)
    try:
        file = FileText(data[len(mark) :].decode(encoding or "utf-8"), encoding or "utf-8", mark)
    except UnicodeDecodeError as error:
        name = "UTF-16" if encoding.startswith("utf-16") else "UTF-8"
        at = f"byte {error.start + len(mark):,}"
        raise NotText(f"is not {name} text ({at}); it could not be written back as it is") from None
    if "\0" in file.text:
        raise NotText("is a binary file")
    return file

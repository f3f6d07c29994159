"""Text of models, tools, files and other people, made safe for a terminal; and of the person
here, made fit to be sent. Pure.

Nothing that arrives from outside may move the cursor, change colours, write to the clipboard,
ring, answer as the keyboard, or show a line in another order than it is read in. Whatever
could is shown instead of obeyed: one visible placeholder for each character taken out, so
that a person sees that something was there. The rest of an escape sequence is then only text.

Works on one character at a time, so that text split anywhere (as it streams) comes out the
same.
"""

from __future__ import annotations

import re

#: Characters that a terminal obeys, or that a person cannot see although they change what is
#: read: C0 but tab and newline, DEL, C1, bidirectional controls (Unicode UAX #9), line and
#: paragraph separators, other invisible format characters, tags, and halves of a surrogate
#: pair, which no output can encode. Joiners (U+200C, U+200D) stay: scripts and emoji need them.
_OBEYED = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\u2028\u2029"
    "\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff"
)
_HOSTILE = re.compile(f"[{_OBEYED}]")
_LINE_ENDS = re.compile(r"\r\n")

#: Halves of a surrogate pair: what Python makes of bytes that are no text, and what has no UTF-8.
_HALVES = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"

#: Where Unicode keeps a picture of each C0 character, and of DEL.
_PICTURES = 0x2400
_PICTURE_OF_DEL = "\u2421"


def plain(text: str) -> str:
    """The text, with no control character left in it but newline and tab.

    CR LF becomes LF. C0 and DEL become their Unicode pictures (ESC is `␛`), everything else
    that is taken out its code point (`<U+202E>`).
    """
    return _HOSTILE.sub(lambda found: _placeholder(found[0]), _LINE_ENDS.sub("\n", text))


def one_line(text: str) -> str:
    """The same on a single line: for headers, names and reasons."""
    return " ".join(plain(text).split())


def plain_json(line: str) -> str:
    r"""JSON of the same value, with those characters as `\u` escapes: they stand in strings only."""
    return _HOSTILE.sub(lambda found: _escape(found[0]), line)


def sendable(text: str) -> str:
    """What was typed or given, with U+FFFD for whatever no encoding of Unicode can hold."""
    return _HALVES.sub(_REPLACEMENT, text)


def _placeholder(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(_PICTURES + code)
    return _PICTURE_OF_DEL if code == 0x7F else f"<U+{code:04X}>"


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))

"""Turns a page into text. A program of its own: what reads foreign HTML and PDF may hang or grow.

Started by `reading`: the page on stdin, an order in JSON as the only argument, the text on
stdout. Ends with 0, or with 2 and a sentence on stdout. Opens no file and no connection.
"""

from __future__ import annotations

import codecs
import io
import json
import re
import resource
import sys
from html import unescape
from typing import Any

_HEAD = 2_048
_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE
)
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_UNDECLARED = ("utf-8", "cp1252")


class Unreadable(Exception):
    """There is no text; the message is a sentence without a subject."""


def limit(memory: int, seconds: int) -> None:
    """Where a system has no such limit, the one who started this still has a clock."""
    limits = [
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ]
    for what, most in limits:
        try:
            resource.setrlimit(what, (most, most))
        except (ValueError, OSError):
            continue


def text_of(body: bytes, order: dict[str, Any]) -> str:
    kind = order["kind"]
    if kind == "unknown":
        kind = sniffed(body)
    if kind == "pdf":
        if not order["whole"]:
            raise Unreadable("is a PDF larger than what is read of one page")
        return pdf_text(body, order["max_text"])
    text = decoded(body, order["charset"])
    return markdown(text, order["url"]) if kind == "html" else text


def sniffed(body: bytes) -> str:
    head = body[:_HEAD]
    if head.startswith(b"%PDF-"):
        return "pdf"
    if b"\0" in head and not head.startswith(tuple(_MARKS)):
        raise Unreadable("holds no text, and its server does not say what it is")
    lead = head.lstrip().lower()
    return "html" if lead.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) else "text"


def decoded(body: bytes, charset: str) -> str:
    """A byte-order mark goes before what the server says, that before what the page says."""
    mark = next((name for sign, name in _MARKS.items() if body.startswith(sign)), "")
    in_page = _META_CHARSET.search(body[:_HEAD])
    declared = in_page[1].decode("ascii") if in_page else ""
    for name in filter(None, (mark, charset, declared)):
        try:
            return body.decode(name, "replace")
        except (LookupError, ValueError):  # no charset, or no charset of text
            continue
    for name in _UNDECLARED:
        try:
            return body.decode(name)
        except UnicodeDecodeError:
            continue
    return body.decode("utf-8", "replace")


def markdown(html: str, url: str) -> str:
    import html_to_markdown

    options = html_to_markdown.ConversionOptions(
        extract_metadata=False,
        skip_images=True,
        escape_misc=False,
        base_url=url,
        compact_tables=True,
    )
    body: str = html_to_markdown.convert(html, options).content or ""
    title = re.search(r"<title[^>]{0,200}>([^<]{1,500})", html[:100_000], re.IGNORECASE)
    name = " ".join(unescape(title[1]).split()) if title else ""
    return f"Title: {name}\n\n{body}" if name and body.strip() else body


def pdf_text(body: bytes, most: int) -> str:
    import pypdf

    try:
        reader = pypdf.PdfReader(io.BytesIO(body))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("is a PDF that only a password opens")
        parts: list[str] = []
        room = most
        for number, page in enumerate(reader.pages, 1):
            text = page.extract_text()
            parts.append(f"[page {number}]\n{text.strip()}")
            room -= len(text)
            if room < 0:
                parts.append(f"[the text ends here, at page {number} of {len(reader.pages)}]")
                break
    except Unreadable:
        raise
    except Exception as error:  # broken in one of the many ways in which a PDF can be
        raise Unreadable(f"is a PDF that cannot be read ({type(error).__name__})") from error
    if room == most:
        raise Unreadable("is a PDF without text; it may be a scan")
    return "\n\n".join(parts)


def main() -> int:
    order = json.loads(sys.argv[1])
    limit(order["memory"], order["seconds"])
    try:
        text, code = text_of(sys.stdin.buffer.read(), order)[: order["max_text"]], 0
    except Unreadable as problem:
        text, code = str(problem), 2
    except MemoryError:
        text, code = "takes more memory to read than it may have", 2
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())

"""A program of its own: the text of a page or a PDF on stdin. What reads those may hang or grow.

Started by `foreign`, in the command sandbox where there is one: an order in JSON as the only
argument; one JSON object on stdout, with the text of a page as `text`, that of a PDF as `texts`
(some of its `pages`), or with why there is none as `error`. Opens no file and no connection.
"""

from __future__ import annotations

import codecs
import io
import json
import re
import resource
import sys
from html import unescape
from typing import Any, BinaryIO

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

#: Characters that what is told of a page of a PDF beside its text counts for: so many pages
#: without text do not add up to an answer without end.
_HEADING = 70

#: Pages that are read of a PDF as a whole.
MAX_PAGES = 2_000


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
    """A page as text. Raises Unreadable."""
    kind = order["kind"]
    if kind == "unknown":
        kind = sniffed(body)
    if kind == "pdf":
        if not order["whole"]:
            raise Unreadable("is a PDF larger than what is read of one page")
        return whole_pdf(body, order["max_text"])
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


def whole_pdf(body: bytes, most: int) -> str:
    try:
        count, texts = pdf_pages(io.BytesIO(body), 1, MAX_PAGES, most)
    except Unreadable as problem:
        raise Unreadable(f"is a PDF that {problem}") from problem
    if not any(texts):
        where = f" in its first {len(texts):,} pages" if len(texts) < count else ""
        raise Unreadable(f"is a PDF without text{where}; it may be a scan")
    parts = [f"[page {number}]\n{text}" for number, text in enumerate(texts, 1)]
    if len(texts) < count:
        parts.append(f"[the text ends here, at page {len(texts)} of {count}]")
    return "\n\n".join(parts)


def pdf_pages(file: BinaryIO, first: int, count: int | None, room: int) -> tuple[int, list[str]]:
    """How many pages there are, and the text of `count` of them (None: all) from `first` on, up
    to `room` characters in all, headings among them: a page for which no room is left is not
    begun, so that only the first may be cut. Raises Unreadable, what is said of "a PDF that"."""
    import pypdf

    try:
        reader = pypdf.PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("only a password opens")
        pages = len(reader.pages)
        texts: list[str] = []
        for number in range(first, min(pages, first + count - 1 if count else pages) + 1):
            text = reader.pages[number - 1].extract_text().strip()
            if texts and len(text) > room:
                break
            texts.append(text[:room])
            room -= len(text) + _HEADING
            if room <= 0:
                break
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # broken in one of the many ways in which a PDF can be
        raise Unreadable(f"cannot be read ({type(error).__name__})") from error
    return pages, texts


def found_in(order: dict[str, Any]) -> dict[str, Any]:
    try:
        if order["task"] == "pdf":
            pages, texts = pdf_pages(
                sys.stdin.buffer, order["first"], order["count"], order["room"]
            )
            return {"pages": pages, "texts": [*map(_without_halves, texts)]}
        text = text_of(sys.stdin.buffer.read(), order)
        return {"text": _without_halves(text[: order["max_text"]])}
    except Unreadable as problem:
        return {"error": str(problem)}
    except MemoryError:
        return {"error": "takes more memory to read than it may have"}


def _without_halves(text: str) -> str:
    """Without the lone surrogates that some PDFs put into their text."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def main() -> int:
    order = json.loads(sys.argv[1])
    sys.path += order["packages"]
    limit(order["memory"], order["seconds"])
    answer = json.dumps(found_in(order), ensure_ascii=False)
    sys.stdout.buffer.write(answer.encode())
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())

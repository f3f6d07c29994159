"""Pages as text: what a person would read of them, and pages made to hurt their reader."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from pathlib import Path

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstone.tools.foreign import ForeignReader
from turnstone.tools.foreign_program import Unreadable, text_of
from turnstone.tools.web.content import Kind
from turnstone.tools.web.fetching import FetchFailed, Page
from turnstone.tools.web.reading import read_page

URL = "https://e.example/dir/page"


def page(body: str | bytes, kind: Kind = "html", charset: str = "", *, whole: bool = True) -> Page:
    content = body.encode() if isinstance(body, str) else body
    return Page(URL, kind, charset, content, whole)


async def test_html_becomes_markdown_without_what_nobody_sees() -> None:
    text = await read_page(
        page(
            "<html><head><title>Tea &amp; milk</title><style>p{}</style><script>evil()</script>"
            "</head><body><!-- note --><h1>Prices</h1><p>Tea is <b>2</b> a cup, "
            '<a href="../more?x=1">more</a>.<img src="https://track.example/?id=1" alt="x"></p>'
            "<table><tr><th>Tea</th><th>Milk</th></tr><tr><td>2</td><td>1</td></tr></table>"
        ),
        20,
    )

    assert text.startswith("Title: Tea & milk\n\n# Prices")
    assert "Tea is **2** a cup, [more](https://e.example/more?x=1)." in text
    assert "| 2 | 1 |" in text
    for unseen in ("evil", "p{}", "note", "track.example"):
        assert unseen not in text


@pytest.mark.parametrize(
    ("body", "charset", "expected"),
    [
        ("Grüße".encode(), "utf-8", "Grüße"),
        ("Grüße".encode("latin-1"), "iso-8859-1", "Grüße"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        ("Grüße".encode(), "", "Grüße"),
        ("Grüße“".encode("cp1252"), "", "Grüße“"),
        ("Grüße".encode("utf-8-sig"), "latin-1", "Grüße"),
        ("Grüße".encode("utf-16"), "", "Grüße"),
        ("Grüße".encode(), "no-such-charset", "Grüße"),
        ("Grüße".encode(), "rot13", "Grüße"),
        ("Grüße".encode(), "zlib", "Grüße"),
        (b"a\xffb", "utf-8", "a\ufffdb"),
    ],
)
async def test_text_is_decoded_as_it_was_meant(body: bytes, charset: str, expected: str) -> None:
    assert await read_page(page(body, "text", charset), 20) == expected


async def test_a_page_may_name_its_charset_itself() -> None:
    body = '<meta charset="iso-8859-2"><p>Łódź'.encode("iso-8859-2")

    assert await read_page(page(body), 20) == "Łódź\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"<!DOCTYPE html><p>Hi", "Hi"), (b" <html><p>Hi", "Hi"), (b"a < b", "a < b")],
)
async def test_what_the_server_does_not_name_is_looked_at(body: bytes, expected: str) -> None:
    assert (await read_page(page(body, "unknown"), 20)).strip() == expected


async def test_what_is_no_text_at_all_is_told() -> None:
    with pytest.raises(FetchFailed, match=r"e\.example/dir/page holds no text"):
        await read_page(page(b"\x7fELF\0\0\0", "unknown"), 20)


# PDF.


def pdf(*texts: str, password: str = "") -> bytes:
    """A PDF with a line of text on each page, written by hand: pypdf makes no text."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    kids = []
    for text in texts:
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(len(objects) + 1)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % (len(objects))
        )
    listed = b" ".join(b"%d 0 R" % kid for kid in kids)
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (listed, len(kids))
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        start,
    )
    if not password:
        return bytes(out)
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(out))
    writer.encrypt(password, algorithm="RC4-128")
    locked = io.BytesIO()
    writer.write(locked)
    return locked.getvalue()


async def test_a_pdf_is_read_page_by_page() -> None:
    text = await read_page(page(pdf("First words", "Second words"), "pdf"), 20)

    assert text == "[page 1]\nFirst words\n\n[page 2]\nSecond words"
    assert await read_page(page(pdf("First words"), "unknown"), 20) == "[page 1]\nFirst words"


@pytest.mark.parametrize(
    ("body", "whole", "said"),
    [
        (pdf("Secret", password="x"), True, "is a PDF that only a password opens"),
        (pdf(""), True, "is a PDF without text; it may be a scan"),
        (pdf(*[""] * 2_001), True, "is a PDF without text in its first 2,000 pages; it may be"),
        (pdf("Text")[:200], True, "is a PDF that cannot be read"),
        (b"%PDF-1.4 nonsense", True, "is a PDF that cannot be read"),
        (b"", True, "is a PDF that cannot be read"),
        (pdf("Text"), False, "is a PDF larger than what is read"),
    ],
    ids=["locked", "scan", "long scan", "cut", "nonsense", "nothing", "large"],
)
async def test_a_pdf_that_cannot_be_read_is_told(body: bytes, whole: bool, said: str) -> None:
    with pytest.raises(FetchFailed, match=said):
        await read_page(page(body, "pdf", whole=whole), 20)


# Pages made to hurt.


@pytest.mark.parametrize(
    "body",
    [
        "<div>" * 500_000,
        "<a" + " b=c" * 500_000,
        "<table>" * 20_000 + "<td>" * 20_000,
        "<" * 2_000_000,
        "<title" * 200_000,
        "&amp;" * 500_000,
        "<ul><li>" * 50_000 + "x",
        "<!--" * 500_000,
        "<b><i>" * 100_000 + "</b>" * 100_000,
        "\0" * 1_000_000,
        "<p>" + "\u202e\u200b" * 300_000,
    ],
    ids=lambda body: ascii(body[:12]),
)
async def test_html_made_to_hurt_ends_in_text_or_in_words(body: str) -> None:
    try:
        await read_page(page(body), 20)
    except FetchFailed as error:
        assert URL in str(error)


async def test_a_page_that_takes_too_long_is_given_up_and_its_reader_is_gone() -> None:
    with pytest.raises(FetchFailed, match=r"takes more than 0\.5 s|limits of time"):
        await read_page(SLOW, 0.5)
    assert readers() == []


async def test_a_page_that_takes_too_much_memory_is_given_up() -> None:
    with pytest.raises(FetchFailed, match="memory"):
        await read_page(page("<p>word</p>" * 900_000), 20, ForeignReader(memory=60_000_000))


#: A charset whose decoder takes a time that grows with the square of the length.
SLOW = page(b"a" * 1_000_000 + b"-" + b"b" * 1_000_000, "text", "punycode")


def readers() -> list[int]:
    """The processes that this one has started and that read a page."""
    found = []
    for listed in Path("/proc/self/task").glob("*/children"):
        for pid in listed.read_text().split():
            with contextlib.suppress(OSError):
                if b"foreign_program" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
    return found


def worked(pid: int) -> int:
    """Time that a process has taken of the machine, in clock ticks."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_reader_has_no_secrets_and_is_gone_when_the_call_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-7731")
    reading = asyncio.create_task(read_page(SLOW, 60))
    async with asyncio.timeout(20):
        while not (pids := readers()) or worked(pids[0]) < 20:  # it is at work on the page
            await asyncio.sleep(0.01)
    environment = Path(f"/proc/{pids[0]}/environ").read_bytes()
    reading.cancel()
    async with asyncio.timeout(10):  # far less than the reader would take
        with pytest.raises(asyncio.CancelledError):
            await reading

    assert b"canary-7731" not in environment
    assert readers() == []


@settings(max_examples=200)
@given(
    st.binary(max_size=400),
    st.sampled_from(["html", "text", "pdf", "unknown"]),
    st.text("aut8-f1", max_size=8),
)
def test_no_bytes_make_the_reader_fall_over(body: bytes, kind: str, charset: str) -> None:
    order = {"kind": kind, "charset": charset, "whole": True, "url": URL, "max_text": 1_000}
    try:
        assert isinstance(text_of(body, order), str)
    except Unreadable as problem:
        assert str(problem)

from __future__ import annotations

import os
import resource
import struct

import pytest

from support.tools import call, prepare
from turnstone.core.tool import ToolContext
from turnstone.tools.files import digest_of
from turnstone.tools.read_file import ReadFile


async def read(context: ToolContext, content: bytes | str, **more: object) -> str:
    data = content.encode() if isinstance(content, str) else content
    (context.workspace / "file").write_bytes(data)
    result = await call(ReadFile(), context, path="file", **more)
    assert result.status == "ok"
    return result.output


async def test_lines_are_numbered_and_end_without_spaces(context: ToolContext) -> None:
    assert (
        await read(context, "one  \n\n\tthree\r\nfour")
        == "   1\tone\n   2\t\n   3\t\tthree\n   4\tfour"
    )


@pytest.mark.parametrize(
    ("more", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"offset": 4}, [4, 5]),
        ({"limit": 2}, [1, 2]),
        ({"offset": 2, "limit": 3}, [2, 3, 4]),
        ({"offset": "5", "limit": 100}, [5]),
    ],
)
async def test_a_part_is_read_by_its_first_line_and_length(
    more: dict[str, object], numbers: list[int], context: ToolContext
) -> None:
    output = await read(context, "".join(f"line {n}\n" for n in range(1, 6)), **more)

    assert output == "\n".join(f"{n:>4}\tline {n}" for n in numbers)


async def test_beyond_the_end_the_length_is_told(context: ToolContext) -> None:
    assert await read(context, "a\nb\n", offset=9) == "[the file ends at line 2, before line 9]"
    assert await read(context, "") == "[empty file]"


async def test_a_long_file_is_cut_at_a_line_and_says_where_to_go_on(context: ToolContext) -> None:
    content = "".join(f"line {n}\n" for n in range(1, 5001))

    first = await read(context, content)
    *lines, note = first.splitlines()
    assert len(first) < context.max_output + 100
    assert note == f"[cut off here at 10,000 characters; go on with offset {len(lines) + 1}]"
    assert (await read(context, content, offset=len(lines) + 1)).startswith(
        f"{len(lines) + 1:>4}\tline {len(lines) + 1}\n"
    )


async def test_a_line_without_end_is_cut(context: ToolContext) -> None:
    output = await read(context, "x" * 50_000 + "\nnext\n", limit=1)

    assert len(output) < context.max_output + 100
    assert output.endswith("[40,000 bytes of this line left out]")


async def test_a_huge_file_is_not_taken_into_memory(context: ToolContext) -> None:
    with open(context.workspace / "huge", "wb") as file:
        file.write(b"first\n")
        file.seek(20_000, os.SEEK_SET)
        file.write(b"\n" + b"x" * 1000 + b"\n")
        file.truncate(400_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    result = await call(ReadFile(), context, path="huge", limit=1)

    assert "binary file" in result.output  # a sparse file is full of NUL
    (context.workspace / "huge").write_bytes(b"first\n" + b"y" * 8000)
    with open(context.workspace / "huge", "ab") as file:
        file.truncate(400_000_000)
    result = await call(ReadFile(), context, path="huge", offset=2)
    assert "bytes of this line left out]" in result.output
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"BZh9\0", "bzip2 archive"),
        (b"ID3\x04\0", "MP3 sound"),
        (b"\x7fELF\x02", "ELF program"),
        (b"text\0more", "of unknown kind"),
    ],
)
async def test_a_binary_file_is_named_as_such(data: bytes, kind: str, context: ToolContext) -> None:
    (context.workspace / "data").write_bytes(data)

    result = await call(ReadFile(), context, path="data")

    assert result.status == "error"
    expected = f"data is a binary file ({kind}, {len(data)} bytes); read_file reads text."
    assert result.output == expected


async def test_text_in_no_known_encoding_is_shown_as_far_as_it_goes(context: ToolContext) -> None:
    assert await read(context, b"\xef\xbb\xbfcaf\xe9\n") == "   1\tcaf\ufffd"


async def test_a_missing_file_is_told_with_names_that_are_near(context: ToolContext) -> None:
    (context.workspace / "server.log").write_text("x")

    result = await call(ReadFile(), context, path="sever.log")

    assert result.status == "error"
    assert result.output == "sever.log does not exist. Did you mean server.log?"
    assert (await call(ReadFile(), context, path="zzz")).output == "zzz does not exist."


async def test_the_header_shows_the_resolved_path(context: ToolContext) -> None:
    (context.workspace / "real").write_text("x")
    (context.workspace / "link").symlink_to("real")

    prepared = await prepare(ReadFile(), context, path="link")

    assert prepared.header == "read_file: real"
    assert (prepared.effect, prepared.paths[0].access) == ("pure", "read")


PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 480) + b"\x08\x02\0\0\0"
JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08" + struct.pack(">HH", 480, 640) + b"\x03\0"
WEBP = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "PNG image, 640 x 480 pixels"),
        (JPEG, "JPEG image, 640 x 480 pixels"),
        (b"GIF89a" + struct.pack("<HH", 640, 480) + b"\0", "GIF image, 640 x 480 pixels"),
        (WEBP, "WebP image, 640 x 480 pixels"),
        (b"BM" + bytes(16) + struct.pack("<ii", 640, -480), "BMP image, 640 x 480 pixels"),
        (PNG[:10] + b"\0", "PNG image"),
        (JPEG[:9], "JPEG image"),
    ],
)
async def test_an_image_is_described(data: bytes, kind: str, context: ToolContext) -> None:
    assert await read(context, data) == (
        f"file is an image ({kind}, {len(data)} bytes). Only this can be told of it: the"
        " model takes no images."
    )


def pdf(*pages: str) -> bytes:
    """A document with a line of text on each page."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    box, fonts = "/MediaBox [0 0 612 792]", "<< /Font << /F1 3 0 R >> >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
        objects += [
            f"<< /Type /Page /Parent 2 0 R {box} /Contents {5 + 2 * n} 0 R /Resources {fonts} >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    tail = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer << /Size {size} /Root 1 0 R >>\n"
    return out + f"{tail}startxref\n{len(out)}\n%%EOF\n".encode()


async def test_of_a_pdf_the_text_is_shown_by_pages(context: ToolContext) -> None:
    data = pdf("first", "second", "", "fourth")
    title = f"[file: PDF, {len(data):,} bytes, 4 pages; offset and limit count pages]"

    assert await read(context, data) == (
        f"{title}\n\n[page 1]\nfirst\n\n[page 2]\nsecond\n\n"
        "[page 3]\n[no text on this page; it may be an image]\n\n[page 4]\nfourth"
    )
    assert await read(context, data, offset=2, limit=1) == f"{title}\n\n[page 2]\nsecond"
    assert (await read(context, data, offset=9)).endswith("[it ends at page 4, before page 9]")


async def test_a_long_pdf_is_cut_at_a_page_and_says_where_to_go_on(context: ToolContext) -> None:
    output = await read(context, pdf(*["word " * 900] * 9))

    assert output.count("[page ") == 2
    assert output.endswith("word\n\n[cut off here at 10,000 characters; go on with offset 3]")


async def test_a_page_longer_than_a_result_is_cut_and_that_is_told(context: ToolContext) -> None:
    output = await read(context, pdf("word " * 9000, "second"))

    assert "[this page is cut off here at 10,000 characters]" in output
    assert output.endswith("go on with offset 2]")


async def test_pages_without_text_do_not_add_up_to_a_result_without_end(
    context: ToolContext,
) -> None:
    output = await read(context, pdf(*[""] * 2_000))

    assert len(output) < 10_000 + 500
    assert "go on with offset" in output


@pytest.mark.parametrize("data", [b"%PDF-1.7\n", b"%PDF-1.4\n" + b"\0\xff" * 500, pdf("a")[:300]])
async def test_a_broken_pdf_is_told(data: bytes, context: ToolContext) -> None:
    (context.workspace / "file").write_bytes(data)

    result = await call(ReadFile(), context, path="file")

    assert (result.status, result.output.startswith("file is a PDF (")) == ("error", True)
    assert "cannot be read" in result.output


@pytest.mark.parametrize("form", ["utf-16-le", "utf-16-be"])
async def test_text_in_utf_16_is_read(form: str, context: ToolContext) -> None:
    assert await read(context, "\ufeffzwölf\r\n😀\n".encode(form)) == "   1\tzwölf\n   2\t😀"


async def test_what_was_read_is_remembered_by_its_content(context: ToolContext) -> None:
    data = b"line\n" * 100_000
    await read(context, data, offset=3, limit=1)

    assert context.reads.digest(context.workspace / "file") == digest_of(data)


async def test_what_was_not_read_is_not_remembered(context: ToolContext) -> None:
    (context.workspace / "file").write_text("x")
    await prepare(ReadFile(), context, path="file")

    assert context.reads.digest(context.workspace / "file") == ""

from __future__ import annotations

import os
import resource

import pytest

from support.tools import call, prepare
from turnstone.core.tool import ToolContext
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
        (b"\x89PNG\r\n\x1a\n\0\0", "PNG image"),
        (b"%PDF-1.7\n", "PDF document"),
        (b"\x7fELF\x02", "ELF program"),
        (b"text\0more", "of unknown kind"),
        ("text".encode("utf-16"), "UTF-16 text"),
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

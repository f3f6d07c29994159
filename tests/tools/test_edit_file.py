"""The tool around the edit: what was read, what is shown, what is written, what a crash leaves."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from support.tools import call, prepare
from turnstone.core.errors import ToolRefused
from turnstone.core.read_marks import ReadMarks
from turnstone.core.tool import ToolContext
from turnstone.tools.edit_file import EditFile
from turnstone.tools.read_file import ReadFile
from turnstone.tools.write_file import WriteFile


@pytest.fixture
def file(context: ToolContext):
    path = context.workspace / "file"
    path.write_text("one\ntwo\nthree\n")
    return path


async def read(context: ToolContext, path: str = "file") -> None:
    assert (await call(ReadFile(), context, path=path)).status == "ok"


async def edit(context: ToolContext, old: str, new: str, path: str = "file") -> str:
    result = await call(EditFile(), context, path=path, old_string=old, new_string=new)
    assert result.status == "ok", result.output
    return result.output


async def refused(context: ToolContext, old: str, new: str, path: str = "file") -> str:
    with pytest.raises(ToolRefused) as refusal:
        await prepare(EditFile(), context, path=path, old_string=old, new_string=new)
    return str(refusal.value)


def another(context: ToolContext) -> ToolContext:
    """The same workspace, seen by somebody else."""
    return replace(context, ws_id="w2", reads=ReadMarks())


async def test_one_piece_is_replaced(context: ToolContext, file) -> None:
    await read(context)

    assert await edit(context, "two", "2") == "Replaced 1 occurrence in file, at line 2."

    assert file.read_text() == "one\n2\nthree\n"


async def test_the_preview_is_the_diff_of_what_will_happen(context: ToolContext, file) -> None:
    file.write_text("".join(f"line {n}\n" for n in range(1, 1001)))
    await read(context)

    prepared = await prepare(
        EditFile(), context, path="file", old_string="line 500\n", new_string="\u202e\n"
    )

    assert prepared.preview.splitlines() == [
        "--- file (now)",
        "+++ file (new)",
        "@@ -497,7 +497,7 @@",
        *(f" line {n}" for n in (497, 498, 499)),
        "-line 500",
        "+\\u202e",
        *(f" line {n}" for n in (501, 502, 503)),
    ]
    assert prepared.header == "edit_file: file"
    assert (prepared.effect, prepared.paths[0].access) == ("idempotent", "write")


async def test_how_a_place_was_found_is_shown_and_told(context: ToolContext, file) -> None:
    file.write_text("\tone\n\ttwo\n")
    await read(context)

    prepared = await prepare(
        EditFile(), context, path="file", old_string="  one\n  two", new_string="  one\n  2"
    )
    result = await EditFile().run(prepared, context, lambda _: None)

    words = "found not counting spaces at the ends of lines and the indentation"
    assert prepared.preview.startswith(f"[{words}]\n--- file")
    assert result.output == f"Replaced 1 occurrence in file, at line 1 ({words})."


async def test_a_place_found_by_likeness_says_how_alike_it_is(context: ToolContext, file) -> None:
    lines = [f"    line(number={n})  # of the text" for n in range(9)]
    file.write_text("\n".join(lines))
    await read(context)
    quoted = "\n".join([*lines[:3], lines[3].replace("text", "test"), *lines[4:]])

    told = await edit(context, quoted, quoted.replace("number=7", "number=seven"))

    assert told == "Replaced 1 occurrence in file, at line 1 (found by likeness (100%))." or (
        told.startswith("Replaced 1 occurrence in file, at line 1 (found by likeness (9")
    )
    assert file.read_text() == "\n".join(lines).replace("number=7", "number=seven")


async def test_a_file_that_was_not_read_is_not_edited(context: ToolContext, file) -> None:
    assert await refused(context, "two", "2") == (
        "edit_file: file has not been read in this workstream since it was last started."
        " Read it first, then edit it."
    )


async def test_of_a_file_read_in_part_only_that_part_is_edited(context: ToolContext, file) -> None:
    await call(ReadFile(), context, path="file", offset=2, limit=1)

    for old in ("one", "three", "one\ntwo", "two\nthree"):
        with pytest.raises(ToolRefused, match="not been read"):
            await edit(context, old, "x")
    await edit(context, "two\n", "2\n2b\n")
    await edit(context, "2b", "2c")
    with pytest.raises(ToolRefused, match="line 4 of file have not been read"):
        await edit(context, "three", "3")
    await call(ReadFile(), context, path="file", offset=4)
    await edit(context, "three", "3")
    with pytest.raises(ToolRefused, match="not been read"):
        await edit(context, "one", "1")


async def test_a_file_read_in_parts_is_read(context: ToolContext, file) -> None:
    await call(ReadFile(), context, path="file", offset=3)
    await call(ReadFile(), context, path="file", limit=2)

    await edit(context, "one\ntwo\nthree", "x")


async def test_what_was_cut_off_was_not_read(context: ToolContext, file) -> None:
    file.write_text("".join(f"line {n}\n" for n in range(1000)))
    narrow = replace(context, max_output=100)
    assert "go on with offset" in (await call(ReadFile(), narrow, path="file")).output

    await edit(context, "line 0\n", "first\n")
    with pytest.raises(ToolRefused, match="not been read"):
        await edit(context, "line 900\n", "x\n")


async def test_what_was_written_or_edited_here_counts_as_read(context: ToolContext, file) -> None:
    await call(WriteFile(), context, path="new", content="a b\n")

    await edit(context, "a", "x", path="new")
    await edit(context, "b", "y", path="new")

    assert (context.workspace / "new").read_text() == "x y\n"


async def test_a_file_that_changed_since_it_was_read_is_not_edited(
    context: ToolContext, file
) -> None:
    await read(context)
    file.write_text("one\ntwo\nfour\n")

    told = await refused(context, "two", "2")

    assert told == "edit_file: file has changed since it was read. Read it again, then edit it."


async def test_a_file_read_through_a_link_is_the_same_file(context: ToolContext, file) -> None:
    (context.workspace / "link").symlink_to("file")
    await read(context, "link")

    await edit(context, "two", "2", path="./link")

    assert (context.workspace / "link").is_symlink()
    assert file.read_text() == "one\n2\nthree\n"


async def test_another_workstream_has_to_read_for_itself(context: ToolContext, file) -> None:
    await read(context)

    assert "has not been read" in await refused(another(context), "two", "2")


async def test_what_changed_after_the_approval_is_left_alone(context: ToolContext, file) -> None:
    await read(context)
    prepared = await prepare(EditFile(), context, path="file", old_string="two", new_string="2")
    file.write_text("somebody's two\n")

    result = await EditFile().run(prepared, context, lambda _: None)

    assert result.status == "error"
    assert result.output.startswith("file has changed since this call was made, so nothing was")
    assert file.read_text() == "somebody's two\n"


async def test_edits_of_one_step_are_made_one_after_another(context: ToolContext, file) -> None:
    await read(context)
    calls = [
        await prepare(EditFile(), context, path="file", old_string=old, new_string=new)
        for old, new in (("one\n", "1\n1.5\n"), ("three", "3"), ("two", "2"))
    ]

    for prepared in calls:
        assert (await EditFile().run(prepared, context, lambda _: None)).status == "ok"

    assert file.read_text() == "1\n1.5\n2\n3\n"


async def test_an_edit_that_an_earlier_one_of_the_step_took_the_ground_from_is_not_made(
    context: ToolContext, file
) -> None:
    await read(context)
    first, second = [
        await prepare(EditFile(), context, path="file", old_string=old, new_string=new)
        for old, new in (("one\ntwo", "two\n1"), ("two", "2"))
    ]
    await EditFile().run(first, context, lambda _: None)

    result = await EditFile().run(second, context, lambda _: None)

    assert result.status == "error"
    assert file.read_text() == "two\n1\nthree\n"


@pytest.mark.parametrize("first", ["l1\n", "l30\n", "l60\n"])
async def test_the_place_that_was_shown_is_edited_wherever_it_is_by_then(
    context: ToolContext, file, first: str
) -> None:
    """By the line number alone, another place would be nearer by then."""
    lines = [f"l{n}\n" for n in range(1, 101)]
    lines[9] = lines[49] = "timeout = 5\n"
    file.write_text("".join(lines))
    await read(context)
    grows = {"old_string": first, "new_string": first + "# new\n" * 40}
    changes = {"old_string": "timeout = 5", "new_string": "timeout = 99", "near_line": 50}
    calls = [await prepare(EditFile(), context, path="file", **some) for some in (grows, changes)]

    for prepared in calls:
        assert (await EditFile().run(prepared, context, lambda _: None)).status == "ok"

    before = "".join(lines[:49]) + "timeout = 99\n" + "".join(lines[50:])
    assert file.read_text() == before.replace(first, grows["new_string"], 1)


async def test_what_somebody_else_changed_and_was_read_again_is_not_what_was_shown(
    context: ToolContext, file
) -> None:
    await read(context)
    prepared = await prepare(EditFile(), context, path="file", old_string="two", new_string="2")
    file.write_text("two\none\ntwo\n")
    await read(context)

    assert (await EditFile().run(prepared, context, lambda _: None)).status == "error"
    assert file.read_text() == "two\none\ntwo\n"


async def test_after_a_crash_it_can_be_told_whether_it_has_happened(
    context: ToolContext, file
) -> None:
    await read(context)
    prepared = await prepare(EditFile(), context, path="file", old_string="two", new_string="2")
    # The next process has read nothing, and knows what had been decided.
    later = replace(another(context), decided=prepared.expects)
    again = await prepare(EditFile(), later, path="file", old_string="two", new_string="2")

    assert again.hash == prepared.hash
    assert await EditFile().happened(again, later) is False
    assert (await EditFile().run(again, later, lambda _: None)).status == "ok"
    assert await EditFile().happened(again, later) is True
    assert file.read_text() == "one\n2\nthree\n"
    file.write_text("third")
    assert await EditFile().happened(again, later) is None


async def test_mode_encoding_and_endings_stay(context: ToolContext, file) -> None:
    file.write_bytes(b"\xff\xfe" + "zwölf\r\nelf".encode("utf-16-le"))
    file.chmod(0o751)
    await read(context)

    await edit(context, "\nelf", "\n13\n14")

    assert file.read_bytes() == b"\xff\xfe" + "zwölf\r\n13\r\n14".encode("utf-16-le")
    assert file.stat().st_mode & 0o7777 == 0o751


async def test_what_cannot_be_written_back_is_refused(context: ToolContext, file) -> None:
    file.write_bytes(b"caf\xe9 one\n")
    await read(context)

    told = await refused(context, "one", "1")

    assert told.startswith("edit_file: file: The file is not UTF-8 text (byte 3)")
    assert file.read_bytes() == b"caf\xe9 one\n"


async def test_a_missing_file_and_a_folder_are_refused(context: ToolContext) -> None:
    assert await refused(context, "a", "b") == "edit_file: file does not exist."
    assert "a directory" in await refused(context, "a", "b", path=".")


async def test_other_names_of_the_file_keep_the_old_content_and_that_is_shown(
    context: ToolContext, file
) -> None:
    os.link(file, context.workspace.parent / "other")
    await read(context)

    prepared = await prepare(EditFile(), context, path="file", old_string="two", new_string="2")
    await EditFile().run(prepared, context, lambda _: None)

    assert prepared.preview.startswith("[the file has 2 names (hard links); the others keep")
    assert (context.workspace.parent / "other").read_text() == "one\ntwo\nthree\n"
    assert file.stat().st_nlink == 1


async def test_twenty_megabytes_are_edited(context: ToolContext, file) -> None:
    lines = [f"{n}: some text of a line, long enough\r\n" for n in range(500_000)]
    lines[400_000] = "\tneedle in it \r\n"
    data = "".join(lines).encode()
    assert len(data) > 20_000_000
    file.write_bytes(data)
    await call(ReadFile(), context, path="file", offset=400_000, limit=5)

    prepared = await prepare(
        EditFile(), context, path="file", old_string="    needle in it", new_string="    found"
    )
    await EditFile().run(prepared, context, lambda _: None)

    assert "@@ -399998,7 +399998,7 @@" in prepared.preview
    assert file.read_bytes() == data.replace(b"\tneedle in it \r\n", b"\tfound\r\n")


async def test_a_file_too_large_to_edit_says_so(context: ToolContext, file) -> None:
    with open(file, "ab") as grown:
        grown.write(b"x" * 65 * 1024 * 1024)
    await read(context)

    assert "bytes, more than 67,108,864" in await refused(context, "two", "2")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"path": "file", "old_string": "a"}, "`new_string` is missing"),
        ({"path": "file", "old_string": "a", "new_string": 5.5}, "`new_string` must be text"),
        ({"path": "file", "old_string": "two", "new_string": "a", "near_line": "x"}, "near_line"),
        ({"path": "", "old_string": "a", "new_string": "b"}, "empty"),
    ],
)
async def test_wrong_arguments_are_named(
    arguments: dict[str, object], sentence: str, context: ToolContext, file
) -> None:
    with pytest.raises(ToolRefused, match=sentence):
        await prepare(EditFile(), context, **arguments)

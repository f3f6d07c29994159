from __future__ import annotations

import os
from dataclasses import replace

import pytest

from support.tools import call, prepare
from turnstone.core.errors import ToolRefused
from turnstone.core.tool import ToolContext
from turnstone.tools.edit_file import EditFile
from turnstone.tools.read_file import ReadFile
from turnstone.tools.write_file import WriteFile


async def test_a_new_file_is_written_with_the_folders_above_it(context: ToolContext) -> None:
    result = await call(WriteFile(), context, path="a/b/file", content="zwölf\n")

    assert result.status == "ok"
    assert result.output == "Wrote 6 characters to a/b/file."
    assert (context.workspace / "a" / "b" / "file").read_text() == "zwölf\n"


async def test_a_new_file_is_previewed_by_its_head(context: ToolContext) -> None:
    content = "".join(f"{n}\n" for n in range(1000))

    prepared = await prepare(WriteFile(), context, path="a/file", content=content)

    assert prepared.preview.startswith("new file, 3,890 bytes\n+0\n+1\n")
    assert prepared.preview.endswith("[600 more lines]")
    assert not (context.workspace / "a").exists()


async def test_a_change_is_previewed_as_a_diff_with_nothing_hidden(context: ToolContext) -> None:
    (context.workspace / "file").write_text("one\ntwo\nthree\n")

    prepared = await prepare(WriteFile(), context, path="file", content="one\n\u202e2\nthree")

    assert prepared.preview.splitlines() == [
        "--- file (now)",
        "+++ file (new)",
        "@@ -1,3 +1,3 @@",
        " one",
        "-two",
        "-three",
        "+\\u202e2",
        "+three [no line feed at the end]",
    ]


async def test_what_changes_nothing_says_so(context: ToolContext) -> None:
    (context.workspace / "file").write_text("same\n")

    prepared = await prepare(WriteFile(), context, path="file", content="same\n")

    assert prepared.preview.startswith("no change")


async def test_a_file_too_long_to_compare_is_previewed_by_sizes(context: ToolContext) -> None:
    (context.workspace / "file").write_bytes(b"x\n" * 500_000)

    prepared = await prepare(WriteFile(), context, path="file", content="short\n")

    assert prepared.preview == "replaces 1,000,000 bytes by 6; too long to compare\n+short"
    assert (await WriteFile().run(prepared, context, lambda _: None)).status == "ok"


async def test_mode_stays_and_content_is_exact(context: ToolContext) -> None:
    path = context.workspace / "script"
    path.write_text("old")
    path.chmod(0o751)

    await call(WriteFile(), context, path="script", content="a\r\nb\n\n")

    assert path.read_bytes() == b"a\r\nb\n\n"
    assert path.stat().st_mode & 0o7777 == 0o751


async def test_a_file_that_changed_after_the_approval_is_left_alone(context: ToolContext) -> None:
    path = context.workspace / "file"
    path.write_text("old")
    prepared = await prepare(WriteFile(), context, path="file", content="new")
    path.write_text("newer")

    result = await WriteFile().run(prepared, context, lambda _: None)

    assert result.status == "error"
    assert result.output.startswith("file has changed since this call was made")
    assert path.read_text() == "newer"


async def test_a_file_that_came_or_went_meanwhile_is_left_alone(context: ToolContext) -> None:
    path = context.workspace / "file"
    new = await prepare(WriteFile(), context, path="file", content="new")
    path.write_text("somebody's")
    assert (await WriteFile().run(new, context, lambda _: None)).status == "error"

    old = await prepare(WriteFile(), context, path="file", content="new")
    path.unlink()
    assert (await WriteFile().run(old, context, lambda _: None)).status == "error"
    assert not path.exists()


async def test_the_same_content_for_another_old_content_is_another_hash(
    context: ToolContext,
) -> None:
    one = await prepare(WriteFile(), context, path="file", content="new")
    (context.workspace / "file").write_text("old")
    two = await prepare(WriteFile(), context, path="file", content="new")

    assert one.hash != two.hash


async def test_after_a_crash_it_can_be_told_whether_it_has_happened(context: ToolContext) -> None:
    path = context.workspace / "file"
    path.write_text("old")
    prepared = await prepare(WriteFile(), context, path="file", content="new")

    assert await WriteFile().happened(prepared, context) is False
    await WriteFile().run(prepared, context, lambda _: None)
    assert await WriteFile().happened(prepared, context) is True
    path.write_text("third")
    assert await WriteFile().happened(prepared, context) is None


async def test_nothing_is_left_where_a_write_fails(context: ToolContext) -> None:
    (context.workspace / "file").write_text("old")
    prepared = await prepare(WriteFile(), context, path="sub/file", content="new")
    (context.workspace / "sub").write_text("a file now")

    result = await WriteFile().run(prepared, context, lambda _: None)

    assert result.status == "error"
    assert sorted(os.listdir(context.workspace)) == ["file", "sub"]


async def test_no_temporary_file_stays(context: ToolContext) -> None:
    await call(WriteFile(), context, path="file", content="x")
    await call(WriteFile(), context, path="file", content="y")

    assert os.listdir(context.workspace) == ["file"]


async def test_a_name_that_ends_as_a_folder_is_refused(context: ToolContext) -> None:
    with pytest.raises(ToolRefused, match="new is a directory"):
        await prepare(WriteFile(), context, path="new/", content="x")


async def test_what_root_makes_belongs_to_the_owner_of_the_workspace(context: ToolContext) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes files for others")
    os.chown(context.workspace, 65534, 65534)

    await call(WriteFile(), context, path="sub/file", content="x")

    for path in ("sub", "sub/file"):
        assert (context.workspace / path).stat().st_uid == 65534


async def test_to_overwrite_what_was_not_seen_is_asked_about_as_such(context: ToolContext) -> None:
    path = context.workspace / "file"
    new = await prepare(WriteFile(), context, path="file", content="a")
    path.write_text("old")
    unseen = await prepare(WriteFile(), context, path="file", content="a")
    await call(ReadFile(), context, path="file")
    seen = await prepare(WriteFile(), context, path="file", content="a")
    path.write_text("older")
    changed = await prepare(WriteFile(), context, path="file", content="a")

    labels = [call.label for call in (new, unseen, seen, changed)]
    assert labels == ["", "overwrite_file", "", "overwrite_file"]
    assert unseen.hash == seen.hash


@pytest.mark.parametrize(("most", "size"), [(100_000, 10_100), (10_000, 9_999)])
async def test_to_overwrite_a_line_of_which_a_part_was_not_shown_is_asked_about_as_such(
    context: ToolContext, most: int, size: int
) -> None:
    context = replace(context, max_output=most)
    path = context.workspace / "file"
    path.write_text("x" * size + "\nend\n")
    for arguments in ({}, {"offset": 1, "limit": 1}, {"offset": 2}):
        told = await call(ReadFile(), context, path="file", **arguments)
        assert told.status == "ok"
    prepared = await prepare(WriteFile(), context, path="file", content="a")
    await call(EditFile(), context, path="file", old_string="end", new_string="more")
    edited = await prepare(WriteFile(), context, path="file", content="a")
    path.write_text("short\nend\n")
    await call(ReadFile(), context, path="file")
    short = await prepare(WriteFile(), context, path="file", content="a")

    assert path.read_text() == "short\nend\n"
    labels = [call.label for call in (prepared, edited, short)]
    assert labels == ["overwrite_file", "overwrite_file", ""]


async def test_other_names_of_the_file_are_shown(context: ToolContext) -> None:
    (context.workspace / "file").write_text("old\n")
    os.link(context.workspace / "file", context.workspace.parent / "other")

    prepared = await prepare(WriteFile(), context, path="file", content="new\n")

    words = "[the file has 2 names (hard links); the others keep the old content]\n"
    assert prepared.preview.startswith(f"{words}--- file (now)")


async def test_a_change_of_a_file_in_utf_16_is_shown_as_text(context: ToolContext) -> None:
    (context.workspace / "file").write_bytes("\ufeffold\n".encode("utf-16-le"))

    prepared = await prepare(WriteFile(), context, path="file", content="new\n")

    assert prepared.preview.splitlines()[-2:] == ["-old", "+new"]

"""What may come with a message, and how a model reads of it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.core import attachments
from turnstone.core.attachments import MAX_COUNT, MAX_IMAGE, MAX_SIDE, MAX_TEXT, checked, told
from turnstone.core.errors import InvalidRequest
from turnstone.core.event_base import Attached
from turnstone.core.host import Attachment


def png(more: bytes = b"", width: int = 3) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, 2) + more


GIF = b"GIF89a" + struct.pack("<HH", 3, 2)
WEBP = b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\2\0\0\1\0\0"
JPEG = b"\xff\xd8\xff\xc0" + struct.pack(">HBHH", 11, 8, 2, 3)
NOTES = Attachment(name="notes.md", text="x")
LARGEST = png(bytes(MAX_IMAGE - len(png())))


@pytest.mark.parametrize(
    ("field", "files"),
    [
        ("attachments: there are", [NOTES] * (MAX_COUNT + 1)),
        ("attachments: the images", [Attachment(data=LARGEST)] * 5),
        ("attachments: the texts", [Attachment(text="x" * MAX_TEXT)] * 3),
        ("attachments[0].data: it is no", [Attachment(data=b"<svg/>", media_type="image/png")]),
        ("attachments[0].data: it is no", [Attachment(data=b"BM" + bytes(60))]),
        ("attachments[0].data: the image has", [Attachment(data=LARGEST + b"x")]),
        ("attachments[0].data: the image has", [Attachment(data=png(width=MAX_SIDE + 1))]),
        ("attachments[0].data: the image is broken", [Attachment(data=png()[:12])]),
        ("attachments[0].data: the image is broken", [Attachment(data=png(width=0))]),
        ("attachments[1].text", [NOTES, Attachment(text="x" * (MAX_TEXT + 1))]),
        ("attachments[0].name", [Attachment(name="a\nb", text="x")]),
        ("attachments[0].name", [Attachment(name="a" * 201, text="x")]),
        ("attachments[0].media_type", [Attachment(media_type="a\0", text="x")]),
        ("attachments[0]: it must", [Attachment(name="nothing")]),
        ("attachments[0]: it must", [Attachment(data=png(), text="x")]),
    ],
)
def test_what_cannot_be_sent_is_refused_by_the_name_of_its_field(
    field: str, files: list[Attachment]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked(files)
    assert refused.value.message.startswith(field)


@pytest.mark.parametrize(
    ("data", "ending", "media_type"),
    [
        (png(), "png", "image/png"),
        (GIF, "gif", "image/gif"),
        (WEBP, "webp", "image/webp"),
        (JPEG, "jpg", "image/jpeg"),
        (LARGEST, "png", "image/png"),
    ],
)
def test_the_bytes_of_an_image_say_what_it_is(data: bytes, ending: str, media_type: str) -> None:
    [found] = checked([Attachment(name="x", media_type="text/html", data=data)])
    assert (found.ending, found.attached.media_type) == (ending, media_type)
    assert found.attached.size == len(data)


@given(st.binary(max_size=64), st.sampled_from([b"", png()[:16], GIF[:6], WEBP[:16], JPEG[:4]]))
def test_any_bytes_are_an_image_or_refused_in_a_sentence(data: bytes, start: bytes) -> None:
    try:
        checked([Attachment(data=start + data)])
    except InvalidRequest as refused:
        assert refused.message.startswith("attachments[0]")


@given(st.text(st.sampled_from("`~x \n"), min_size=1, max_size=40))
def test_nothing_in_a_text_ends_its_fence(text: str) -> None:
    shown = told("see", [Attached(name="a.py", text=text)])
    lines = shown.removeprefix("see\n\nFile `a.py`:\n").split("\n")
    fence = lines[0].removesuffix("py")
    assert fence == lines[-1]
    assert not any(line.startswith(fence) for line in lines[1:-1])
    assert "\n".join(lines[1:-1]) == text.removesuffix("\n")


def test_a_name_does_not_leave_its_line() -> None:
    assert told("see", [Attached(name="a`b", image="w/x")]).endswith("Image `a'b` is attached.")


def test_a_message_without_files_is_told_as_it_is() -> None:
    assert told("just this", []) == "just this"


def test_a_message_of_files_alone_is_called_as_they_are() -> None:
    unnamed = Attachment(text="x")
    assert attachments.worded(" ", [NOTES, unnamed]) == "notes.md, a file"
    assert attachments.worded("mine", [NOTES]) == "mine"
    assert attachments.worded("", []) == ""

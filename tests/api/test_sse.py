"""Server-sent events, as bytes that arrive in any pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from turnstone.api.sse import Decoder, Frame, frame, keepalive

STREAM = b'\xef\xbb\xbfid: 1-2\ndata: {"a": 1}\n\n: keepalive\n\nretry: 5\r\ndata:x\r\ndata: y\r\n\r\nid\n\n'
FRAMES = [Frame("1-2", b'{"a": 1}'), Frame("", None), Frame("", b"x\ny")]


def decoded(*pieces: bytes) -> list[Frame]:
    decoder = Decoder()
    return [found for piece in pieces for found in decoder.feed(piece)]


def test_a_frame_has_the_form_that_readers_of_0_2_look_for() -> None:
    assert frame("12-3", b'{"type": "content"}') == b'id: 12-3\ndata: {"type": "content"}\n\n'
    assert frame("", b"{}") == b"data: {}\n\n"
    assert keepalive() == b": keepalive\n\n"
    assert keepalive("5-2") == b"id: 5-2\n: keepalive\n\n"


def test_a_stream_is_read_whole_and_byte_by_byte_and_with_rubbish_after() -> None:
    assert decoded(STREAM) == FRAMES
    assert decoded(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == FRAMES
    assert decoded(STREAM + b"\x00\xff no field\n\n") == FRAMES


def test_a_stream_may_be_cut_anywhere() -> None:
    for place in range(len(STREAM) + 1):
        assert decoded(STREAM[:place], STREAM[place:]) == FRAMES


def test_lines_that_end_in_a_carriage_return_alone_are_lines() -> None:
    assert decoded(b"data: x\r\rdata: y\r", b"\rdata: z\r\n\r\n") == [
        Frame("", b"x"),
        Frame("", b"y"),
        Frame("", b"z"),
    ]


def test_an_unfinished_frame_is_no_frame() -> None:
    assert decoded(b"id: 1-1\ndata: half") == []
    assert decoded(b"id: 1-1\ndata: whole\n") == []


def test_an_id_belongs_to_its_own_frame_only() -> None:
    assert decoded(b"id: 1-1\ndata: a\n\ndata: b\n\n") == [Frame("1-1", b"a"), Frame("", b"b")]


@given(
    st.lists(st.tuples(st.from_regex(r"[0-9]{0,3}-?[0-9]", fullmatch=True), st.binary())),
    st.lists(st.integers(0, 400)),
)
def test_what_is_framed_is_read_again_however_it_is_cut(
    sent: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    frames = [(i, d.replace(b"\n", b"").replace(b"\r", b"")) for i, d in sent]
    stream = b"".join(frame(event_id, data) for event_id, data in frames)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(places)]

    assert decoded(*pieces) == [Frame(event_id, data) for event_id, data in frames]

"""Images that are read: a model that takes images is sent them, and the journal names them."""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelserver import Reply, call, calls, text
from support.nodes import local_node
from support.turns import turn
from turnstone.core import tokens
from turnstone.core.attachments import MAX_IMAGE, MAX_SIDE
from turnstone.core.host import CreateWorkstream
from turnstone.core.images import MAX_IMAGES, with_images


def png(width: int = 640, height: int = 480, more: bytes = b"") -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + more


def results_of(body: dict[str, Any]) -> list[str]:
    """What the tools have said since the person last said something."""
    told: list[str] = []
    for message in body["messages"]:
        if message["role"] == "user" and isinstance(message["content"], str):
            told = []
        elif message["role"] == "tool":
            told.append(message["content"])
    return told


def reads(body: dict[str, Any]) -> Reply:
    """Reads the files that the person names, all in one step."""
    names = str(body["messages"][-1]["content"]).split()
    if results_of(body) or not all("." in name for name in names):
        return text("done")
    return calls(*(call("read_file", path=name) for name in names))


def images_of(body: dict[str, Any]) -> list[bytes]:
    parts = [p for m in body["messages"] if isinstance(m["content"], list) for p in m["content"]]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [base64.b64decode(url.removeprefix("data:image/png;base64,")) for url in urls]


async def test_a_model_that_takes_images_is_sent_what_is_read_also_after_a_restart(
    tmp_path: Path,
) -> None:
    one, other, outputs = png(), png(more=b"other"), tmp_path / "outputs"
    async with local_node(tmp_path, reads, vision=True, outputs=outputs) as node:
        (node.workspace / "a.png").write_bytes(one)
        (node.workspace / "b.png").write_bytes(other)
        (node.workspace / "c.txt").write_text("words")
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, "a.png c.txt b.png a.png")
        sent = node.model.requests[-1]
        assert [m["role"] for m in sent["messages"]][-6:] == ["assistant", *["tool"] * 4, "user"]
        assert images_of(sent) == [one, other, one]
        assert all(set(m) == {"role", "tool_call_id", "content"} for m in sent["messages"][-5:-1])
        assert len(list((outputs / ws.id).iterdir())) == 2

    journal = b"".join(
        path.read_bytes() for path in tmp_path.glob("turnstone.db*") if path.is_file()
    )
    assert base64.b64encode(one)[:24] not in journal
    async with local_node(tmp_path, reads, vision=True, outputs=outputs) as node:
        await turn(node.host, ws.id, "go on")
        assert images_of(node.model.requests[-1]) == [one, other, one]


async def test_a_model_that_takes_none_is_told_what_the_image_is(tmp_path: Path) -> None:
    async with local_node(tmp_path, reads, outputs=tmp_path / "outputs") as node:
        (node.workspace / "a.png").write_bytes(png())
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, "a.png")
        [told] = results_of(node.model.requests[-1])
        assert "PNG image, 640 x 480 pixels" in told
        assert images_of(node.model.requests[-1]) == []
    assert not (tmp_path / "outputs" / ws.id).exists()


@pytest.mark.parametrize(
    "data",
    [png(MAX_SIDE + 1), png(0), png(more=bytes(MAX_IMAGE)), b"BM" + bytes(16) + bytes(8)],
    ids=["too many pixels", "none", "too many bytes", "a kind that models do not take"],
)
async def test_an_image_beyond_the_limits_is_told_and_not_sent(tmp_path: Path, data: bytes) -> None:
    async with local_node(tmp_path, reads, vision=True, outputs=tmp_path / "outputs") as node:
        (node.workspace / "a.png").write_bytes(data)
        ws = await node.host.create(CreateWorkstream())
        await turn(node.host, ws.id, "a.png")
        assert images_of(node.model.requests[-1]) == []
        assert "It is not shown" in results_of(node.model.requests[-1])[0]


def result(*names: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "c", "content": "it", "images": list(names)}


async def test_only_the_latest_images_are_sent_and_the_others_told(tmp_path: Path) -> None:
    names = []
    for n in range(MAX_IMAGES + 1):
        names.append(f"w/image-{n:032x}.png")
        (tmp_path / "w").mkdir(exist_ok=True)
        (tmp_path / names[-1]).write_bytes(png(more=bytes([n])))

    sent = await with_images([result(*names)], tmp_path, takes=True)

    assert images_of({"messages": sent}) == [png(more=bytes([n + 1])) for n in range(MAX_IMAGES)]
    assert "only the latest are sent" in str(sent)


@pytest.mark.parametrize("name", ["w/image-" + "0" * 32 + ".png", "../secret", "w/secret", "/s"])
async def test_an_image_that_is_gone_or_named_otherwise_is_told_in_words(
    tmp_path: Path, name: str
) -> None:
    outputs = tmp_path / "outputs"
    (outputs / "w").mkdir(parents=True)
    for place in (tmp_path / "secret", outputs / "w" / "secret"):
        place.write_bytes(png())
    sent = await with_images([result(name)], outputs, takes=True)
    assert images_of({"messages": sent}) == []
    assert "not kept any more" in msgspec.json.encode(sent).decode()


async def test_another_model_that_takes_no_images_is_told_that_there_was_one(
    tmp_path: Path,
) -> None:
    sent = await with_images([result("w/x"), {"role": "user", "content": "go"}], None, takes=False)
    assert [message["role"] for message in sent] == ["tool", "user", "user"]
    assert "takes no images" in str(sent[1])
    assert "images" not in sent[0]


def test_an_image_counts_for_the_window() -> None:
    bare = tokens.of_message(result())
    assert tokens.of_message(result("w/a", "w/b")) >= bare + 2_000

"""Files that go with a message, over every way to a node: the model is sent them, a reader sees."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.hosts import Told, either, read
from turnstone.core import events as ev
from turnstone.core.errors import CorrelationIdUsed, InvalidRequest, UnknownImage
from turnstone.core.host import Accepted, Attachment, CreateWorkstream, Host, SendMessage


def png(more: bytes = b"") -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 3, 2) + more


CAT = Attachment(name="cat.png", media_type="image/jpeg", data=png())
NOTES = Attachment(name="notes.md", text="a ``` fence\n")


@pytest.fixture
def model() -> Told:
    return Told()


@pytest.fixture
def vision() -> bool:
    return True


@pytest.fixture(params=["local", "http"])
async def host(
    request: pytest.FixtureRequest, tmp_path: Path, model: Told, vision: bool
) -> AsyncIterator[Host]:
    outputs = tmp_path / "outputs"
    async with either(request.param, tmp_path, model, vision=vision, outputs=outputs) as host:
        yield host


async def asked(host: Host, model: Told, *files: Attachment, message: str = "look") -> Any:
    """What the model is sent of a message with these files; and the workstream."""
    sent: list[Any] = []
    plan = model.plan

    def keeps(body: dict[str, Any]) -> Any:
        sent.append(body["messages"][-1]["content"])
        return plan(body | {"messages": [{"role": "user", "content": "go"}]})

    model.plan = keeps
    ws = await host.create(CreateWorkstream())
    await host.send(SendMessage(ws_id=ws.id, message=message, attachments=list(files)))
    await read(host, ws.id, ev.TurnEnded, ev.EventId(1))
    return sent[0], ws.id


async def send(host: Host, ws_id: str, *files: Attachment) -> Accepted:
    return await host.send(
        SendMessage(ws_id=ws_id, message="go", correlation_id="c1", attachments=list(files))
    )


async def history(host: Host, ws_id: str) -> list[ev.HistoryMessage]:
    [*_, told] = await read(host, ws_id, ev.History)
    assert isinstance(told, ev.History)
    return told.messages


async def test_a_model_is_sent_the_files_and_a_reader_sees_them_after(
    host: Host, model: Told
) -> None:
    content, ws_id = await asked(host, model, CAT, NOTES)

    words, image = content
    assert words["text"] == (
        "look\n\nImage `cat.png` is attached.\n\nFile `notes.md`:\n````md\na ``` fence\n````"
    )
    url = image["image_url"]["url"]
    assert base64.b64decode(url.removeprefix("data:image/png;base64,")) == png()

    first = (await history(host, ws_id))[0]
    assert first.content == "look"
    cat, notes = first.shown.attachments
    assert (cat.name, cat.media_type, cat.size, cat.text) == (
        "cat.png",
        "image/png",
        len(png()),
        "",
    )
    assert (notes.name, notes.text, notes.image) == ("notes.md", "a ``` fence\n", "")
    kept = await host.image(*cat.image.split("/"))
    assert (kept.media_type, kept.data) == ("image/png", png())


async def test_a_message_without_a_text_is_called_as_its_files_are(host: Host, model: Told) -> None:
    _, ws_id = await asked(host, model, CAT, NOTES, message=" ")
    assert (await history(host, ws_id))[0].content == "cat.png, notes.md"


@pytest.mark.parametrize("vision", [False])
async def test_a_model_that_takes_no_images_is_not_sent_the_message(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    with pytest.raises(InvalidRequest, match=r"attachments\[1\]: .* takes no images"):
        await send(host, ws.id, NOTES, CAT)
    assert not await host.knows(ws.id, "c1")


async def test_what_cannot_be_sent_is_refused_by_the_name_of_its_field(host: Host) -> None:
    ws = await host.create(CreateWorkstream())
    with pytest.raises(InvalidRequest, match=r"^attachments\[1\]\.data: it is no"):
        await send(host, ws.id, NOTES, Attachment(data=b"<svg/>"))
    assert not await host.knows(ws.id, "c1")


async def test_the_same_message_again_is_a_duplicate_and_with_other_files_another(
    host: Host,
) -> None:
    ws, other = await host.create(CreateWorkstream()), await host.create(CreateWorkstream())
    assert not (await send(host, ws.id, CAT)).duplicate
    assert (await send(host, ws.id, CAT)).duplicate
    assert (await send(host, other.id, CAT)).duplicate
    for files in ([], [NOTES], [Attachment(name="cat.png", data=png(b"other"))]):
        with pytest.raises(CorrelationIdUsed):
            await send(host, ws.id, *files)


async def test_an_image_that_is_not_there_is_unknown_and_goes_with_its_workstream(
    host: Host, model: Told
) -> None:
    _, ws_id = await asked(host, model, CAT)
    [cat] = (await history(host, ws_id))[0].shown.attachments
    _, _, name = cat.image.partition("/")
    for wrong in ((ws_id, "image-" + "0" * 32 + ".png"), ("elsewhere", name), (ws_id, "secret")):
        with pytest.raises(UnknownImage):
            await host.image(*wrong)
    await host.close(ws_id)
    assert (await host.image(ws_id, name)).data == png()
    await host.erase(ws_id)
    with pytest.raises(UnknownImage):
        await host.image(ws_id, name)

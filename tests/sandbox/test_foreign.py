"""What reads foreign pages and PDFs runs in the sandbox: it reads them, and reaches nothing else."""

from __future__ import annotations

import io
import json
import socket
import sys
import tempfile
import textwrap
from pathlib import Path

import pypdf
import pytest

from turnstone.core.sandbox import Level, Sandbox
from turnstone.sandbox import find_sandbox
from turnstone.tools.foreign import MAX_TEXT, ForeignReader, Found, TookTooLong

_PAGE = {"task": "page", "charset": "", "whole": True, "url": "https://e.example/"}
_PDF = {"task": "pdf", "first": 1, "count": None, "room": 10_000}


@pytest.fixture(params=[Level.L3, Level.L2], ids=lambda level: level.name)
async def confined(request: pytest.FixtureRequest) -> Sandbox:
    sandbox = await find_sandbox(levels=[request.param])
    if sandbox.confinement.level is not request.param:
        pytest.skip(f"{request.param.name} does not hold here")
    return sandbox


async def read(
    reader: ForeignReader, task: dict[str, object], data: bytes, seconds: float = 30
) -> Found:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        return await reader.read(task, file, seconds)


async def test_pages_and_pdfs_are_read_inside_as_they_are_outside(confined: Sandbox) -> None:
    html = "<title>Tea</title><p>Ł \N{GRINNING FACE} \\ <b>2</b></p>".encode()
    task = {**_PAGE, "kind": "html", "max_text": MAX_TEXT}
    found = await read(ForeignReader(confined), task, html)
    assert found == await read(ForeignReader(), task, html)
    assert "Title: Tea" in found.text
    assert "\N{GRINNING FACE}" in found.text

    writer, file = pypdf.PdfWriter(), io.BytesIO()
    writer.add_blank_page(72, 72)
    writer.write(file)
    assert await read(ForeignReader(confined), _PDF, file.getvalue()) == Found(pages=1, texts=[""])


async def test_a_long_page_is_read_inside_without_a_part_missing(confined: Sandbox) -> None:
    text = "\0é" * (MAX_TEXT // 2)
    task = {**_PAGE, "kind": "text", "max_text": MAX_TEXT}
    assert (await read(ForeignReader(confined), task, text.encode())).text == text


async def test_what_takes_too_long_inside_is_given_up(confined: Sandbox) -> None:
    slow = b"a" * 1_000_000 + b"-" + b"b" * 1_000_000  # of a decoder that takes a square of time
    task = {**_PAGE, "kind": "text", "charset": "punycode", "max_text": MAX_TEXT}
    with pytest.raises(TookTooLong):
        await read(ForeignReader(confined), task, slow, 1)


#: A package in the place of the one that reads PDFs: what an attacker has made of it by a page.
_TAKEN_OVER = """
    import json, os, socket

    def tried(attempt):
        try:
            return attempt() or True
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def connect():
        socket.create_connection(("127.0.0.1", PORT), 5).close()

    def dial():
        with socket.socket(socket.AF_UNIX) as dialled:
            dialled.connect(SOCKET)

    class PdfReader:
        is_encrypted = False

        def __init__(self, file):
            self.pages = [self]

        def extract_text(self):
            return json.dumps({
                "secret": tried(lambda: open(SECRET).read()),
                "write": tried(lambda: os.close(os.open(SECRET, os.O_WRONLY | os.O_TRUNC))),
                "connect": tried(connect),
                "dial": tried(dial),
            })
"""


async def attacked(reader_of: Sandbox | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    secret, package = folder / "secret.txt", folder / "packages" / "pypdf"
    secret.write_text("c4nary")
    package.mkdir(parents=True, exist_ok=True)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as other,
        tempfile.TemporaryDirectory() as place,  # a short path: the kernel takes 107 bytes
    ):
        path = Path(place, "s")
        other.bind(str(path))
        other.listen()
        values = {"PORT": server.getsockname()[1], "SOCKET": str(path), "SECRET": str(secret)}
        said = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        (package / "__init__.py").write_text(said + textwrap.dedent(_TAKEN_OVER))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(package.parent))
            patch.delitem(sys.modules, "pypdf")
            reader = ForeignReader(reader_of)
        found = await read(reader, _PDF, b"%PDF-1.4")
    assert len(found.texts) == 1, found
    return found.texts[0]


async def test_code_that_a_page_has_taken_over_reaches_nothing(
    confined: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = json.loads(await attacked(None, tmp_path, monkeypatch))
    assert outside["connect"] is outside["dial"] is True, "the attack does not work at all"
    assert outside["secret"] == "c4nary"
    assert outside["write"] is True

    inside = json.loads(await attacked(confined, tmp_path, monkeypatch))
    assert not [name for name, came in inside.items() if came is True or came == "c4nary"], inside
    assert (tmp_path / "secret.txt").read_text() == "c4nary"

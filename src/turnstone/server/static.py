"""The files of the browser's side: those that the package has, and nothing else by any path.

They are found and read once, when this is imported; what is asked for is looked up in that
list, and never on the disk. Writes nothing.
"""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from turnstone.api.problems import UnknownPath
from turnstone.server import encoding

ROOT: Final = Path(__file__).resolve().parents[1] / "web"

#: What each kind of file is sent as. A file of another kind is not served.
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}

#: Kinds that are compressed already.
_DENSE: Final = frozenset({"image/x-icon", "image/png", "font/woff2"})


class File:
    """One file, as an answer: whole, a part of it, or that it has not changed."""

    def __init__(self, content: bytes, kind: str, changed: float, *, status: int = 200) -> None:
        self._content = content
        self._kind = kind
        self._changed = int(changed)
        self._status = status
        self.etag = encoding.etag_of(content)

    def with_status(self, status: int) -> File:
        """The same page, as the answer to something that was refused."""
        return File(self._content, self._kind, self._changed, status=status)

    @cached_property
    def _packed(self) -> bytes | None:
        if self._kind in _DENSE or len(self._content) < encoding.WORTH:
            return None
        return encoding.compressed(self._content)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(Headers(scope=scope))(scope, receive, send)

    def _answer(self, headers: Headers) -> Response:
        gzip_etag = f'{self.etag[:-1]}-gz"'
        told = {
            "ETag": self.etag,
            "Last-Modified": formatdate(self._changed, usegmt=True),
            "Accept-Ranges": "bytes",
            # Asked for again each time, and then mostly unchanged: a new version is seen at once.
            "Cache-Control": "no-cache" if self._status == 200 else "no-store",
        }
        if self._packed is not None or self._kind.startswith("text/html"):
            told["Vary"] = "Accept-Encoding, Cookie" if "html" in self._kind else "Accept-Encoding"
        if self._status == 200 and self._unchanged(headers, (self.etag, gzip_etag)):
            return Response(status_code=304, headers=told)
        try:
            part = self._part(headers)
        except encoding.NoSuchRange:
            told["Content-Range"] = f"bytes */{len(self._content)}"
            return Response(status_code=416, headers=told)
        if part is not None:
            told["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{len(self._content)}"
            return Response(self._content[slice(*part)], 206, told, self._kind)
        if self._packed is not None and encoding.accepts_gzip(headers.get("accept-encoding", "")):
            told |= {"ETag": gzip_etag, "Content-Encoding": "gzip"}
            return Response(self._packed, self._status, told, self._kind)
        return Response(self._content, self._status, told, self._kind)

    def _unchanged(self, headers: Headers, etags: tuple[str, ...]) -> bool:
        if (named := headers.get("if-none-match")) is not None:
            return encoding.names_one(named, etags)
        try:
            since = parsedate_to_datetime(headers.get("if-modified-since", ""))
            return self._changed <= since.timestamp()
        except (ValueError, OverflowError):
            return False

    def _part(self, headers: Headers) -> tuple[int, int] | None:
        """Raises NoSuchRange. A range of another version (`If-Range`) is passed over."""
        given = headers.get("range", "")
        if not given or self._status != 200 or headers.get("if-range", self.etag) != self.etag:
            return None
        return encoding.part_of(given, len(self._content))


def find(path: str) -> File:
    """The file at this path below `/static/`. Raises UnknownPath."""
    found = FILES.get(path)
    if found is None:
        raise UnknownPath(
            f"There is nothing at /static/{path}.", hint="The page of the node names its files."
        )
    return found


def _files() -> dict[str, File]:
    return {
        path.relative_to(ROOT).as_posix(): File(
            path.read_bytes(), TYPES[path.suffix], path.stat().st_mtime
        )
        for path in sorted(ROOT.rglob("*"))
        if path.suffix in TYPES and path.is_file() and not path.is_symlink()
    }


FILES: Final = _files()

#: The page of whoever is signed in, and that of whoever is not.
HOME, LOGIN = FILES["node/index.html"], FILES["node/login.html"]

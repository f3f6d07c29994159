"""Which kinds of content can be read as text, by what the server calls them. Pure."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["html", "text", "pdf", "unknown"]
"""`unknown`: the server does not say; what is there decides."""

_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_PDF: Final = frozenset({"application/pdf", "application/x-pdf"})
_TEXT: Final = frozenset(
    (
        "application/json application/xml application/javascript application/ecmascript "
        "application/yaml application/x-yaml application/toml application/x-ndjson "
        "application/jsonl application/x-sh application/sql application/rtf application/x-tex"
    ).split()
)
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)


def kind_of(content_type: str) -> tuple[Kind | None, str]:
    """What a Content-Type announces, and its charset; None: nothing that holds text."""
    media = content_type.partition(";")[0].strip().lower()
    found = _CHARSET.search(content_type)
    return _kind(media), found[1] if found else ""


def _kind(media: str) -> Kind | None:
    if not media:
        return "unknown"
    if media in _HTML:
        return "html"
    if media in _PDF:
        return "pdf"
    if media in _TEXT or media.startswith("text/") or media.endswith(("+json", "+xml")):
        return "text"
    return None

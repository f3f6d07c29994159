"""The log: one form for all lines, what each is about, and no secrets in them.

A request and a turn say once what they are about (`about`), and every line that is written in
their course has those ids, here or in a library. Ids are words of others: they are cut, and
masked as the text is. Writes nothing itself.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal, TypeAlias

from turnstone.core.masking import Masking

Form: TypeAlias = Literal["text", "json"]

#: Characters of an id that are shown; ours are shorter.
_LONGEST = 128

_PLAIN = re.compile(r"[A-Za-z0-9._:@-]+")

#: What would end a line, or write to a terminal. Tabs stay.
_CONTROLS = {n: f"\\x{n:02x}" for n in (*range(9), *range(10, 32), *range(127, 160))}
_CONTROLS |= {10: "\\n", 13: "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029"}

_NOTHING: Mapping[str, str] = MappingProxyType({})
_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("turnstone_log_about", default=_NOTHING)


def about(*, request_id: str = "", ws_id: str = "", correlation_id: str = "") -> None:
    """What lines are about from here on, in this task and in those that it starts."""
    ids = {"request_id": request_id, "ws_id": ws_id, "correlation_id": correlation_id}
    _ABOUT.set({name: _shown(value) for name, value in ids.items() if value})


def about_also(*, ws_id: str = "", correlation_id: str = "") -> None:
    """The same, beside what it was before."""
    ids = {"ws_id": ws_id, "correlation_id": correlation_id}
    _ABOUT.set({**_ABOUT.get(), **{name: _shown(one) for name, one in ids.items() if one}})


def request_id() -> str:
    """Of the request in whose course this is asked; empty outside of one."""
    return _ABOUT.get().get("request_id", "")


def log_as(form: Form, level: int = logging.WARNING) -> None:
    """Write the log of this process to standard error, in this form, in place of one before.

    Does nothing where whoever runs us writes it himself.
    """
    formatter = JsonLines() if form == "json" else TextLines()
    root = logging.getLogger()
    if not root.handlers:
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(formatter)
        root.addHandler(handler)
        root.setLevel(level)
    for handler in root.handlers:
        if isinstance(handler.formatter, TextLines | JsonLines):
            handler.setFormatter(formatter)


class TextLines(logging.Formatter):
    """`LEVEL logger: text [ws_id=…]`; a traceback stands below."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (of logging)
        line = super().formatMessage(record).translate(_CONTROLS)
        ids = " ".join(
            f"{name}={value if _PLAIN.fullmatch(value) else json.dumps(value)}"
            for name, value in _ids(record).items()
        )
        return f"{line} [{ids}]" if ids else line


class JsonLines(logging.Formatter):
    """One object a line: `time` (UTC), `level`, `logger`, `message`, the ids, and `exception`
    with the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(record),
        }
        trace = record.exc_text or (
            self.formatException(record.exc_info) if record.exc_info else ""
        )
        if trace:
            line["exception"] = trace
        return json.dumps(line)


class MaskingFilter(logging.Filter):
    """Masks a record's text, with its traceback and ids, before any handler writes it."""

    def __init__(self, masking: Masking) -> None:
        super().__init__()
        self._masking = masking

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._masking.text(record.getMessage())
        record.args = ()
        record.about = {name: self._masking.text(value) for name, value in _ids(record).items()}
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._masking.text(record.exc_text)
        return True


def mask_logs(masking: Masking) -> None:
    """From now on; in place of what was masked before."""
    for handler in logging.getLogger().handlers:
        for former in [one for one in handler.filters if isinstance(one, MaskingFilter)]:
            handler.removeFilter(former)
        handler.addFilter(MaskingFilter(masking))


def _ids(record: logging.LogRecord) -> Mapping[str, str]:
    found: Mapping[str, str] = getattr(record, "about", None) or _ABOUT.get()
    return found


def _shown(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"

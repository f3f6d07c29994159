"""Records as models and as the text of session files; no files here.

A class path inside a file is never imported: what is not one of this package's own classes
stays a plain dict, and that is said once for a file.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from oturn.model import CompactRecord, Message, ToolMessageContent, UserContent
from oturn.session_format import SessionFormatError
from oturn.session_format_read import StoredRecord
from oturn.session_format_write import layout_of, write_record

#: What a session file may hold.
Item: TypeAlias = BaseModel | dict[str, Any]
TemplateFunc: TypeAlias = Callable[[Any], str]

_OURS = {
    f"pydantic:{cls.__module__}.{cls.__qualname__}": cls
    for cls in (Message, CompactRecord, UserContent, ToolMessageContent)
}
_log = logging.getLogger(__name__)


def write_item(item: Item, template_func: TemplateFunc | None = None, template: str = "") -> str:
    """The text of one record. Its own layout goes before `template_func`, that before `template`.

    Raises TypeError for what is neither a pydantic model nor a dict.
    """
    if not isinstance(item, BaseModel | dict):
        raise TypeError(
            f"a session keeps pydantic models and dicts, and a {type(item).__name__} is neither"
        )
    otherwise = (template_func(item) if template_func is not None else "") or template
    layout = layout_of(item, otherwise)
    data = copy.deepcopy(item) if isinstance(item, dict) else item.model_dump(warnings=False)
    return write_record(_kind(item), data, layout)


def revive(stored: Iterable[StoredRecord], file: Path) -> list[Any]:
    """The records as our own models, and as dicts what has no type, or a type that is not ours.

    Raises SessionFormatError for values that a model refuses.
    """
    foreign: dict[str, int] = {}
    records = []
    for record in stored:
        if record.kind not in _OURS and record.kind.startswith("pydantic:"):
            foreign.setdefault(record.kind.partition(":")[2], record.line)
        records.append(_revived(record, file))
    if foreign:
        _log.warning(
            "%s: records of other classes stay plain dicts, and nothing is imported: %s",
            file,
            ", ".join(f"{name} (line {line})" for name, line in foreign.items()),
        )
    return records


def _revived(record: StoredRecord, file: Path) -> Any:
    model = _OURS.get(record.kind)
    if model is None:
        return record.data
    try:
        return model.model_validate(record.data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the record"
        reason = f"{where} of the record that begins here: {first['msg']}"
        raise SessionFormatError(reason, record.line, str(file)) from None
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise SessionFormatError(str(error), record.line, str(file)) from None


def _kind(item: Item) -> str:
    """The type as files name it: of ours where the class derives from one, so that it comes
    back as what the conversation needs."""
    if isinstance(item, dict):
        return "json"
    names = [f"pydantic:{cls.__module__}.{cls.__qualname__}" for cls in type(item).__mro__]
    return next((name for name in names if name in _OURS), names[0])

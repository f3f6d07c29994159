"""Writes the reference of all public names from signatures and docstrings. Says nothing itself.

    python tests/api_reference.py docs/api.md

A name is public when it is in `__all__` of its module or, without one, is defined there and
does not begin with an underscore. Of a docstring the first paragraph is shown.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from pydantic import BaseModel

#: The modules that programs import from, and those that one reads to write a host or a transport.
MODULES = """
oturn.runtime oturn.runtime_config oturn.context oturn.model oturn.nucleus
oturn.events oturn.tools.base oturn.tools.precheck oturn.tools.examples oturn.remote_tools
oturn.mcp_adapter oturn.session_store oturn.errors oturn.transport.base oturn.transport.openai
oturn.transport.client oturn.transport.retry oturn.transport.choose oturn.transport.litellm
oturn.transport.scripted oturn.transport.echo oturn.transport.chaotic oturn.tool_runtime
oturn.tool_runtime_utils oturn.turn oturn.signals oturn.effects oturn.driver
oturn.agent_stream_state
""".split()
HEAD = """\
# Every name

Made from signatures and docstrings by `python tests/api_reference.py docs/api.md`. What is shown at
the top level of the package (`from oturn import …`): {names}.
"""
#: Defaults that are longer than this are shown as `…`.
LONGEST_DEFAULT = 40


def page() -> str:
    top = importlib.import_module("oturn")
    names = ", ".join(f"`{name}`" for name in sorted(top.__all__, key=str.lower))
    parts = [HEAD.format(names=names)]
    for name in MODULES:
        parts += _module(importlib.import_module(name))
    return "\n".join(parts)


def _module(module: ModuleType) -> Iterator[str]:
    yield f"## `{module.__name__}`\n"
    yield _first_paragraph(module.__doc__) + "\n"
    plain = []
    for name, value in _public(module):
        if inspect.isclass(value):
            yield from _class(name, value)
        elif isinstance(value, FunctionType):
            yield from _described(name, _call(name, value), value)
        else:
            plain.append(f"`{name}`")
    if plain:
        yield f"Also here: {', '.join(plain)}.\n"


def _public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    listed = getattr(module, "__all__", None)
    for name, value in sorted(vars(module).items(), key=lambda item: item[0].lower()):
        if listed is not None:
            if name in listed:
                yield name, value
        elif not name.startswith("_") and _is_of(module, name, value):
            yield name, value


def _is_of(module: ModuleType, name: str, value: object) -> bool:
    if inspect.isclass(value) or isinstance(value, FunctionType):
        return value.__module__ == module.__name__
    assigned = rf"^{re.escape(name)}\b[^=\n]*="
    return re.search(assigned, inspect.getsource(module), re.MULTILINE) is not None


def _class(name: str, made: type) -> Iterator[str]:
    yield from _described(name, name + _of_class(made), made)
    lines = []
    for member, value in vars(made).items():
        if member.startswith("_") and member != "_request_choice":
            continue
        if isinstance(value, property):
            lines.append(_member(f"`{member}`", value.fget))
        else:
            function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if isinstance(function, FunctionType):
                lines.append(_member(f"`{_call(member, function)}`", function))
    if lines:
        yield "\n".join(lines) + "\n"


def _described(name: str, shown: str, value: object) -> Iterator[str]:
    yield f"### {name}\n"
    if shown != name:
        yield f"`{shown}`\n"
    text = _own_paragraph(value)
    if text:
        yield text + "\n"


def _member(shown: str, value: object) -> str:
    text = _own_paragraph(value)
    return f"- {shown}" + (f": {text}" if text else "")


def _of_class(made: type) -> str:
    if issubclass(made, BaseModel):
        fields = made.model_fields.items()
        shown = [_parameter(n, made.__annotations__.get(n, ""), f.get_default()) for n, f in fields]
        return f"(*, {', '.join(shown)})"
    if issubclass(made, Enum):
        return ": " + ", ".join(str(member.value) for member in made)
    if getattr(made, "_is_protocol", False):
        return ""
    if dataclasses.is_dataclass(made) or "__init__" in vars(made):
        return _signature(made.__init__)
    if issubclass(made, dict):  # a TypedDict
        return ": " + ", ".join(made.__annotations__)
    return ""


def _call(name: str, function: FunctionType) -> str:
    waits = inspect.iscoroutinefunction(function)
    return ("async " if waits else "") + name + _signature(function)


def _signature(function: Any) -> str:
    parts, starred, empty = [], False, inspect.Parameter.empty
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in {"self", "cls"}:
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        shown = str(parameter.replace(annotation=empty, default=empty))  # with its stars
        starred = starred or parameter.kind is inspect.Parameter.VAR_POSITIONAL
        parts.append(_parameter(shown, parameter.annotation, parameter.default))
    gives = inspect.signature(function).return_annotation
    known = gives is not inspect.Signature.empty and function.__name__ != "__init__"
    return f"({', '.join(parts)})" + (f" -> {gives}" if known else "")


def _parameter(name: str, annotation: object, default: object) -> str:
    typed = "" if annotation in ("", inspect.Parameter.empty) else f": {annotation}"
    if default is inspect.Parameter.empty or type(default).__name__ == "PydanticUndefinedType":
        return f"{name}{typed}"
    return f"{name}{typed} = {_shown(default)}"


def _shown(default: object) -> str:
    if isinstance(default, Enum):
        return str(default)
    name = getattr(default, "__qualname__", None)
    text = name if isinstance(name, str) else repr(default)
    return text if len(text) <= LONGEST_DEFAULT and " at 0x" not in text else "…"


def _own_paragraph(value: Any) -> str:
    """Without what dataclasses write by themselves, and without what is inherited."""
    text = getattr(value, "__doc__", None)
    if text and text.startswith(f"{getattr(value, '__name__', '')}("):
        return ""
    return _first_paragraph(text)


def _first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), "utf-8")

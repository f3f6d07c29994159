"""Reads the tool calls that models write as text, form by form. Pure; runs no code.

The forms are those of the published chat templates: Hermes 2 Pro and Qwen (`<tool_call>` with
an object, in either order of keys), Qwen3-Coder (`<function=…><parameter=…>`), Llama 3.1 to 3.3
(`<|python_tag|>`, a bare object with `parameters`, `<function=…>{…}</function>`), Llama 3.2 and
4 (a list of Python calls), Mistral (`[TOOL_CALLS]` before a list, or before name and `[ARGS]`),
Qwen2.5-Coder (an object in a json fence).

What is not whole is still a call if its tool is known: its arguments come out as they were
written, and `arguments` repairs them or says what is wrong.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from oturn.text_call_marks import Form

Tools: TypeAlias = Mapping[str, Mapping[str, Any]]
"""The tools of a request: by name, the JSON schema of their arguments."""


@dataclass(frozen=True, slots=True)
class TextCall:
    """`arguments` is the text of an object, or what the model wrote in its place."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Block:
    """Calls, and the place in the text where what they were written in ends."""

    end: int
    calls: list[TextCall]


class _NoCall(Exception):
    """What stands here calls nothing that is known."""


def read_block(form: Form, text: str, at: int, tools: Tools, *, cut: bool) -> Block | None:
    """The calls that begin at this place, in this form; None if it is text after all.

    `cut`: the answer was cut off, so that it may end anywhere.
    """
    try:
        return _READERS[form](_Text(text, at + len(form.value), tools, cut))
    except (_NoCall, RecursionError):  # JSON may be nested deeper than Python likes
        return None


class _Text:
    """A place in an answer that has ended."""

    def __init__(self, text: str, at: int, tools: Tools, cut: bool) -> None:
        self.text = text
        self.at = at
        self.tools = tools
        self.cut = cut

    def looking_at(self, *literals: str) -> bool:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text.startswith(literals, self.at)

    def passed(self, *literals: str) -> bool:
        """Go behind one of these, if it stands here."""
        found = next((x for x in literals if self.looking_at(x)), None)
        self.at += len(found or "")
        return found is not None

    def until(self, *literals: str) -> str:
        """The text up to the first of these, or to the end; the place moves there."""
        places = [self.text.find(literal, self.at) for literal in literals]
        stop = min((place for place in places if place >= 0), default=len(self.text))
        part, self.at = self.text[self.at : stop], stop
        return part

    def value(self) -> Any:
        """The JSON value here. Raises ValueError where there is none; the place stays then."""
        self.looking_at("")
        try:
            value, self.at = _DECODER.raw_decode(self.text, self.at)
        except RecursionError as problem:
            raise ValueError("too deep") from problem
        return value

    def objects(self, *, marked: bool) -> list[TextCall]:
        """Calls as objects or lists of them, one behind another. Raises as `value` does."""
        calls = _calls_of(self.value(), self.tools, marked)
        while self.looking_at("{", "[{", ",", ";"):
            self.passed(",", ";")
            calls += _calls_of(self.value(), self.tools, marked)
        return calls


def _tagged(here: _Text) -> Block:
    if here.looking_at(Form.FUNCTION.value):
        calls: list[TextCall] = []
        while here.passed(Form.FUNCTION.value):
            calls.append(_one_function(here))
        here.passed(_END_OF_CALL)
        return Block(here.at, calls)
    start = here.at
    try:
        calls = here.objects(marked=True)
    except ValueError:
        here.at = start
        calls = [_broken_object(here.until(_END_OF_CALL, Form.TAGGED.value), here.tools)]
    left_over = _LEFT_OVER.match(here.text, here.at)
    return Block(left_over.end() if left_over else here.at, calls)


def _function(here: _Text) -> Block:
    calls = [_one_function(here)]
    return Block(here.at, calls)


def _one_function(here: _Text) -> TextCall:
    name = here.until(">").strip()
    schema = here.tools.get(name)
    if schema is None or not here.passed(">"):
        raise _NoCall
    in_json = here.looking_at("{")
    return TextCall(name, _object_of(here) if in_json else _parameters_of(here, schema))


def _object_of(here: _Text) -> str:
    start = here.at
    try:
        here.value()
        whole = here.looking_at(_END_OF_FUNCTION, "<") or here.at == len(here.text)
    except ValueError:
        whole = False
    if not whole:
        here.at = start
        here.until(_END_OF_FUNCTION)
    arguments = here.text[start : here.at].strip()
    here.passed(_END_OF_FUNCTION)
    return arguments


def _parameters_of(here: _Text, schema: Mapping[str, Any]) -> str:
    declared = schema.get("properties")
    types: Mapping[str, Any] = declared if isinstance(declared, Mapping) else {}
    arguments: dict[str, Any] = {}
    while here.passed(_PARAMETER):
        key = here.until(">").strip()
        here.at += 1
        text = here.until(_END_OF_PARAMETER, f"\n{_PARAMETER}", _END_OF_FUNCTION)
        here.passed(_END_OF_PARAMETER)
        arguments[key] = _typed(text.removeprefix("\n").removesuffix("\n"), types.get(key))
    written = json.dumps(arguments, ensure_ascii=False)
    # Without its end there may be more to it: so the object has no end, either.
    return written if here.passed(_END_OF_FUNCTION) else written[:-1]


def _typed(text: str, schema: object) -> Any:
    """A value that was written without quotes, as what the tool's schema says it is."""
    kinds = _kinds(schema)
    if not kinds or "string" in kinds:
        return text
    try:
        return json.loads(_PYTHON_WORDS.get(text.strip(), text), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _kinds(schema: object) -> set[str]:
    if not isinstance(schema, Mapping):
        return set()
    told = schema.get("type")
    listed = told if isinstance(told, list) else [told]
    kinds = {kind for kind in listed if isinstance(kind, str)}
    for choice in schema.get("anyOf") or schema.get("oneOf") or ():
        kinds |= _kinds(choice)
    return kinds


def _python_tag(here: _Text) -> Block:
    start = here.at
    try:
        calls = here.objects(marked=True)
    except ValueError:
        here.at = start
        calls = [_broken_object(here.until(*_END_TOKENS), here.tools)]
    here.passed(*_END_TOKENS)
    return Block(here.at, calls)


def _mistral(here: _Text) -> Block:
    if here.looking_at("[", "{"):
        start = here.at
        try:
            calls = here.objects(marked=True)
        except ValueError:
            here.at = start
            calls = [_broken_object(here.until(Form.MISTRAL.value), here.tools)]
        return Block(here.at, calls)
    calls = [_named(here)]
    while here.passed(Form.MISTRAL.value) or _name_at(here):
        calls.append(_named(here))
    return Block(here.at, calls)


def _name_at(here: _Text) -> re.Match[str] | None:
    named = _NAMED.match(here.text, here.at)
    return named if named and named[1] in here.tools else None


def _named(here: _Text) -> TextCall:
    named = _name_at(here)
    if not named:
        raise _NoCall
    start = here.at = named.end()
    try:
        here.value()
        return TextCall(named[1], here.text[start : here.at])
    except ValueError:
        return TextCall(named[1], here.until(Form.MISTRAL.value).strip())


def _fenced(here: _Text) -> Block:
    here.until("\n")
    start = here.at
    try:
        calls = here.objects(marked=False)
        if not here.passed("```") and here.at < len(here.text):
            raise _NoCall
    except ValueError:
        here.at = start
        calls = [_broken_object(here.until("\n```"), here.tools)]
        here.passed("```")
    return Block(here.at, calls)


def _whole(here: _Text) -> Block:
    end = len(here.text)
    start = here.at
    try:
        calls = here.objects(marked=False)
        if here.looking_at("") and here.at < end:
            raise _NoCall
    except ValueError as problem:
        rest = here.text[start:].strip()
        if rest.startswith("[") and not rest[1:].lstrip().startswith("{"):
            return Block(end, _python_calls(rest, here.tools))
        if not here.cut and rest[-1:] not in _LAST_OF_OBJECT:
            raise _NoCall from problem
        calls = [_broken_object(rest, here.tools)]
    return Block(end, calls)


def _calls_of(value: Any, tools: Tools, marked: bool) -> list[TextCall]:
    """The calls that an object stands for. Without a mark before it, it must be nothing else:
    a description of a tool has a name and parameters, too."""
    if isinstance(value, list) and value:
        return [call for element in value for call in _calls_of(element, tools, marked)]
    if not isinstance(value, dict):
        raise _NoCall
    if isinstance(value.get("function"), dict):
        return _calls_of(value["function"], tools, marked)
    name = value.get("name", value.get("function"))
    key = next((key for key in ("arguments", "parameters") if key in value), None)
    if not isinstance(name, str) or name not in tools:
        raise _NoCall
    if not marked and (key is None or value.keys() - _KEYS_OF_A_CALL):
        raise _NoCall
    arguments = value[key] if key else {}
    if not isinstance(arguments, str):
        arguments = json.dumps({} if arguments is None else arguments, ensure_ascii=False)
    return [TextCall(name, arguments)]


def _broken_object(text: str, tools: Tools) -> TextCall:
    """A call from an object that is no JSON: its name, and the arguments as they stand there."""
    found = _BROKEN.match(text)
    if not found or found["name"] not in tools:
        raise _NoCall
    arguments = found["arguments"].rstrip()
    try:
        value, end = _DECODER.raw_decode(arguments)
        if not arguments[end:].strip("}] \t\r\n"):  # what is broken lies around them
            return TextCall(found["name"], value if isinstance(value, str) else arguments[:end])
    except (ValueError, RecursionError):
        pass
    for closer in (*("]" if found["list"] else ""), "}", *("}" if found["inner"] else "")):
        arguments = arguments.removesuffix(closer).rstrip()
    return TextCall(found["name"], arguments)


def _python_calls(text: str, tools: Tools) -> list[TextCall]:
    """The calls of `[name(key=value), …]`. The text is parsed as Python, and never run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise _NoCall from problem
    if not isinstance(tree.body, ast.List) or not tree.body.elts:
        raise _NoCall
    return [_python_call(node, tools) for node in tree.body.elts]


def _python_call(node: ast.expr, tools: Tools) -> TextCall:
    name = _dotted(node.func) if isinstance(node, ast.Call) else ""
    if not isinstance(node, ast.Call) or name not in tools:
        raise _NoCall
    try:
        if node.args or not all(word.arg for word in node.keywords):
            return TextCall(name, ast.unparse(node))  # nobody can say which argument is which
        words = _JsonWords()
        values = {str(w.arg): ast.literal_eval(words.visit(w.value)) for w in node.keywords}
        return TextCall(name, json.dumps(values, ensure_ascii=False, allow_nan=False))
    except (ValueError, TypeError, MemoryError):
        return TextCall(name, ast.unparse(node))


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


class _JsonWords(ast.NodeTransformer):
    """Models write `true`, `false` and `null` in Python, too."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        words = {"true": True, "false": False, "null": None}
        return ast.Constant(words[node.id]) if node.id in words else node


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_END_OF_CALL = "</tool_call>"
_END_OF_FUNCTION = "</function>"
_PARAMETER = "<parameter="
_END_OF_PARAMETER = "</parameter>"
_END_TOKENS = ("<|eom_id|>", "<|eot_id|>")

_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}
_KEYS_OF_A_CALL = {"type", "id", "name", "function", "arguments", "parameters"}
_LAST_OF_OBJECT = ("}", "]", '"')

_LEFT_OVER = re.compile(r"[}\]\s]*</tool_call>")
_NAMED = re.compile(r"\s*([^\s\[{]+)(?:\[CALL_ID\]\w*)?\s*(?:\[ARGS\])?\s*(?=\{)")
_BROKEN = re.compile(
    r"""\s*(?P<list>\[)?\s*\{\s*
    (?:["'](?:type|id)["']\s*:\s*["'][^"']*["']\s*,\s*)*
    (?P<inner>["']function["']\s*:\s*\{\s*)?
    ["'](?:name|function)["']\s*:\s*["'](?P<name>[^"']*)["']\s*,\s*
    ["'](?:arguments|parameters)["']\s*:\s*(?P<arguments>.*)""",
    re.DOTALL | re.VERBOSE,
)

_READERS = {
    Form.TAGGED: _tagged,
    Form.FUNCTION: _function,
    Form.PYTHON_TAG: _python_tag,
    Form.MISTRAL: _mistral,
    Form.FENCED: _fenced,
    Form.WHOLE: _whole,
}

"""`LiteLLMTransport` and the prewarm functions, against a stand-in for the package `litellm`.

That the real one takes and gives what the stand-in does is tried in the contract suite, where
it is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_session import Session, config
from oturn import Oturn
from oturn.errors import ConfigError
from oturn.llm_transport import LiteLLMTransport
from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    StreamItem,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from test_litellm_events import CALLS, USAGE, WORDS, chunk

STAND_IN = '''
"""Answers with what `answers` holds, and keeps what it was asked in `asked`."""
asked, answers, closed = [], [], []

class Stream:
    def __init__(self, chunks):
        self._chunks = iter(chunks)
    def __aiter__(self):
        return self
    async def __anext__(self):
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            return chunk
        raise StopAsyncIteration
    async def aclose(self):
        closed.append(self)

async def acompletion(**arguments):
    asked.append(arguments)
    answer = answers.pop(0)
    if "logger_fn" in arguments:
        arguments["logger_fn"]({"api_key": "sk-secret", "original_response": "raw sk-secret"})
    if isinstance(answer, Exception):
        raise answer
    return Stream(answer) if arguments["stream"] else answer
'''
SAID = [{"role": "user", "content": "hi"}]
REQUEST = ModelRequest("cohere/command", SAID, params={"temperature": 0.5})


@pytest.fixture
def litellm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The `main` of a stand-in that is imported in place of LiteLLM."""
    write_stand_in(tmp_path)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "as it was")
    with without_litellm(), monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        yield importlib.import_module("litellm.main")


@contextlib.contextmanager
def without_litellm() -> Iterator[None]:
    """As if LiteLLM had not been imported yet; what is imported inside is forgotten behind it."""
    kept = {name: sys.modules.pop(name) for name in imported()}
    try:
        yield
    finally:
        for name in imported():
            del sys.modules[name]
        sys.modules.update(kept)


def imported() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "litellm"]


@pytest.fixture
def no_litellm() -> Iterator[None]:
    """As if it were not installed."""
    with without_litellm(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "litellm", None)
        yield


def write_stand_in(folder: Path, init: str = "") -> None:
    (folder / "litellm").mkdir()
    (folder / "litellm" / "__init__.py").write_text(init)
    (folder / "litellm" / "main.py").write_text(STAND_IN)


class ProviderError(Exception):
    """An exception as LiteLLM makes them: with a status, and a name of its own."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status


class APIConnectionError(ProviderError):
    pass


class ContextWindowExceededError(ProviderError):
    pass


class Dumped:
    """An answer as LiteLLM gives it: an object that can be dumped, its usage beside its fields."""

    def __init__(self, value: dict[str, Any], usage: object = None) -> None:
        self._value = value
        self.usage = usage

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return self._value


async def all_of(stream: Any) -> list[Any]:
    return [item async for item in stream]


def transport(**settings: Any) -> LiteLLMTransport:
    return LiteLLMTransport(model="cohere/command", **settings)


async def test_a_whole_answer_is_asked_for_with_the_arguments_of_the_contract(
    litellm: Any,
) -> None:
    litellm.answers.append({"id": "1"})
    made = transport(
        max_tokens=10,
        temperature=1,
        api_base="https://x/v1?a=1",
        api_key="k",
        extra_headers={"X-A": "b"},
        extra_query_params={"c": "2"},
    )
    assert await made.acreate(SAID, tools=[], tool_choice="auto", seed=3) == {"id": "1"}
    assert litellm.asked == [
        {
            "model": "cohere/command",
            "messages": SAID,
            "timeout": 60.0,
            "drop_params": True,
            "tools": [],
            "tool_choice": "auto",
            "seed": 3,
            "max_tokens": 10,
            "temperature": 1.0,
            "api_base": "https://x/v1?a=1&c=2",
            "api_key": "k",
            "extra_headers": {"X-A": "b"},
            "stream": False,
        }
    ]


async def test_what_comes_later_replaces_what_came_before(litellm: Any) -> None:
    litellm.answers.append({})
    body = {"max_tokens": 3, "model": "other", "extra_body": {"deep": 1}, "api_key": "ignored"}
    await transport(max_tokens=10, api_key="k", extra_body=body).acreate(SAID, max_tokens=5)
    (asked,) = litellm.asked
    assert (asked["model"], asked["max_tokens"], asked["api_key"]) == ("other", 3, "k")
    assert asked["extra_body"] == {"deep": 1}
    assert asked.keys().isdisjoint({"tools", "tool_choice", "api_base", "extra_headers"})


@pytest.mark.parametrize(
    ("answer", "given"),
    [(Dumped({"id": "2"}), {"id": "2"}), ("odd", {"raw": "odd"}), ({"id": "3"}, {"id": "3"})],
)
async def test_a_whole_answer_is_given_as_a_dict(litellm: Any, answer: Any, given: Any) -> None:
    litellm.answers.append(answer)
    assert await transport().acreate(SAID) == given


async def test_a_stream_gives_normalised_events_and_asks_at_its_first_item(litellm: Any) -> None:
    litellm.answers.append([Dumped(one) for one in CALLS])
    events = await transport().acreate(SAID, stream=True, tool_stream=True)
    assert litellm.asked == []
    kinds = [event["type"] for event in await all_of(events)]
    assert kinds == ["tool_call_delta"] * 3 + ["tool_calls_done", "assistant_done"]
    (asked,) = litellm.asked
    assert (asked["stream"], asked["stream_options"]) == (True, {"include_usage": True})
    assert len(litellm.closed) == 1


async def test_a_request_becomes_items_with_usage_and_an_ending(litellm: Any) -> None:
    litellm.answers.append([*WORDS[:-1], Dumped(chunk({}), Dumped(USAGE))])
    items = await all_of(transport(max_tokens=7, temperature=0.1).stream(REQUEST))
    assert "".join(i.text for i in items if isinstance(i, TextDelta)) == "Hello, you."
    assert items[-2:] == [UsageReport(USAGE), Finished("stop", "m")]
    (asked,) = litellm.asked
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == (REQUEST.model, 7, 0.5)
    assert "tools" not in asked


async def test_tool_calls_become_items(litellm: Any) -> None:
    litellm.answers.append(CALLS)
    tools = [{"type": "function", "function": {"name": "clock"}}]
    items = await all_of(transport().stream(ModelRequest("m", SAID, tools)))
    assert "".join(i.arguments or "" for i in items if isinstance(i, ToolCallDelta)) == (
        '{"zone": "UTC"}'
    )
    assert items[-1] == Finished("tool_calls", "m")
    assert litellm.asked[0]["tools"] == tools


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (ProviderError("no such key: sk-secret", 401), "auth"),
        (ProviderError("slow down", 429), "rate_limited"),
        (ProviderError("no such model", 404), "not_found"),
        (ProviderError("on fire", 500), "server"),
        (ProviderError("bad field", 400), "refused"),
        (ProviderError("gave up", 408), "timeout"),
        (ContextWindowExceededError("5000 tokens", 400), "too_long"),
        (APIConnectionError("no route", 500), "unreachable"),
        (ValueError("unknown provider"), "unreachable"),
    ],
)
async def test_a_refusal_is_a_value_with_a_kind_and_no_key(
    litellm: Any, problem: Exception, kind: str
) -> None:
    litellm.answers.append(problem)
    (item,) = await all_of(transport(api_key="sk-secret").stream(REQUEST))
    assert isinstance(item, Failed)
    assert item.error.kind == kind
    assert str(problem).replace("sk-secret", "[secret]") in item.error.message
    assert "'cohere/command'" in item.error.message


async def test_that_litellm_needs_mcp_for_tools_is_told_with_the_extra_that_has_it(
    litellm: Any,
) -> None:
    litellm.answers.append(APIConnectionError("OpenAIException - No module named 'mcp'", 500))
    (item,) = await all_of(transport().stream(REQUEST))
    assert isinstance(item, Failed)
    assert item.error.message.endswith('pip install "oturn[litellm]".')


async def test_a_stream_that_breaks_off_is_told_behind_what_came(litellm: Any) -> None:
    litellm.answers.append([*WORDS[:3], ProviderError("reset by peer", 503)])
    items: list[StreamItem] = await all_of(transport().stream(REQUEST))
    assert TextDelta("Hello, ") in items
    assert isinstance(items[-1], Failed)
    assert items[-1].error.kind == "broken"
    assert "reset by peer" in items[-1].error.message


async def test_a_stream_without_an_ending_is_broken(litellm: Any) -> None:
    litellm.answers.append(WORDS[:3])
    assert isinstance((await all_of(transport().stream(REQUEST)))[-1], Failed)


@pytest.mark.parametrize("what", ["items", "events"])
async def test_a_reader_that_leaves_closes_what_was_opened(litellm: Any, what: str) -> None:
    litellm.answers.append(WORDS)
    if what == "items":
        stream: Any = transport().stream(REQUEST)
    else:
        stream = await transport().acreate(SAID, stream=True)
    await anext(stream)
    assert litellm.closed == []
    await stream.aclose()
    assert len(litellm.closed) == 1


async def test_debugging_shows_what_is_asked_and_what_comes_without_keys(
    litellm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {
        "api_key": "sk-secret",
        "extra_headers": {"X-Api-Key": "hidden", "X-Room": "12"},
    }
    litellm.answers += [WORDS, WORDS, {}]
    await all_of(transport(**settings, debug_request=True, debug_sse=True).stream(REQUEST))
    stream = await transport(**settings).acreate(SAID, stream=True, debug=True, sse_debug=True)
    await all_of(stream)
    await transport().acreate(SAID, debug=True, api_key="sk-secret")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("litellm request: ") == 3
    assert err.count("litellm chunk: ") == 2 * len(WORDS)
    assert "Hello, " in err
    assert "raw [secret]" in err
    assert "'X-Room': '12'" in err
    assert "sk-secret" not in err
    assert "hidden" not in err
    assert all(asked["log_raw_request_response"] for asked in litellm.asked)


async def test_without_debugging_nothing_is_printed(
    litellm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    litellm.answers.append(WORDS)
    await all_of(transport(api_key="k").stream(REQUEST))
    assert capsys.readouterr() == ("", "")
    assert litellm.asked[0].keys().isdisjoint({"logger_fn", "log_raw_request_response"})


def test_an_api_base_that_is_no_url_is_told() -> None:
    with pytest.raises(ConfigError, match="is no URL"):
        transport(api_base="http://x:port", extra_query_params={"a": "b"})


@pytest.mark.usefixtures("no_litellm")
async def test_without_litellm_a_call_raises_a_runtime_error_that_names_the_extra() -> None:
    with pytest.raises(RuntimeError, match=r"not installed: pip install \"oturn\[litellm\]\""):
        await transport().acreate(SAID)
    (item,) = await all_of(transport().stream(REQUEST))
    assert isinstance(item, Failed)
    assert "not installed" in item.error.message


@pytest.mark.usefixtures("no_litellm")
async def test_without_litellm_an_agent_tells_it_in_an_error_event() -> None:
    agent = Oturn(Path.cwd(), config("cohere/command"), transport=transport())
    async with Session(agent) as session:
        *_, error, final = await session.ask()
    assert 'pip install "oturn[litellm]"' in error["error"]
    assert "traceback" not in error
    assert final["text"].startswith("Error: ")


async def test_the_import_does_not_hold_up_the_loop(litellm: Any, tmp_path: Path) -> None:
    """The package waits at its import for what only the running loop does."""
    sign = tmp_path / "sign"
    waits = f"import pathlib\nwhile not pathlib.Path({str(sign)!r}).exists():\n    pass\n"
    (tmp_path / "litellm" / "__init__.py").write_text(waits)
    with without_litellm():
        importlib.invalidate_caches()
        asked = asyncio.create_task(transport().acreate(SAID))
        await asyncio.sleep(0)
        sign.touch()
        with pytest.raises(IndexError):  # imported anew, the stand-in has no answers
            await asked


PREWARM = """
import os, sys, threading
from oturn import get_global_litellm_prewarm_error, start_global_litellm_prewarm
assert get_global_litellm_prewarm_error() is None
before = set(threading.enumerate())
print(start_global_litellm_prewarm(blocking={blocking}, timeout=20))
for thread in threading.enumerate():
    if thread not in before:
        print(thread.name, thread.daemon)
open({sign!r}, "w").close()
print(start_global_litellm_prewarm(blocking=True))
print(get_global_litellm_prewarm_error())
print(os.environ.get("LITELLM_LOCAL_MODEL_COST_MAP"))
print(getattr(sys.modules.get("litellm"), "suppress_debug_info", None))
"""


def prewarmed(tmp_path: Path, init: str, *, blocking: bool) -> list[str]:
    """What a fresh process prints that prewarms a stand-in with this `__init__.py`."""
    write_stand_in(tmp_path, init)
    code = PREWARM.format(blocking=blocking, sign=str(tmp_path / "sign"))
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    command = [sys.executable, "-c", path + code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    return done.stdout.splitlines()


def test_a_prewarm_imports_litellm_once_and_sets_its_switches(tmp_path: Path) -> None:
    count = "print('imported')"
    lines = prewarmed(tmp_path, count, blocking=True)
    assert lines == ["imported", "True", "True", "None", "true", "True"]


def test_a_prewarm_that_does_not_block_runs_in_a_daemon_thread(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    waits = f"import pathlib\nwhile not pathlib.Path({str(sign)!r}).exists():\n    pass\n"
    lines = prewarmed(tmp_path, waits, blocking=False)
    assert lines == ["False", "oturn-litellm-prewarm True", "True", "None", "true", "True"]


def test_a_prewarm_that_fails_is_told_and_not_tried_again(tmp_path: Path) -> None:
    lines = prewarmed(tmp_path, "print('tried'); raise OSError('no disk')", blocking=True)
    assert lines == ["tried", "False", "False", "OSError: no disk", "true", "None"]

"""Which model is asked: by name, for a workstream and for what it is asked; never another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from modelserver import ModelServer, Reply, error, text
from modelserver.plans import echo
from modelserver.server import TRAINED, Make
from oturn.transport.scripted import ScriptedTransport
from support.nodes import local_host
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.budget import Price
from turnstone.core.config import load_settings
from turnstone.core.endpoint import connect, transport_to
from turnstone.core.errors import ConfigurationError, UnknownModel
from turnstone.core.host import CreateWorkstream
from turnstone.core.local_host import LocalHost
from turnstone.core.model_setup import set_up
from turnstone.core.models import Model, ModelRole, Models
from turnstone.core.summary import Summary


def models(roles: Mapping[ModelRole, str] | None = None) -> Models:
    nobody = ScriptedTransport([])
    names = ("default", "big", "small")
    default, *others = (Model(name, f"{name}-id", nobody) for name in names)
    return Models(default, others, roles)


def test_a_choice_for_the_workstream_comes_before_the_roles() -> None:
    plain, agent = Summary(), Summary(agent="task")
    none = models()
    assert none.of(plain).name == none.of(agent).name == none.of(plain, "title").name == "default"
    some = models({"chat": "big", "agent": "small", "title": "small"})
    assert some.of(plain).name == "big"
    assert some.of(agent).name == "small"
    assert some.of(Summary(model="default")).name == "default"
    assert some.of(Summary(model="default"), "title").name == "small"
    assert some.of(plain, "compaction").name == "big"
    assert none.of(Summary(model="big"), "agent").name == "big"


def test_a_name_that_nobody_set_is_told_with_those_that_are_there() -> None:
    with pytest.raises(UnknownModel, match="no model 'bgi' on this node; there are: default, big"):
        models().of(Summary(model="bgi"))
    with pytest.raises(UnknownModel, match="'none'"):
        models({"chat": "none"})
    assert models().window(Summary(model="bgi")) == 0
    assert models().shown(Summary(model="bgi")) == "bgi"


async def settings_of(folder: Path, base_url: str, more: str = "") -> Models:
    file = folder / "config.toml"
    file.write_text(f'[api]\nbase_url = "{base_url}"\napi_key = "right"\n{more}')
    file.chmod(0o600)
    settings = load_settings("turnstone", flags={"config": file}, env={}, home=folder, cwd=folder)
    return await set_up(settings, await connect(base_url, settings.api.api_key.reveal()))


@pytest.mark.parametrize(
    ("make", "window", "told"),
    [
        ("vllm", 4096, "context of 4,096 tokens, as its list of models says"),
        ("llama.cpp", 4096, "context of 4,096 tokens, as /props says"),
        ("ollama loaded", 4096, "context of 4,096 tokens, as /api/ps says"),
        ("ollama", 4096, "as /api/show says of the model; where the server gives it less"),
        ("lm studio", 4096, "as /api/v0/models says"),
        ("plain", 0, "context window unknown: set --context-window (see docs/howto/models.md)"),
    ],
)
async def test_the_window_is_found_on_servers_of_all_makes_or_said_to_be_unknown(
    tmp_path: Path, make: Make, window: int, told: str
) -> None:
    with ModelServer(echo, context_window=4096, make=make) as server:
        found = await settings_of(tmp_path, server.base_url)
        declared = await settings_of(
            tmp_path, server.base_url, "[model]\ncontext_window = 131072\n"
        )
        await found.aclose()
        await declared.aclose()
    assert found.default.context_window == window < TRAINED
    assert told in found.default.told
    assert found.default.fitted({"max_tokens": 9999})["max_tokens"] == (window // 2 or 9999)
    assert declared.default.context_window == 131_072
    assert "as the settings say" in declared.default.told


async def test_each_model_has_its_own_endpoint_key_window_and_price(tmp_path: Path) -> None:
    with (
        ModelServer(echo, model="one", api_key="right", context_window=4096) as first,
        ModelServer(echo, model="two", api_key="other", context_window=8192) as second,
    ):
        found = await settings_of(
            tmp_path,
            first.base_url,
            f'[models.big]\nmodel = "two"\nbase_url = "{second.base_url}"\napi_key = "other"\n'
            "price_input = 2\nprice_output = 8\nmax_concurrent = 3\n"
            '[models.twin]\nmodel = "one"\ncontext_window = 1000\nmax_concurrent = 5\n'
            '[roles]\nagent = "big"\n',
        )
        await found.aclose()
    default, big, twin = found
    assert (default.id, big.id, twin.id) == ("one", "two", "one")
    assert (default.context_window, big.context_window, twin.context_window) == (4096, 8192, 1000)
    assert big.price == Price(2, 8)
    assert big.price.of(1_000_000, 500_000) == 6.0
    assert twin.gate is default.gate is not big.gate
    here, there = found.health()
    assert (here.models, here.limit) == (["default", "twin"], 5)
    assert (there.models, there.limit) == (["big"], 3)


async def test_the_key_of_the_api_section_is_sent_to_no_other_endpoint(tmp_path: Path) -> None:
    with ModelServer(echo, api_key="right") as first, ModelServer(echo, api_key="right") as second:
        with pytest.raises(ConfigurationError, match=r"\[models.big\]: .* API key"):
            await settings_of(
                tmp_path,
                first.base_url,
                f'[models.big]\nmodel = "scripted-model"\nbase_url = "{second.base_url}"\n',
            )


async def test_mistakes_in_models_and_roles_are_told_at_the_start(tmp_path: Path) -> None:
    with ModelServer(echo, api_key="right") as server:
        with pytest.raises(ConfigurationError, match=r"\[roles\] chat names 'bgi' .*config.toml:5"):
            await settings_of(tmp_path, server.base_url, '[roles]\nchat = "bgi"\n')
        with pytest.raises(ConfigurationError, match=r"\[models.big\]: .* has no model 'x'"):
            await settings_of(tmp_path, server.base_url, '[models.big]\nmodel = "x"\n')


async def test_a_named_endpoint_that_is_down_keeps_nobody_from_starting(tmp_path: Path) -> None:
    down = '[models.big]\nmodel = "x"\nbase_url = "http://127.0.0.1:9/v1"\n'
    with ModelServer(echo, api_key="right") as server:
        found = await settings_of(tmp_path, server.base_url, down)
        await found.aclose()
    assert "nothing answers now" in found.named("big").told


def two(first: ModelServer, second: ModelServer | str, roles: Mapping[ModelRole, str]) -> Models:
    there = second if isinstance(second, str) else second.base_url
    return Models(
        Model("default", "one", transport_to(first.base_url), context_window=4096),
        [Model("big", "two", transport_to(there), context_window=8192)],
        roles,
    )


async def turn(host: LocalHost, ws_id: str) -> ev.TurnEnded:
    return await ending(host, ws_id, await send(host, ws_id, "hello"))


async def test_a_conversation_is_held_with_the_model_of_its_role(tmp_path: Path) -> None:
    with ModelServer(echo) as first, ModelServer(lambda _: text("big here")) as second:
        async with local_host(tmp_path, echo, models=two(first, second, {"chat": "big"})) as host:
            ws = await host.create(CreateWorkstream())
            assert (await turn(host, ws.id)).text == "big here"
            status = (await until(host, ws.id, ev.Status))[0]
    assert status.context_window == 8192
    assert [body["model"] for body in second.requests] == ["two"]
    assert first.requests == []


async def test_where_the_named_model_is_down_the_turn_fails_and_no_other_is_asked(
    tmp_path: Path,
) -> None:
    with ModelServer(echo) as first:
        choice = two(first, "http://127.0.0.1:9/v1", {"chat": "big"})
        async with local_host(tmp_path, echo, models=choice) as host:
            ws = await host.create(CreateWorkstream())
            ended = await turn(host, ws.id)
    assert ended.outcome == "failed"
    assert "Nothing answers at http://127.0.0.1:9" in ended.reason
    assert first.requests == []


async def test_a_model_that_the_settings_name_no_more_fails_the_turn_with_a_sentence(
    tmp_path: Path,
) -> None:
    with ModelServer(echo) as first:
        async with local_host(tmp_path, echo, models=two(first, first, {})) as host:
            ws = await host.create(CreateWorkstream())
            async with host._manager.use(ws.id) as workstream:
                await workstream._journal.append(ev.SettingsChanged(model="big"))
            await turn(host, ws.id)
        async with local_host(tmp_path, echo) as host:
            ended = await turn(host, ws.id)
            assert [info.id for info in await host.list()] == [ws.id]
    assert [body["model"] for body in first.requests] == ["two"]
    assert ended.outcome == "failed"
    assert "no model 'big' on this node; there are: default" in ended.reason


async def test_a_server_that_breaks_once_is_asked_again_by_the_transport(tmp_path: Path) -> None:
    answers: list[Reply] = [error(500, "a moment"), text("there")]
    async with local_host(tmp_path, lambda _: answers.pop(0)) as host:
        ws = await host.create(CreateWorkstream())
        assert (await turn(host, ws.id)).text == "there"

"""Mistakes that people make: each gets one clear sentence, what to do, and no traceback."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from modelserver import ModelServer, die_after, text
from modelserver.plans import echo
from support.processes import run, server

PROGRAMS = ["turnstone", "turnstone-server"]


def sentence(complaint: str) -> str:
    """The complaint, after the look that every one of them must stand."""
    assert complaint.strip(), "nothing was said"
    assert "Traceback" not in complaint
    assert len(complaint.strip().splitlines()) <= 4, complaint
    return complaint


def arguments(program: str) -> list[str]:
    return ["-p", "hello"] if program == "turnstone" else ["--port", "0"]


@pytest.mark.parametrize("program", PROGRAMS)
async def test_nothing_at_the_base_url(tmp_path: Path, program: str) -> None:
    code, _, err = await run(
        tmp_path, program, "--base-url", "http://127.0.0.1:9/v1", *arguments(program)
    )

    assert code == 1
    assert "http://127.0.0.1:9/v1" in sentence(err)
    assert "--base-url" in err


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_base_url_that_is_none(tmp_path: Path, program: str) -> None:
    code, _, err = await run(tmp_path, program, "--base-url", "localhost", *arguments(program))

    assert code != 0
    assert "http://" in sentence(err)


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_rule_that_is_none_is_told_with_its_place(tmp_path: Path, program: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[policy]\ndeny = ["raed_file(secrets/**)"]\n')
    with ModelServer(echo) as model:
        code, _, err = await run(
            tmp_path,
            program,
            "--config",
            str(file),
            "--base-url",
            model.base_url,
            *arguments(program),
        )

    assert code == 1
    assert "'raed_file'" in sentence(err)
    assert "own.toml:2" in err


async def test_a_model_that_the_endpoint_does_not_have(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        code, _, err = await run(
            tmp_path, "turnstone", "--base-url", model.base_url, "--model", "gpt-99", "-p", "hi"
        )

    assert code == 1
    assert "gpt-99" in sentence(err)
    assert "scripted-model" in err


async def test_a_model_server_that_dies_in_mid_stream(tmp_path: Path) -> None:
    with ModelServer(lambda body: die_after(text("never whole, " * 50), 5)) as model:
        code, _, err = await run(tmp_path, "turnstone", "--base-url", model.base_url, "-p", "hi")

    assert code == 1
    assert "broke" in sentence(err)


async def test_a_configuration_file_with_a_typo(tmp_path: Path) -> None:
    config = tmp_path / ".config/turnstone/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[api]\nbase_ur = "http://localhost:8000/v1"\n')

    code, _, err = await run(tmp_path, "turnstone-server")

    assert code != 0
    assert "base_ur" in sentence(err)
    assert "base_url" in err
    assert "config.toml" in err


async def test_a_second_server_on_the_same_store(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        asking = ["--base-url", model.base_url]
        async with server(tmp_path, *asking):
            code, _, err = await run(tmp_path, "turnstone-server", "--port", "0", *asking)

    assert code == 1
    assert "served by another turnstone process" in sentence(err)
    assert "--store" in err


async def test_a_second_server_on_the_same_port(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        asking = ["--base-url", model.base_url]
        async with server(tmp_path / "one", *asking) as first:
            port = first.url.rpartition(":")[2]
            code, _, err = await run(tmp_path / "two", "turnstone-server", "--port", port, *asking)

    assert code == 1
    assert port in sentence(err)
    assert "--port" in err


async def test_another_address_without_a_token_is_refused(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        code, _, err = await run(
            tmp_path,
            "turnstone-server",
            *["--base-url", model.base_url, "--host", "0.0.0.0", "--port", "0"],
            TURNSTONE_AUTH_ENABLED="0",
        )

    assert code == 1
    assert "0.0.0.0" in sentence(err)
    assert "token" in err


async def test_no_token_a_wrong_one_and_an_unknown_workstream(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        async with (
            server(tmp_path, "--base-url", model.base_url) as node,
            httpx2.AsyncClient(base_url=node.url) as client,
        ):
            good = {"authorization": f"Bearer {node.token}"}
            none = await client.get("/api/workstreams")
            wrong = await client.get("/api/workstreams", headers={"authorization": "Bearer x"})
            stream = await client.get("/api/events?ws_id=ffffffff", headers=good)
            unknown = await client.post(
                "/api/send", headers=good, json={"ws_id": "ffffffff", "message": "hi"}
            )

    assert [r.status_code for r in (none, wrong, stream, unknown)] == [401, 401, 404, 404]
    assert all(r.json()["error"] for r in (none, wrong, stream, unknown))
    assert "ffffffff" in unknown.json()["error"]


async def test_a_flag_that_does_not_exist(tmp_path: Path) -> None:
    code, _, err = await run(tmp_path, "turnstone-server", "--prot", "8081")

    assert code == 2
    assert "--prot" in err


@pytest.mark.parametrize("program", PROGRAMS)
async def test_every_program_tells_its_version(tmp_path: Path, program: str) -> None:
    code, out, _ = await run(tmp_path, program, "--version")

    assert code == 0
    assert out.startswith(program)


async def test_a_flag_without_effect_yet_says_so(tmp_path: Path) -> None:
    nobody = ["--server-url", "http://127.0.0.1:9", "--redis-port", "9", "--auth-token", "x"]
    code, _, err = await run(tmp_path, "turnstone-bridge", "--heartbeat-ttl", "90", *nobody)

    assert code == 1
    assert "bridge.heartbeat_ttl has no effect" in err.splitlines()[0]


async def test_one_message_is_one_request_as_the_flags_say(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        code, out, _ = await run(
            tmp_path,
            "turnstone",
            *["--base-url", model.base_url, "--reasoning-effort", "high", "-p", "hello"],
        )
        [asked] = model.requests  # and none for a title, which nobody would wait for

    assert (code, out.strip()) == (0, "hello")
    assert asked["reasoning_effort"] == "high"


async def test_a_store_in_the_workspace_is_refused(tmp_path: Path) -> None:
    with ModelServer(echo) as model:
        code, _, err = await run(
            tmp_path, "turnstone", "--base-url", model.base_url, "--store", "./s.db", "-p", "hello"
        )

    assert code == 1
    assert "lies in the workspace" in sentence(err)


async def test_a_store_on_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with ModelServer(echo) as model:
        asking = ["--base-url", model.base_url, "--workspace", str(tmp_path), "-p", "hello"]
        code, _, err = await run(
            tmp_path, "turnstone", "--store", str(tmp_path / "file" / "s.db"), *asking
        )

    assert code == 1
    assert "--store" in sentence(err)

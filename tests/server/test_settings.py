"""The settings of the program over HTTP: each with where it comes from, and no secret."""

from __future__ import annotations

from pathlib import Path

from support.servers import APPROVE, FULL, serving
from turnstone.core.config import load_settings
from turnstone.core.local_host import LocalHost

FILE = """
[model]
temperature = 0.25

[api]
api_key = "sk-a-secret-of-the-file"

[models.small]
model = "little"
api_key = "sk-a-secret-of-a-model"
"""


async def test_each_setting_is_told_with_its_source_and_secrets_are_masked(
    host: LocalHost, tmp_path: Path
) -> None:
    path = tmp_path / "turnstone.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    settings = load_settings(
        "turnstone-server",
        flags={"config": str(path), "server.port": 8123},
        env={"TURNSTONE_SESSION_INSTRUCTIONS": "Be brief.", "HOME": str(tmp_path)},
        home=tmp_path,
        cwd=tmp_path,
    )
    async with serving(host, settings=settings) as node, node.client(FULL) as client:
        answer = await client.get("/api/settings")

    told = answer.json()
    rows = {row["name"]: row for row in told["settings"]}
    assert (told["program"], told["file"]) == ("turnstone-server", str(path))
    sources = {
        name: (rows[name]["value"], rows[name]["source"], rows[name]["where"])
        for name in ("model.temperature", "server.port", "session.instructions")
    }
    assert sources == {
        "model.temperature": ("0.25", "file", f"{path}:3"),
        "server.port": ("8123", "command line", "--port"),
        "session.instructions": ('"Be brief."', "environment", "TURNSTONE_SESSION_INSTRUCTIONS"),
    }
    assert rows["model.max_tokens"]["source"] == "default"
    assert rows["api.api_key"]["secret"] and rows["models.small.api_key"]["secret"]
    assert all(row["meaning"] for row in rows.values())
    assert "sk-a-secret" not in answer.text


async def test_settings_are_for_full_tokens_alone(host: LocalHost) -> None:
    async with serving(host) as node, node.client(APPROVE) as client:
        refused = await client.get("/api/settings")

    assert (refused.status_code, refused.json()["code"]) == (403, "not_permitted")
    async with serving(host) as node, node.client(FULL) as client:
        assert (await client.get("/api/settings")).json()["settings"] == []

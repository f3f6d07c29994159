"""Which token goes to which node, and `turnstone attach` where nobody can type."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from turnstone.api.token import make_token
from turnstone.cli.reaching import host_at
from turnstone.core.config import load_settings
from turnstone.main import turnstone


@pytest.mark.parametrize(
    ("url", "given", "sent"),
    [
        ("http://127.0.0.1:8080", "", "kept"),
        ("http://localhost:8080", "", "kept"),
        ("http://[::1]:8080", "", "kept"),
        ("http://node.example.org:8080", "", None),
        ("http://127.0.0.1.example.org", "", None),
        ("http://node.example.org:8080", "a-token-of-mine", "a-token-of-mine"),
    ],
)
async def test_the_token_of_this_machine_stays_on_it(
    tmp_path: Path, url: str, given: str, sent: str | None
) -> None:
    kept = make_token(tmp_path)
    flags = {"store.path": str(tmp_path / "t.db"), "auth.token": given or None}
    settings = load_settings("turnstone attach", flags=flags, env={}, home=tmp_path)

    host = host_at(url, settings)

    shown = host._client.headers.get("authorization")
    await host.aclose()
    wanted = kept if sent == "kept" else sent
    assert shown == (f"Bearer {wanted}" if wanted else None)


def test_without_a_terminal_there_is_nothing_to_attach() -> None:
    done = CliRunner().invoke(turnstone, ["attach"])
    assert done.exit_code == 2
    assert "There is no terminal to type on" in done.output

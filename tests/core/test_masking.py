"""Secrets are taken out of text, however they are spelled and wherever the text is parted."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnstone.core.masking import MASK, SHORTEST, Masking, secrets_of

CANARY = "c4nary/Value+with=signs"

#: One key of each shape that is known; made up, every one.
SHAPED = [
    "sk-" + "a1B2" * 6,
    "sk-ant-api03-" + "x9Y8" * 8,
    "sk_live_" + "a1b2" * 6,
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "a1B2_" * 12,
    "glpat-" + "a1B2" * 6,
    "xoxb-" + "1234567890-abc",
    "xapp-1-" + "A1B2" * 6,
    "AKIA" + "A1B2" * 4,
    "AIza" + "a1B2-" * 7,
    "ya29." + "a1B2" * 8,
    "hf_" + "aBcD" * 9,
    "tvly-" + "a1B2" * 6,
    "npm_" + "a1B2" * 9,
    "pypi-" + "a1B2" * 15,
    "dop_v1_" + "a1b2" * 16,
    "SG." + "a1B2" * 5 + "." + "c3D4" * 5,
    "gsk_" + "a1B2" * 12,
    "nvapi-" + "a1B2" * 12,
    "eyJ" + "a1B2" * 4 + ".eyJ" + "c3D4" * 4 + "." + "e5F6" * 4,
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\naC1rZXk=\n-----END OPENSSH PRIVATE KEY-----",
]

ORDINARY = [
    "the task-force met at sk-8 o'clock",
    "git commit 0123456789abcdef0123456789abcdef01234567",
    "https://example.org/a/path?with=query#and-fragment",
    "user@example.org wrote to root@localhost:22",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "risk-assessment-of-the-whole-undertaking-in-detail",
    "password=",
]


@pytest.mark.parametrize("key", SHAPED, ids=lambda key: key[:10])
def test_a_key_of_a_known_make_is_masked_wherever_it_stands(key: str) -> None:
    for before, after in (("", ""), ("key: ", "\n"), ("'", "'"), ("TOKEN=", " x")):
        assert Masking().text(before + key + after) == before + MASK + after


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Masking([CANARY]).text(text) == text


def test_a_known_value_is_masked_in_every_spelling_that_programs_give_it() -> None:
    raw = CANARY.encode()
    masking = Masking([CANARY])
    spellings = [CANARY, raw.hex(), quote(CANARY, safe=""), json.dumps(CANARY)[1:-1]]
    for text in spellings:
        assert masking.text(f"<{text}>") == f"<{MASK}>"
    for offset in range(3):
        coded = base64.b64encode(b"x" * offset + raw + b"tail").decode()
        assert MASK in masking.text(coded)
        assert coded[6:-10] not in masking.text(coded)


def test_a_value_that_is_too_short_to_tell_from_a_word_is_not_masked() -> None:
    assert Masking(["root"]).text("root is here") == "root is here"
    assert Masking(["r" * SHORTEST]).text("r" * SHORTEST) == MASK


def test_a_password_in_an_address_is_masked_and_the_rest_stays() -> None:
    told = Masking().text("redis://user:hunter22@db.example.org:6379/0")
    assert told == f"redis://user:{MASK}@db.example.org:6379/0"


def test_secrets_of_an_environment_go_by_the_names_of_its_variables() -> None:
    environment = {
        "OPENAI_API_KEY": "k-123456789",
        "PGPASSWORD": "not found by its name alone",
        "DB_PASSWORD": "hunter2hunter2",
        "SSH_AUTH_SOCK": "/tmp/agent.1234",
        "TOKEN_LIMIT": "1000000000",
        "KEYBOARD": "qwertzqwertz",
        "HOME": "/a/place",
    }
    assert set(secrets_of(environment)) == {"k-123456789", "hunter2hunter2"}


pieces = st.lists(
    st.sampled_from([*SHAPED, CANARY, "pass word with blanks", "\n", " ", "text", "-", "ü", "="])
)


@given(pieces, st.lists(st.integers(1, 40), min_size=1))
@example([CANARY], [1])
def test_a_stream_shows_no_secret_however_it_is_cut(parts: list[str], sizes: list[int]) -> None:
    secrets = [CANARY, "pass word with blanks"]
    text, shown = "\n".join(parts), ""
    stream = Masking(secrets).stream()
    at = n = 0
    while at < len(text):
        size = sizes[n % len(sizes)]
        shown += stream.piece(text[at : at + size])
        at, n = at + size, n + 1
    shown += stream.rest()

    for secret in secrets:
        assert secret not in shown
    if len(text) < 4096:
        assert shown == Masking(secrets).text(text)
    if not any(secret in text for secret in [*SHAPED, *secrets]):
        assert shown == text


def test_a_stream_without_secrets_is_not_held_back_for_long() -> None:
    stream = Masking([CANARY]).stream()
    assert stream.piece("compiling\nlinking\n") == "compiling\nlinking\n"
    assert len(stream.piece("x" * 10_000)) > 5_000

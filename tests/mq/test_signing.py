"""Signatures of messages: what is taken, what is not, and what the sender is told."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.core.errors import ConfigurationError
from turnstone.mq.keys import CID_TTL
from turnstone.mq.signing import AHEAD, OLDEST, Key, Keyring, Untrusted, keyring, keyring_in

SECRET = "correct-horse-battery-staple"
OTHER = "another-secret-of-some-length"
NOW = 1_800_000_000.0
RING = Keyring([Key(SECRET.encode())])


def message(**fields: object) -> bytes:
    said = {"type": "send", "correlation_id": "c1", "timestamp": NOW, "message": "Grüße\u2028"}
    return json.dumps(said | fields).encode()


def why(raw: bytes, ring: Keyring = RING) -> str:
    with pytest.raises(Untrusted) as untrusted:
        ring.sender(raw, NOW)
    return str(untrusted.value)


def test_a_signature_can_be_made_from_the_page_alone() -> None:
    body = b'{"type": "health", "correlation_id": "c1", "timestamp": 1800000000, "key_id": "%s"}'
    body %= hmac.new(SECRET.encode(), b"turnstone key", hashlib.sha256).hexdigest()[:8].encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()

    raw = body[:-1] + b',"signature":"' + signature.encode() + b'" } \n'
    # What is signed ends where the comma before the signature is, and has its brace again.
    assert RING.sender(raw, NOW).key_id in body.decode()


@given(st.data())
def test_a_message_of_which_one_byte_is_changed_is_not_taken(data: st.DataObject) -> None:
    raw = bytearray(RING.signed(message()))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(Untrusted):
        RING.sender(bytes(raw), NOW)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_any_message_that_is_signed_is_taken_and_says_what_it_said(
    fields: dict[str, object],
) -> None:
    fields = {k: v for k, v in fields.items() if k not in {"signature", "key_id"}}
    raw = RING.signed(message(extra=fields))

    assert RING.sender(raw, NOW).role == "full"
    assert json.loads(raw)["extra"] == fields


def test_each_message_that_is_not_taken_says_why() -> None:
    signed = RING.signed(message())
    stranger = Keyring([Key(OTHER.encode())]).signed(message())

    assert "is not signed" in why(message())
    assert "last field" in why(json.dumps({**json.loads(signed), "more": 1}).encode())
    assert "does not have" in why(stranger)
    assert "not as it was" in why(signed.replace(b"send", b"sent"))
    assert "needs a correlation_id" in why(RING.signed(message(correlation_id="")))
    assert "needs a timestamp" in why(RING.signed(message(timestamp="now")))
    assert "71 hours ago" in why(RING.signed(message(timestamp=NOW - OLDEST - 1)))
    assert "in the future" in why(RING.signed(message(timestamp=NOW + AHEAD + 1)))
    assert "no JSON object" in why(b"[]")
    assert "no JSON object" in why(b"[" * 100_000)


@pytest.mark.parametrize("written", [NOW + AHEAD, NOW, NOW - OLDEST])
def test_a_message_is_too_old_before_its_id_is_forgotten_whatever_the_clock_of_its_sender(
    written: float,
) -> None:
    raw = RING.signed(message(timestamp=written))
    RING.sender(raw, NOW)

    # Also on a node whose clock is behind that of the one which took it first.
    with pytest.raises(Untrusted, match="hours ago"):
        RING.sender(raw, NOW + CID_TTL - AHEAD)


def test_a_field_that_is_put_before_a_signed_message_does_not_change_what_it_says() -> None:
    signed = RING.signed(message(ws_id="mine"))

    assert why(b'{"ws_id": "yours", ' + signed[1:])
    assert why(signed[:-1] + b', "signature": "' + b"0" * 64 + b'"}')


def test_secrets_are_changed_one_after_the_other_without_a_pause() -> None:
    both = keyring(OTHER, f"{SECRET}\n")
    assert both is not None

    assert both.sender(RING.signed(message()), NOW).key_id == Key(SECRET.encode()).key_id
    assert "does not have" in why(both.signed(message()))
    new = Keyring([Key(OTHER.encode())])
    assert new.sender(both.signed(message()), NOW).key_id == Key(OTHER.encode()).key_id


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("read", "health", "approve"),
        ("read", "list_timers", "send"),
        ("approve", "cancel", "command"),
        ("approve", "plan_feedback", "send"),
        ("full", "send", ""),
    ],
)
def test_a_secret_sends_what_its_role_permits(role: str, may: str, may_not: str) -> None:
    ring = keyring("", f"# for a dashboard\n\n{SECRET} {role}\n")
    assert ring is not None

    assert not ring.sender(ring.signed(message(type=may)), NOW).auto_approve
    if may_not:
        assert f"its role is {role}" in why(ring.signed(message(type=may_not)), ring)


def test_a_secret_alone_has_all_rights_and_one_with_a_role_those_that_are_named() -> None:
    for line, permits in ((SECRET, True), (f"{SECRET} full", False)):
        ring = keyring("", line)
        assert ring is not None
        assert ring.signer(ring.signed(message())).auto_approve is permits
    ring = keyring("", f"{SECRET} full auto_approve")
    assert ring is not None
    assert ring.signer(ring.signed(message())).auto_approve


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("short", "fewer than 16"),
        ("a secret with spaces", "fewer than 16"),
        (f"{OTHER} boss", "its role"),
        (f"{OTHER} full always", "its role"),
        (f"{OTHER} read auto_approve", "for secrets of the role full"),
    ],
)
def test_a_line_that_is_no_secret_is_named_and_the_secret_is_not(line: str, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="line 2") as refused:
        keyring("", f"\n{line}\n")

    assert wrong in str(refused.value)
    assert line not in str(refused.value)
    assert OTHER not in str(refused.value)


def test_a_file_of_secrets_must_be_there_be_ones_own_and_have_some(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        keyring_in("", str(file))
    file.write_text("\n")
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        keyring_in("", str(file))
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="has no secret"):
        keyring_in("", str(file))
    file.write_text("0123456789abcdef approve\n")
    ring = keyring_in("", str(file))
    assert ring is not None
    assert ring.signer(ring.signed(message())).role == "approve"
    assert keyring_in("", "") is None


def test_what_was_signed_for_one_queue_is_nothing_in_another_but_earlier_versions_are_taken() -> (
    None
):
    here, there = RING.of("here"), RING.of("there")
    signed = here.signed(message())

    assert here.sender(signed, NOW) == RING.sender(signed, NOW) == RING.first
    assert "another prefix" in why(signed, there)
    assert "another prefix" in why(RING.signed(message(prefix=1)), here)
    assert here.sender(RING.signed(message()), NOW).key_id == RING.first.key_id
    moved = signed.replace(b'"prefix": "here"', b'"prefix": "there"')
    assert moved != signed
    assert "not as it was" in why(moved, there)
    assert there.sender(there.signed(signed), NOW) == RING.first

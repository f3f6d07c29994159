"""Messages and events as they were once written, in files: read, and written again as the same
bytes. What is in a file is on the wires and in the queues of others, and never changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnstone.mq.protocol import InboundMessage, OutboundEvent, parse

GOLDEN = Path(__file__).parent / "golden"
MESSAGES = sorted(path.stem for path in GOLDEN.glob("message-*.json"))
EVENTS = sorted(path.stem for path in GOLDEN.glob("event-*.json"))


def text_of(name: str) -> str:
    return (GOLDEN / f"{name}.json").read_text(encoding="ascii").removesuffix("\n")


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_was_written_once_is_read_and_written_again_as_it_was(name: str) -> None:
    text = text_of(name)
    message = InboundMessage.from_json(text)
    assert message.to_json() == text
    assert parse(text.encode()) == message
    assert type(message) is InboundMessage.of_type(message.type)


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_that_was_written_once_is_read_and_written_again_as_it_was(name: str) -> None:
    text = text_of(name)
    event = OutboundEvent.from_json(text)
    assert event.to_json() == text
    assert type(event) is not OutboundEvent


def test_there_is_a_file_for_every_type() -> None:
    assert {name.split("-")[1] for name in MESSAGES} == set(InboundMessage.types())
    assert {name.split("-")[1] for name in EVENTS} == set(OutboundEvent._types)

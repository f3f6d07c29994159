"""The broker of the 0.2 API: its wire in Redis, and what it does better than 0.2 did."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from support.redis import RedisServer, redis_server
from turnstone.mq.broker import MessageBroker, RedisBroker
from turnstone.mq.protocol import ApproveMessage, ContentEvent, SendMessage

#: Seconds for a message that must come.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with server.client() as opened:
        opened.flushall()
        yield opened


@pytest.fixture
def broker(server: RedisServer, client: Any) -> Iterator[RedisBroker]:
    opened = RedisBroker("127.0.0.1", server.port)
    yield opened
    opened.close()


def test_it_is_a_message_broker(broker: RedisBroker) -> None:
    structural: MessageBroker = broker
    assert structural is broker


def test_messages_are_appended_to_the_lists_of_the_wire(broker: RedisBroker, client: Any) -> None:
    message = SendMessage(message="hi")
    broker.push_inbound(message)
    broker.push_inbound('{"type": "health"}', "n1")

    assert client.lrange("turnstone:inbound", 0, -1) == [message.to_json().encode()]
    assert client.lrange("turnstone:inbound:n1", 0, -1) == [b'{"type": "health"}']


def test_a_node_is_served_its_own_list_first(broker: RedisBroker) -> None:
    broker.push_inbound("shared")
    broker.push_inbound("directed", "n1")
    assert [broker.pop_inbound(1, "n1") for _ in range(2)] == ["directed", "shared"]
    assert broker.pop_inbound(0.01, "n1") is None


@pytest.mark.parametrize("name", ["r1", "turnstone:resp:r1"])
def test_an_answer_waits_for_its_reader_for_a_while(
    broker: RedisBroker, client: Any, name: str
) -> None:
    broker.push_response(name, ApproveMessage(request_id="r1"))
    assert 590 < client.ttl("turnstone:resp:r1") <= 600
    assert json.loads(broker.pop_response("r1", 1) or "")["request_id"] == "r1"
    assert broker.pop_response("r1", 0.01) is None


def test_owners_and_nodes_are_kept_where_others_look(broker: RedisBroker, client: Any) -> None:
    broker.set_ws_owner("w1", "n1")
    broker.register_node("n1", {"server_url": "http://n1"})
    client.set("turnstone:node:n[2]", "no json")

    assert broker.get_ws_owner("w1") == "n1"
    assert client.get("turnstone:ws:w1") == b"n1"
    assert client.ttl("turnstone:ws:w1") == -1
    assert 50 < client.ttl("turnstone:node:n1") <= 60
    assert sorted(broker.list_nodes(), key=lambda node: node["node_id"]) == [
        {"server_url": "http://n1", "node_id": "n1"},
        {"node_id": "n[2]"},
    ]
    broker.del_ws_owner("w1")
    assert broker.get_ws_owner("w1") is None


def test_two_callbacks_share_a_channel_and_one_may_end(broker: RedisBroker) -> None:
    first: queue.Queue[str] = queue.Queue()
    second: queue.Queue[str] = queue.Queue()
    broker.subscribe_outbound("ch", first.put)
    broker.subscribe_outbound("ch", second.put)

    broker.publish_outbound("ch", ContentEvent(text="one"))
    assert json.loads(first.get(timeout=PATIENCE))["text"] == "one"
    assert json.loads(second.get(timeout=PATIENCE))["text"] == "one"
    broker.unsubscribe_outbound("ch", first.put)
    broker.publish_outbound("ch", "two")

    assert second.get(timeout=PATIENCE) == "two"
    assert first.empty()


def test_a_callback_that_fails_ends_nothing(
    broker: RedisBroker, caplog: pytest.LogCaptureFixture
) -> None:
    heard: queue.Queue[str] = queue.Queue()

    def fail(text: str) -> None:
        raise RuntimeError(text)

    broker.subscribe_cluster(fail)
    broker.subscribe_cluster(heard.put)
    for text in ("one", "two"):
        broker.publish_outbound("turnstone:events:cluster", text)
    assert [heard.get(timeout=PATIENCE) for _ in range(2)] == ["one", "two"]
    assert "A callback on a channel of Redis failed." in caplog.messages


def publish_to_somebody(client: Any, channel: str, text: str) -> None:
    """Publish as soon as the channel has a subscriber, and then once."""
    deadline = time.monotonic() + PATIENCE
    while not client.publish(channel, text):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_callback_may_subscribe_a_channel_itself(broker: RedisBroker, client: Any) -> None:
    heard: queue.Queue[str] = queue.Queue()

    def follow(text: str) -> None:
        broker.subscribe_outbound(text, heard.put)

    broker.subscribe_outbound("global", follow)
    broker.publish_outbound("global", "ws1")
    publish_to_somebody(client, "ws1", "content")
    assert heard.get(timeout=PATIENCE) == "content"


def test_channels_are_heard_again_after_their_connection_was_cut(
    broker: RedisBroker, client: Any
) -> None:
    heard: queue.Queue[str] = queue.Queue()
    broker.subscribe_outbound("ch", heard.put)
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    publish_to_somebody(client, "ch", "back")
    assert heard.get(timeout=PATIENCE) == "back"


def test_a_redis_that_is_not_there_is_an_error_of_the_driver() -> None:
    broker = RedisBroker("127.0.0.1", 1)
    with pytest.raises(redis.ConnectionError):
        broker.push_inbound("x")
    broker.close()

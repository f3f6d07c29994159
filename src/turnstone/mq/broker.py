"""The queue as programs of 0.2 use it: `MessageBroker`, and `RedisBroker` on Redis. Synchronous.

It moves messages and events and knows nothing of leases: a message that is popped here is gone.
Turnstone's own workers use `RedisWork`, which loses none; this is for programs written against
the 0.2 API (contract, section 3.8), and speaks the same wire.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import redis

from turnstone.mq.connection import RedisAddress
from turnstone.mq.inbound import InboundMessage
from turnstone.mq.keys import NODE_TTL, RESPONSE_TTL, Keys
from turnstone.mq.listener import Listener
from turnstone.mq.outbound import OutboundEvent

#: A message as an object, or as the JSON that it is on the wire.
Message: TypeAlias = InboundMessage | str
Event: TypeAlias = OutboundEvent | str

#: What is called with the JSON of each message of a channel, on the broker's own thread.
Callback: TypeAlias = Callable[[str], None]


class MessageBroker(Protocol):
    """What a queue is to a program of 0.2. Times are in seconds; channels are whole names."""

    def push_inbound(self, message: Message, node_id: str = "") -> None:
        """Into the shared list, or into that of a node."""

    def pop_inbound(self, timeout: float = 0, node_id: str = "") -> str | None:
        """The next message: of the node first. Waits so long; 0 is for ever."""

    def publish_outbound(self, channel: str, event: Event) -> None: ...

    def subscribe_outbound(self, channel: str, callback: Callback) -> None:
        """Returns when the channel is subscribed. Several callbacks may share a channel."""

    def unsubscribe_outbound(self, channel: str, callback: Callback | None = None) -> None:
        """End one callback of the channel, or all."""

    def push_response(self, queue_name: str, message: Message) -> None:
        """Answer a question; `queue_name` is its request id."""

    def pop_response(self, queue_name: str, timeout: float = 300) -> str | None: ...

    def set_ws_owner(self, ws_id: str, node_id: str, ttl: int = 0) -> None: ...

    def get_ws_owner(self, ws_id: str) -> str | None: ...

    def del_ws_owner(self, ws_id: str) -> None: ...

    def register_node(self, node_id: str, metadata: dict[str, Any], ttl: int = NODE_TTL) -> None:
        """A heartbeat: the node counts as there for `ttl`."""

    def list_nodes(self) -> list[dict[str, Any]]:
        """What each node says of itself, and its `node_id`."""

    def subscribe_cluster(self, callback: Callback) -> None: ...

    def close(self) -> None: ...


class RedisBroker:
    """A `MessageBroker` on Redis. Errors of redis-py propagate, as they did in 0.2."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        prefix: str = "turnstone",
        password: str | None = None,
        response_ttl: int = RESPONSE_TTL,
    ) -> None:
        self.keys = Keys(prefix)
        self.address = RedisAddress(host=host, port=port, db=db, password=password)
        self._response_ttl = response_ttl
        # Waits have their own time limit; the driver's default of 5 s would cut them off.
        self._redis: Any = redis.Redis(
            host=host,
            port=port,
            db=db,
            password=password,
            decode_responses=True,
            socket_timeout=None,
        )
        self._listener = Listener(self._redis)

    def push_inbound(self, message: Message, node_id: str = "") -> None:
        name = self.keys.inbound_of(node_id) if node_id else self.keys.inbound
        self._redis.rpush(name, _json(message))

    def pop_inbound(self, timeout: float = 0, node_id: str = "") -> str | None:
        lists = [self.keys.inbound_of(node_id)] if node_id else []
        return self._pop([*lists, self.keys.inbound], timeout)

    def publish_outbound(self, channel: str, event: Event) -> None:
        self._redis.publish(channel, _json(event))

    def subscribe_outbound(self, channel: str, callback: Callback) -> None:
        self._listener.add(channel, callback)

    def unsubscribe_outbound(self, channel: str, callback: Callback | None = None) -> None:
        self._listener.remove(channel, callback)

    def push_response(self, queue_name: str, message: Message) -> None:
        name = self._responses(queue_name)
        with self._redis.pipeline() as together:
            together.rpush(name, _json(message))
            together.expire(name, self._response_ttl)
            together.execute()

    def pop_response(self, queue_name: str, timeout: float = 300) -> str | None:
        return self._pop([self._responses(queue_name)], timeout)

    def set_ws_owner(self, ws_id: str, node_id: str, ttl: int = 0) -> None:
        self._redis.set(self.keys.owner(ws_id), node_id, ex=ttl or None)

    def get_ws_owner(self, ws_id: str) -> str | None:
        owner: str | None = self._redis.get(self.keys.owner(ws_id))
        return owner

    def del_ws_owner(self, ws_id: str) -> None:
        self._redis.delete(self.keys.owner(ws_id))

    def register_node(self, node_id: str, metadata: dict[str, Any], ttl: int = NODE_TTL) -> None:
        self._redis.set(self.keys.node(node_id), json.dumps(metadata), ex=ttl)

    def list_nodes(self) -> list[dict[str, Any]]:
        prefix = self.keys.node("")
        found = []
        for name in self._redis.scan_iter(match=self.keys.pattern(prefix) + "*", count=100):
            text = self._redis.get(name)
            if text is not None:
                found.append({**_metadata(text), "node_id": name[len(prefix) :]})
        return found

    def subscribe_cluster(self, callback: Callback) -> None:
        self._listener.add(self.keys.events_cluster, callback)

    def close(self) -> None:
        """Idempotent. Callbacks end; the one that runs is waited for."""
        self._listener.close()
        self._redis.close()

    def _pop(self, names: list[str], timeout: float) -> str | None:
        found = self._redis.blpop(names, timeout)
        return None if found is None else str(found[1])

    def _responses(self, name: str) -> str:
        """The list of a question, named by its request id or by the whole name."""
        whole = name.startswith(self.keys.responses(""))
        return name if whole else self.keys.responses(name)


def _json(message: InboundMessage | OutboundEvent | str) -> str:
    return message if isinstance(message, str) else message.to_json()


def _metadata(text: str) -> dict[str, Any]:
    try:
        metadata = json.loads(text)
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}

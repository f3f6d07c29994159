"""Channels of Redis, heard on one thread: several callbacks for each, across broken connections.

It loses what is published while its connection is down: channels keep nothing. A callback that
raises is logged, and ends neither the thread nor the other callbacks.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Any

import redis

logger = logging.getLogger(__name__)

#: Seconds for which one look at the connection waits, and so the time that `close` may take.
_LOOK = 0.1

#: Seconds for a subscription to be confirmed.
_PATIENCE = 10.0

#: Seconds before the first attempt to connect again, and at most between two.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Listener:
    """The subscriptions of one client. Its thread starts with the first of them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Condition()
        self._callbacks: dict[str, list[Callable[[str], None]]] = {}
        self._confirmed: set[str] = set()
        self._pubsub: Any = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def add(self, channel: str, callback: Callable[[str], None]) -> None:
        """Returns when the channel is subscribed; called by a callback, at once. Raises
        redis.ConnectionError, also if that is not confirmed in time."""
        with self._lock:
            self._callbacks.setdefault(channel, []).append(callback)
            try:
                self._subscribe(channel)
            except redis.RedisError:
                self._callbacks[channel].remove(callback)
                raise

    def remove(self, channel: str, callback: Callable[[str], None] | None = None) -> None:
        """End one callback of the channel, or all. Nothing happens if it was not there."""
        with self._lock:
            found = self._callbacks.pop(channel, [])
            left = [one for one in found if callback is not None and one != callback]
            if left:
                self._callbacks[channel] = left
            elif found:
                self._confirmed.discard(channel)
                self._pubsub.unsubscribe(channel)

    def close(self) -> None:
        """End the thread and wait for it, unless a callback is what closes. Idempotent."""
        self._closed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        if self._pubsub is not None:
            self._pubsub.close()

    def _subscribe(self, channel: str) -> None:
        if self._pubsub is None:
            self._pubsub = self._client.pubsub()
        if channel not in self._confirmed:
            self._pubsub.subscribe(channel)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._listen, name="turnstone-listener", daemon=True
            )
            self._thread.start()
        if self._thread is threading.current_thread():
            return  # it is this thread that would hear the confirmation
        if not self._lock.wait_for(lambda: channel in self._confirmed, _PATIENCE):
            raise redis.ConnectionError(f"Redis did not confirm the channel {channel}.")

    def _listen(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closed.is_set():
            try:
                message = self._pubsub.get_message(timeout=_LOOK)
            except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
                logger.warning("The channels of Redis are not heard for now: %s", error)
                # Not secrecy, but that many listeners do not come back in one moment.
                self._closed.wait(random.uniform(pause / 2, pause))  # noqa: S311
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                if message is not None:
                    self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        if message["type"] == "subscribe":
            with self._lock:
                self._confirmed.add(channel)
                self._lock.notify_all()
        elif message["type"] == "message":
            with self._lock:
                callbacks = list(self._callbacks.get(channel, ()))
            for callback in callbacks:
                self._tell(callback, message["data"])

    def _tell(self, callback: Callable[[str], None], text: str) -> None:
        try:
            callback(text)
        except Exception:
            logger.exception("A callback on a channel of Redis failed.")

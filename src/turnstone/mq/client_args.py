"""What a program gives a client, looked at before anything is sent: each mistake in one sentence.

Also its callbacks: what they raise is logged once, and never ends what they listen to.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, Literal, TypeAlias

from turnstone.api.http_host import HttpHost
from turnstone.core.errors import ConfigurationError
from turnstone.mq import protocol as p
from turnstone.mq.broker import RedisBroker
from turnstone.mq.check import check_prefix
from turnstone.mq.client_line import Line
from turnstone.mq.client_node import NodeLine
from turnstone.mq.client_queue import QueueLine
from turnstone.mq.client_wire import encoded
from turnstone.mq.connection import RedisAddress
from turnstone.mq.entry import NAME
from turnstone.mq.labels import LABELS_WANTED, requirement
from turnstone.mq.signing import Keyring, keyring

log = logging.getLogger(__name__)

#: Seconds that `send_and_wait` waits for an answer, if nobody says otherwise.
TIMEOUT = 600.0

#: An argument of `RedisBroker`; for a client the wire's own time holds.
_UNUSED = "response_ttl"

#: What becomes of a message whose node is unknown or gone: its sender is told, or any node has it.
IfUnavailable: TypeAlias = Literal["error", "any"]

_REDIS = [field.name for field in fields(RedisAddress) if field.name != "by_arguments"]


def line_to(
    broker: object,
    prefix: str,
    url: str,
    token: str | None,
    redis: dict[str, Any],
    signing_secret: str = "",
) -> Line:
    """The way that a client's arguments name. Raises TypeError for those that name none or two."""
    unknown = sorted(redis.keys() - {*_REDIS, _UNUSED})
    if unknown:
        raise TypeError(
            f"A client has no argument {_listed(unknown)}. For Redis it takes {_listed(_REDIS)};"
            " for one node url and token."
        )
    if signing_secret and (url or isinstance(broker, str)):
        raise TypeError("signing_secret is for Redis: a node is given a token.")
    ring = _keyring(signing_secret)
    if isinstance(broker, str):
        if url:
            raise TypeError(f"Two nodes are named, {broker} and {url}, and a client talks to one.")
        return _to_node(broker, token, redis)
    if broker is not None and not isinstance(broker, RedisBroker):
        raise TypeError(
            f"broker must be a RedisBroker or the URL of a node, not {type(broker).__name__}."
        )
    if url:
        if broker is not None:
            raise TypeError(f"Give a broker or the node {url}, and not both.")
        return _to_node(url, token, redis)
    if token:
        raise TypeError("A token is for a node, and none is named: give its url too.")
    if broker is None:
        check_prefix(prefix)
        given = {name: value for name, value in redis.items() if name != _UNUSED}
        return QueueLine(_address(given), prefix, ring)
    if redis:
        raise TypeError(f"The broker says where Redis is: leave out {_listed(sorted(redis))}.")
    check_prefix(broker.keys.prefix)
    return QueueLine(replace(broker.address, by_arguments=True), broker.keys.prefix, ring)


def _keyring(secret: str) -> Keyring | None:
    if not isinstance(secret, str):
        raise TypeError(f"signing_secret: a text, and not {type(secret).__name__}")
    return keyring(secret)


def _address(given: dict[str, Any]) -> RedisAddress:
    sentinels = given.get("sentinels", ())
    if isinstance(sentinels, str) or not all(isinstance(one, str) for one in sentinels):
        raise TypeError('sentinels: a list of texts, as ["one:26379", "two:26379"].')
    return RedisAddress(**given | {"sentinels": tuple(sentinels)}, by_arguments=True)


def _to_node(url: str, token: str | None, redis: dict[str, Any]) -> Line:
    if redis:
        raise TypeError(
            f"The node {url} is reached over HTTP, and {_listed(sorted(redis))} is for Redis:"
            " give one or the other."
        )
    try:
        return NodeLine(HttpHost(url, token), url)
    except ConfigurationError as error:
        if "://" in url:
            raise
        hint = f'{error.hint} If it is where Redis is, say so: host="{url.partition(":")[0]}".'
        raise ConfigurationError(error.message, hint=hint) from error


def message_of(
    message: str,
    ws_id: str,
    name: str,
    auto_approve: bool,
    auto_approve_tools: Sequence[str] | None,
    target_node: str,
    requires: Sequence[str] | None = None,
    if_unavailable: IfUnavailable = "error",
) -> p.SendMessage:
    """The message on the wire. Raises TypeError and ValueError for one that cannot be sent."""
    if not isinstance(message, str):
        raise TypeError(f"message: a text is sent, and not {type(message).__name__}")
    check_texts(ws_id=ws_id, name=name, target_node=target_node)
    if target_node and not NAME.fullmatch(target_node):
        raise ValueError(f"target_node: {target_node!r} cannot be the name of a node.")
    if if_unavailable not in ("error", "any"):
        raise ValueError(f"if_unavailable: it is {if_unavailable!r}, and must be error or any.")
    sent = p.SendMessage(
        ws_id=ws_id,
        message=message,
        auto_approve=auto_approve,
        auto_approve_tools=tools_of(auto_approve_tools),
        name=name,
        target_node=target_node,
        requires=labels_of(requires),
        if_unavailable="" if if_unavailable == "error" else if_unavailable,
    )
    encoded(sent)
    return sent


def labels_of(requires: Sequence[str] | None) -> list[str]:
    """The labels that a node must have, as they are sent. Raises TypeError and ValueError."""
    if isinstance(requires, str):
        raise TypeError(f"requires: a list of labels, as [{requires!r}], and not one text")
    labels = list(requires or ())
    if labels and not requirement(labels):
        raise ValueError(f"requires: it is {labels}, and must be {LABELS_WANTED}.")
    return labels


def check_texts(**given: object) -> None:
    """Raises TypeError for an argument that is no text."""
    for name, value in given.items():
        if not isinstance(value, str):
            raise TypeError(f"{name}: a text, and not {type(value).__name__}")


def tools_of(names: Sequence[str] | None) -> list[str]:
    """The tools that are permitted, as they are sent. Raises TypeError."""
    if isinstance(names, str):
        raise TypeError(f"auto_approve_tools: a list of tools, as [{names!r}], and not one text")
    tools = list(names or ())
    check_texts(**{f"auto_approve_tools[{n}]": tool for n, tool in enumerate(tools)})
    return tools


def seconds(timeout: float | None) -> float | None:
    """The timeout, if one can wait so long. Raises TypeError and ValueError."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout: a number of seconds, or None, and not {type(timeout).__name__}")
    if not timeout > 0:
        raise ValueError(
            f"timeout: it is {timeout}, and must be more than 0 seconds. None waits for ever;"
            " send() does not wait."
        )
    return timeout


class Mistakes:
    """Those of one callback: the first is logged with its traceback, and no other."""

    def __init__(self) -> None:
        self._told = False

    @contextmanager
    def logged(self, event: p.OutboundEvent) -> Iterator[None]:
        """Around one call: what it raises ends here."""
        try:
            yield
        except Exception:
            if not self._told:
                log.exception(
                    "a callback raised for an event of type %s; it is called again for the next"
                    " ones, and what it raises then is not logged",
                    event.type,
                )
            self._told = True


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)

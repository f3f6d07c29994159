"""Several Redis servers that belong together: a cluster of masters, a primary with its replica
and its Sentinels; and what a server with TLS needs."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import redis

from support.needs import require
from support.redis import PATIENCE, RedisServer, free_port, redis_server
from turnstone.mq.connection import RedisAddress

#: The slots that a cluster has.
_SLOTS = 16_384

#: The slot of all names that begin with `{turnstone}`.
SLOT = 11_283


def until(condition: Callable[[], object]) -> None:
    """Wait for a state of servers."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError):
            if condition():
                return
        assert time.monotonic() < deadline, "the state did not come"
        time.sleep(0.02)


class Cluster:
    """Masters that share the slots evenly; the first two do not keep the queue's."""

    def __init__(self, servers: list[RedisServer]) -> None:
        self.servers = servers

    @property
    def keeper(self) -> RedisServer:
        """The master that has the keys of the queue."""
        return self.servers[SLOT * len(self.servers) // _SLOTS]

    def unite(self) -> None:
        shares = len(self.servers)
        for number, server in enumerate(self.servers):
            first, last = number * _SLOTS // shares, (number + 1) * _SLOTS // shares - 1
            with server.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        for server in self.servers:
            until(partial(self._united, server))

    def _united(self, server: RedisServer) -> bool:
        return self.state(server) == ("ok", len(self.servers))

    def state(self, server: RedisServer) -> tuple[str, int]:
        with server.client() as client:
            found: Any = client.execute_command("CLUSTER INFO")
            return found["cluster_state"], int(found["cluster_known_nodes"])

    def move(self, source: RedisServer, target: RedisServer) -> None:
        """The slot of the queue, with its keys, to another master."""
        with source.client() as old, target.client() as new:
            to, of = new.execute_command("CLUSTER", "MYID"), old.execute_command("CLUSTER", "MYID")
            new.execute_command("CLUSTER", "SETSLOT", SLOT, "IMPORTING", of)
            old.execute_command("CLUSTER", "SETSLOT", SLOT, "MIGRATING", to)
            place = ("127.0.0.1", target.port)
            while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", SLOT, 100):
                old.execute_command("MIGRATE", *place, "", 0, 5_000, "REPLACE", "KEYS", *keys)
            for client in (new, old):
                client.execute_command("CLUSTER", "SETSLOT", SLOT, "NODE", to)


@contextlib.contextmanager
def redis_cluster(*options: str, masters: int = 3) -> Iterator[Cluster]:
    with contextlib.ExitStack() as running:
        wanted = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", *options)
        cluster = Cluster([running.enter_context(redis_server(*wanted)) for _ in range(masters)])
        cluster.unite()
        yield cluster


@dataclass
class Watched:
    """A primary and its replica, which change places, and the Sentinels that see to it."""

    servers: list[RedisServer]
    sentinels: list[int]  # their ports

    @property
    def address(self) -> RedisAddress:
        return RedisAddress(
            sentinels=tuple(f"127.0.0.1:{port}" for port in self.sentinels),
            sentinel_name="queue",
            sentinel_password="watch",
        )

    @property
    def primary(self) -> RedisServer:
        """Which server the Sentinels call so."""
        with redis.Redis(port=self.sentinels[0], password="watch") as client:
            found: Any = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "queue")
        return next(server for server in self.servers if server.port == int(found[1]))

    @property
    def replica(self) -> RedisServer:
        return next(server for server in self.servers if server is not self.primary)

    def replicas(self) -> int:
        """How many follow the primary, up to date."""
        with self.primary.client() as client:
            info: Any = client.info("replication")
        return sum(info[f"slave{n}"]["state"] == "online" for n in range(info["connected_slaves"]))


_SENTINEL = """\
port {port}
bind 127.0.0.1
requirepass watch
sentinel monitor queue 127.0.0.1 {primary} 2
sentinel down-after-milliseconds queue 500
sentinel failover-timeout queue 3000
sentinel parallel-syncs queue 1
"""


@contextlib.contextmanager
def redis_watched(*options: str) -> Iterator[Watched]:
    with contextlib.ExitStack() as running:
        quick = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", *options)
        primary = running.enter_context(redis_server(*quick))
        follow = ("--replicaof", f"127.0.0.1 {primary.port}")
        replica = running.enter_context(redis_server(*quick, *follow))
        ports = [running.enter_context(_sentinel(primary.port)) for _ in range(3)]
        watched = Watched([primary, replica], ports)
        until(lambda: watched.replicas() == 1)
        for port in ports:
            until(partial(_knows_all, port))
        yield watched


@contextlib.contextmanager
def _sentinel(primary: int) -> Iterator[int]:
    folder, port = Path(tempfile.mkdtemp(prefix="sentinel-")), free_port()
    config = folder / "sentinel.conf"
    config.write_text(_SENTINEL.format(port=port, primary=primary))
    log = ("--logfile", str(folder / "log"), "--dir", str(folder))
    process = subprocess.Popen([require("redis-server"), str(config), "--sentinel", *log])
    try:
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _knows_all(port: int) -> bool:
    with redis.Redis(port=port, password="watch") as client:
        found: Any = client.execute_command("SENTINEL", "MASTER", "queue")
    facts = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))
    told = {_text(key).replace("_", "-"): _text(value) for key, value in facts.items()}
    return (told["num-other-sentinels"], told["num-slaves"]) == ("2", "1")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class Certificates:
    """Files in PEM form: of the authority, and of a server and a client that it has signed."""

    ca: str
    cert: str
    key: str

    @property
    def options(self) -> tuple[str, ...]:
        """Of a server that asks its clients for a certificate too."""
        files = ("--tls-ca-cert-file", self.ca, "--tls-cert-file", self.cert)
        return (*files, "--tls-key-file", self.key, "--tls-auth-clients", "yes")

    def shown(self, address: RedisAddress) -> RedisAddress:
        """The address, with all that such a server wants."""
        files: dict[str, Any] = {
            "tls_ca_file": self.ca,
            "tls_cert_file": self.cert,
            "tls_key_file": self.key,
        }
        return replace(address, tls=True, **files)


def certificates(folder: Path) -> Certificates:
    """For 127.0.0.1, made anew."""
    openssl = require("openssl")
    names = {"ca": folder / "ca.pem", "cert": folder / "cert.pem", "key": folder / "key.pem"}
    new = (openssl, "req", "-x509", "-nodes", "-days", "1", "-newkey", "rsa:2048")
    ca_key = folder / "ca.key"
    made: dict[str, Any] = {"check": True, "capture_output": True}
    subprocess.run([*new, "-subj", "/CN=authority", "-keyout", ca_key, "-out", names["ca"]], **made)
    own = ("-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1")
    signed = ("-CA", names["ca"], "-CAkey", ca_key)
    subprocess.run([*new, *own, *signed, "-keyout", names["key"], "-out", names["cert"]], **made)
    return Certificates(**{name: str(path) for name, path in names.items()})

"""The steps of the queue, as an interface: how one message gets from Redis to a node, once.

The algorithm, with its evidence, is described in `docs/redis.md`. Every method is one atomic
step (one script, or one command); between any two of them the process may die, and the
steps that others take then bring the message to its end all the same. At every instant a
message is in exactly one place: wire list, staging, a processing list, in flight (and in a
node's journal), done, dead. Implementations: `RedisWork` and its in-memory twin, under one
contract suite. Nothing here runs a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from turnstone.core.timers import Timers
from turnstone.mq.signing import Keyring

Lane: TypeAlias = Literal["shared", "directed"]

#: Seconds of a lease: a process that has not beaten for this long has lost what it holds.
LEASE = 15.0

#: Seconds beyond its last lease after which a node's accepted but unstarted shared work is given
#: to others: a restart takes less, and a node that is back has nothing to reconcile.
GRACE = 15.0

#: Seconds beyond its last lease after which work that only this node could end is given up, and
#: whoever asked is told. As long as a client of 0.2 waits by default.
LOST_AFTER = 600.0

#: Seconds for which work that was pushed into the list of a node that never was waits for that
#: node to start, before its sender is told. Nodes that were ever seen are waited for without end.
UNKNOWN_AFTER = 120.0

#: How often a message is tried before it goes to the dead letters.
MAX_TRIES = 5

#: Moves of one script call. A script stops the whole server while it runs, and Lua's argument
#: lists end at about 8,000.
SLICE = 200


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message in one of this process's processing lists: ours to accept, not yet accepted.

    `entry` is the exact content of the list entry (needed to remove it), `raw` the message as
    its sender wrote it, `correlation_id` the sender's, or one that the queue gave it. Where
    `problem` is not empty, the message cannot be read, and this says why: `bury` it.
    `target_node` and `ws_id` are the sender's words: a shared message with a `target_node` is
    here because no such node is known; a directed one with the `ws_id` of another's workstream
    came from a sender that did not know better (see `forward`).
    """

    lane: Lane
    entry: bytes
    raw: bytes
    correlation_id: str = ""
    ws_id: str = ""
    target_node: str = ""
    problem: str = ""


Admission: TypeAlias = Literal[
    "run",  # it may be accepted, under the epoch that comes with this
    "accepted",  # a node has it already: nothing to do, it was taken out of the list
    "done",  # it was finished before; its ending was published again
    "dead",  # it was tried too often, or buried before; its sender was told (again)
    "refused",  # another text came under its id before: a dead letter, and its sender was told
    # Another process is accepting one of the same id just now, or Redis has lost what it knew and
    # some node may have it: leave it, ask later.
    "held",
    "elsewhere",  # one node was bound to it earlier, and it was handed to that one
    "lapsed",  # this process's lease is over: touch nothing, and ask again when it is renewed
    "fenced",  # the entry was taken from this process: it is another's now
]


@dataclass(frozen=True, slots=True)
class Admitted:
    admission: Admission
    epoch: int = 0
    tries: int = 0
    bound: bool = False  # with "run": an earlier try was bound to this node, and may have effects


@dataclass(frozen=True, slots=True)
class Seat:
    """What one process alone may have: the queue's work for one server.

    `server_id` is the server's own name for itself, whatever URL it is reached by. `dead`: boots
    of processes that are surely gone, for this one holds their lock (`lock.hold`): the end of
    their lease need not be waited for.
    """

    server_id: str
    dead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rival:
    """Another process that has the seat: its incarnation, when its lease ends (Redis' clock), and
    which seat: the server's name, or the node's."""

    incarnation: str
    ends: float
    seat: str


@dataclass(frozen=True, slots=True)
class Orphans:
    """What a node without a living process has left: `accepted`, correlation ids and workstreams
    (empty: it made one), and `waiting`, workstreams of its own with messages in its lists.

    `store`: the id of its store, if that is known. `sure`: it is gone for so long that it is not
    asked whether its process lives.
    """

    node_id: str
    store: str
    sure: bool
    accepted: tuple[tuple[str, str], ...]
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What came of a take-over. `epoch`: the one that holds now. `mine`: what this node has
    accepted in that workstream, or was accepted by the one before, and has to be ended."""

    outcome: Literal[
        "taken",
        "lives",  # the owner has a living process
        "other",  # a third is the owner
        "stale",  # the cluster knows a higher epoch
    ]
    epoch: int = 0
    mine: tuple[Unfinished, ...] = ()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A message that this node has accepted, and not brought to its end yet."""

    correlation_id: str
    epoch: int
    lane: Lane
    raw: bytes


Standing: TypeAlias = Literal[
    "ok",  # still this node's, under this epoch
    "retry",  # this node's, under another epoch: read the row again
    "other",  # another node has it now, or will: superseded here
    "done",
    "dead",
]


class QueueTimers(Timers, Protocol):
    """The timers of a cluster."""

    async def renew(self) -> int:
        """Sign those anew that are signed with another secret than the first one here, which may
        be taken away then; how many."""


class Work(Protocol):
    """One process incarnation's side of the queue. Raises QueueUnavailable while Redis is away;
    whatever was asked may have happened then, and may be asked again."""

    node_id: str
    boot: str  # random, one per start
    labels: tuple[str, ...]  # what this node has, for messages that ask for it
    keyring: Keyring | None  # whose messages it takes; None: everybody's

    @property
    def timers(self) -> QueueTimers:
        """Messages that are to be sent later."""

    async def beat(self, metadata: dict[str, object]) -> bool:
        """Renew the lease and the node's heartbeat key. Called every lease/3.

        False: there was no lease any more (or none yet), so that others may have taken what
        was held here: sweep. Or Redis has lost what it knew since the last beat: `stand` for all
        that was accepted; for one lease no node takes on what Redis does not know. Where nobody has
        beaten for 2/3 of a lease, what is reckoned from a node's silence begins anew, a lease from now. Takes the process's seat with the lease, and for as long; raises
        AnotherWorker, and renews nothing, while a living process has that."""

    async def rival(self) -> Rival | None:
        """The living process that has this one's seat; None if it is free, or this one's."""

    async def pull_directed(self, wait: float) -> bool:
        """Move one message of this node's list to its processing list; False after `wait` s.

        Cancelled, or cut off, it may still have moved one: that is there, for `directed`, or in
        the node's staging, for the next pull of any process of the node. Raises LeaseOver."""

    async def pull_shared(self, wait: float) -> bool:
        """Move one message of the shared list to staging (this wakes one node only)."""

    async def claim(self, free: int) -> list[Claimed]:
        """Take up to `free` messages from staging, routing those that belong elsewhere.

        What has a workstream goes to the directed list of its owner, also when that is this
        node: a workstream without one gets this node as its owner. What asks for labels that
        this node does not have is put aside; what waits there and asks for its own comes first.
        Raises LeaseOver."""

    async def roused(self, wait: float) -> bool:
        """Wait until something was put aside that asks for labels of this node; False after
        `wait` s. No more than a hint, for a `claim`; may be cancelled."""

    async def answer_waiting(self) -> int:
        """Tell the senders of what waits for labels that no living node has had for a while
        (`unknown_after`); a slice at a time; how many. Nothing while this process has no lease."""

    async def answer_gone(self) -> int:
        """Tell the senders of what waits in the lists of nodes that have been gone for a while
        (`lost_after`), or give it to the others where its sender leaves it to any; a slice at a
        time; how many. Nothing while this process has no lease."""

    async def glance(self) -> list[Claimed]:
        """This node has no room: take from the shared work what needs none (what any node
        answers, and answers to questions), and send to its owner what has one. Looks at the
        first `SLICE` messages. Raises LeaseOver."""

    async def unstage(self) -> int:
        """This node has no more room: what waits in staging goes back to the head of the shared
        list, where an idle node sees it at once. How many."""

    async def directed(self) -> list[Claimed]:
        """What is in this process's directed processing list, from its head. Handle the head
        first, never jump: this is the order of every workstream."""

    async def sweep(self) -> list[Claimed]:
        """Everything in this process's processing lists: replies may have been lost. Directed
        first; what the process is working on just now is among it."""

    async def admit(self, claimed: Claimed, *, bind: bool = False, attempt: str = "") -> Admitted:
        """Count the try, before any work; find out whether it is to be run at all.

        `bind`: no other node may ever run it (for a worker that cannot call `fence` later).
        `attempt`: a name for this try. Asked again under it, because the answer was lost, it is
        the same try, and gets the same answer."""

    async def accept(self, claimed: Claimed, epoch: int) -> bool:
        """The message is in the journal: take it out of Redis' lists. False: no longer ours.
        Raises LeaseOver."""

    async def give_back(self, claimed: Claimed, epoch: int, after: bytes = b"") -> bool:
        """This node has no room for a shared message, and has done nothing with it: back to the
        head of the list that it came from, or behind the entry `after`, if that is still there;
        bound to nobody, and the try is not counted. False: no longer ours."""

    async def forward(self, claimed: Claimed, node_id: str) -> bool:
        """Hand it to another node's directed list. False: the entry was not here any more."""

    async def bury(self, claimed: Claimed, reason: str) -> None:
        """It will never be run: to the dead letters, and its sender is told `reason`. Does
        nothing to a message that is not in this process's list any more."""

    async def stand(self, correlation_id: str, epoch: int, raw: bytes, lane: Lane) -> Standing:
        """Before each start of its turn: is it still ours? Makes the record again if lost, and
        completes an `accept` that a crash prevented."""

    async def fence(self, correlation_id: str, epoch: int) -> bool:
        """Before its first side effect: True for at most one node, ever (for that one again,
        when it resumes). False also where the record was lost: `stand` makes it again. Raises
        LeaseOver."""

    async def done(
        self,
        correlation_id: str,
        epoch: int,
        ws_id: str,
        result: bytes,
        final: Sequence[bytes] = (),
    ) -> bool:
        """It has ended, and this is its stored result (JSON). `final` are the 0.2 spellings of
        its ending: published on the workstream's channel in this same step, and once more for
        every later copy of the message. False: no longer ours."""

    async def forestall(
        self, correlation_id: str, ws_id: str, result: bytes, final: Sequence[bytes]
    ) -> bool:
        """End a message that no node has taken, or that is still to come: it is not run then.
        `result` and `final` as for `done`. False: a node has it, or it has ended."""

    async def result(self, correlation_id: str) -> bytes | None:
        """The stored result of a message; None while there is none. For a dead message an
        object with `outcome` "dead" and `error`."""

    async def unfinished(self) -> list[Unfinished]:
        """What this node has accepted and not finished, earlier processes of it included. For
        a start: each is to be stood for, and carried to its end."""

    async def reap(self) -> int:
        """Return what processes whose lease is over had taken; a slice at a time; how many.

        Also answers, and counts, messages in the lists of nodes that never were. It looks for
        such lists a step at a time, so one may be found only after many calls.
        Own older incarnations count as over: their seat is this one's now. Does nothing while
        this process has no lease. Before the lanes start, call it until it returns 0."""

    async def tidies(self, what: Sequence[str], seconds: float) -> set[str]:
        """Those of these pieces of work that this process does for all: of each, one process of
        all that ask, and for `seconds` no other. None while this process has no lease."""

    async def own(self, ws_id: str, epoch: int) -> int:
        """Tell the cluster that this node owns a workstream. Never lowers an epoch: where the
        cluster knows a higher one, nothing is changed. Returns the epoch that holds now."""

    async def owner(self, ws_id: str) -> str:
        """The node that owns a workstream; empty if none does."""

    async def disown(self, ws_id: str) -> None:
        """This node does not own it any more; nothing happens if it did not."""

    async def orphans(self) -> tuple[float | None, list[Orphans]]:
        """What nodes have left that have no living process; and seconds until there may be more,
        if that is before the next beat (None: nobody knows of any)."""

    async def take_over(
        self, ws_id: str, former: str, epoch: int, made: Sequence[str] = ()
    ) -> TakenOver:
        """Be the owner of a workstream whose owner has no living process: what waits for it comes
        along in its order, and so does what was accepted. `epoch` is the store's, which has this
        node as the owner already; `made`: messages that have made the workstream. Raises
        LeaseOver."""

    async def holder(self, correlation_id: str) -> str:
        """The node that has a message which has not ended; empty if none has."""

    async def noted(self, correlation_id: str) -> tuple[str, str]:
        """The state that the record of a message has, and the node that it was last admitted on;
        both empty where there is none, so that it is none of the queue's."""

    async def emit(
        self, ws_id: str, event_id: str, envelope: bytes, wire: Sequence[bytes], epoch: int = 0
    ) -> int:
        """Append an event to the workstream's stream and publish it on its channel, as its
        0.2 spellings; returns how many subscribers the channel had. An event that is in the
        stream already is left alone (0); a writer whose epoch is over is refused (-1)."""

    async def events(
        self, ws_id: str, after: str = "", limit: int = 1_000
    ) -> list[tuple[str, bytes]]:
        """Up to `limit` events of the workstream's stream behind `after`: id and envelope."""

    async def last_event(self, ws_id: str) -> str:
        """The id of the newest event in the workstream's stream; empty if there is none."""

    async def publish(self, channel: str, message: bytes) -> int:
        """Publish on `global`, `cluster`, or a workstream's channel; how many heard it."""

    async def listeners(self, ws_id: str) -> int:
        """How many subscribe to the channel of a workstream now."""

    async def respond(self, request_id: str, answer: bytes) -> None:
        """Keep an answer to a question, for the process that asked it."""

    async def responses(self, request_id: str) -> bytes | None:
        """The first answer to a question, without removing it."""

    async def drop_response(self, request_id: str, answer: bytes) -> None:
        """Remove exactly this answer: it is in the journal."""

    async def nodes(self) -> list[dict[str, object]]:
        """Every node with a heartbeat: what it says of itself, and its `node_id`."""

    async def unsafe(self) -> str:
        """Why the queue, as it is set up now, may lose work: a sentence; empty if it keeps it."""

    async def aclose(self) -> None:
        """End the lease, so that what is held here is others' at once, and let go."""

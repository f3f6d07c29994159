"""Every name that Turnstone uses in Redis: one method each, and this table.

`P` is the prefix: `turnstone`, or `{turnstone}` on Redis Cluster, where all names must fall
into one slot. The names of the wire keep the type and the bytes that they had in 0.2; what
is ours alone is below `P:x:`, and programs of others never need it.

name                      type            meaning; who writes, who reads; lifetime
P:inbound                 list            work for any node; senders push, nodes take; none
P:inbound:<node>          list            work for one node; the same; none
P:resp:<request>          list            answers to one question; senders push, the worker that
                                          asked reads; 600 s after the last push
P:ws:<ws>                 string          the node that owns a workstream; its worker writes,
                                          senders and other workers read; while that node is in
                                          P:x:seen
P:node:<node>             string          heartbeat and metadata (JSON); the node writes, all
                                          read; the heartbeat's time to live
P:events:<ws>             channel         events of a workstream; its worker publishes
P:events:global           channel         events that name no workstream, and states; the same
P:events:cluster          channel         state changes, for consoles; the same

P:x:stage                 list            taken from P:inbound, not yet given to a node; also
                                          where recovered shared work returns; any node; none
P:x:dstage:<node>         list            the same for directed work of one node; none
P:x:ps:<node>|<boot>      list            claimed shared work of one process incarnation, not yet
                                          accepted; that process; until it is accepted or reaped
P:x:pd:<node>|<boot>      list            the same for directed work
P:x:alive                 zset            member <node>|<boot>, score the end of its lease in
                                          seconds of Redis' own clock; every process, at each beat
P:x:beats                 hash            the beats of all processes: count, last when the last was, life a
                                          name of what Redis keeps, from until when nobody counts as
                                          silent after a gap in all beats, hold until when nobody
                                          takes on what Redis does not know after it lost
                                          something; all nodes; none
P:x:turns                 hash            what nodes see to in turn, for all → when one last did;
                                          all nodes; none
P:x:seat:<node>           hash            the one process that takes work under this node's name, or
                                          for the server that calls itself so: i incarnation;
                                          workers; its lease
P:x:cid:<cid>             hash            one message: s state (queued claimed accepted done dead),
                                          n node, i incarnation, u its lease's end, e epoch,
                                          fx fence, tries, ws workstream, r result, f ending,
                                          a the last try's name, b whether it was bound before,
                                          h hash of what it says;
                                          workers write, all read; CID_TTL
P:x:inflight:<node>       hash            cid → lane and message, accepted and not finished;
                                          workers; until it is done
P:x:seen                  zset            every node that has beaten, was seen with a heartbeat of
                                          0.2, or was sent work by a node; score when that was
                                          last, or when it was first found as an owner; all
                                          nodes; 31 days after that, of which it counts for 30
P:x:strays                zset            nodes that never were, to whom somebody has sent work;
                                          score when that was found; all nodes; until it is told
P:x:gone                  zset            nodes that were there, and are not, in whose lists work
                                          waits; score when that was found; all nodes; until the
                                          node is back, or its work is told
P:x:search                hash            the nodes' common look through the keys, for the two above:
                                          cursor, at when its last step was, began when this round
                                          did, whole when the last whole one did; all nodes; none
P:x:timers                zset            timers that live; score their next time on Redis' clock,
                                          +inf while paused; workers and clients; none
P:x:timer:<timer>         hash            one timer: revision, timer (JSON); workers and clients;
                                          CID_TTL once it is over
P:x:labels                hash            node → its labels, with spaces between them; the nodes
                                          write, all read; until the node is gone
P:x:wait:<requirement>    list            shared work that requires labels (its name) which the node
                                          that met it lacks; any node; until one that has them
                                          takes it, or its sender is told
P:x:waits                 zset            those requirements; score when a node that meets them was
                                          last there, or the first waited; any node; the same
P:x:behind                hash            ws → how many of its messages wait there, and for which
                                          requirement; any node; the same
P:x:rouse:<node>          list            a hint for a node that something waits there which it may
                                          take; any node writes, the node reads; 60 s
P:x:epoch:<ws>            string          raised by every change of a workstream's owner; workers;
                                          as P:ws:<ws>, and CID_TTL once nobody owns it
P:x:floor                 string          the highest epoch of the workstreams that were forgotten,
                                          because their owner was; all nodes; none
P:x:ev:<ws>               stream          events of a workstream, ids are the events' own;
                                          its worker writes, clients read; EVENTS_TTL
P:x:dead                  stream          messages that will not be run: raw, reason, tries, node;
                                          capped; operators read
P:x:anon                  string          counter for messages that came without an id; none
"""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds for which the record of a message is kept: as long as somebody may send it again.
CID_TTL = 3 * 86_400

#: Seconds for which the event stream of a workstream outlives its last event.
EVENTS_TTL = 86_400

#: Entries of an event stream, about: beyond, a late reader starts from a snapshot.
EVENTS_MAX = 10_000

#: Entries of the dead letters, about.
DEAD_MAX = 10_000

#: Bytes of a dead letter that are kept: enough to see what it was.
DEAD_RAW_MAX = 65_536

#: Seconds for which a node counts as there after its last heartbeat (contract, section 4.2).
NODE_TTL = 60

#: Seconds for which an answer to a question waits for its reader (contract, section 4.1).
RESPONSE_TTL = 600


@dataclass(frozen=True, slots=True)
class Keys:
    """The names under one prefix."""

    prefix: str = "turnstone"

    @property
    def inbound(self) -> str:
        return f"{self.prefix}:inbound"

    def inbound_of(self, node_id: str) -> str:
        return f"{self.prefix}:inbound:{node_id}"

    def responses(self, request_id: str) -> str:
        return f"{self.prefix}:resp:{request_id}"

    def owner(self, ws_id: str) -> str:
        return f"{self.prefix}:ws:{ws_id}"

    def node(self, node_id: str) -> str:
        return f"{self.prefix}:node:{node_id}"

    def events(self, ws_id: str) -> str:
        return f"{self.prefix}:events:{ws_id}"

    @property
    def events_global(self) -> str:
        return f"{self.prefix}:events:global"

    @property
    def events_cluster(self) -> str:
        return f"{self.prefix}:events:cluster"

    @property
    def stage(self) -> str:
        return f"{self.prefix}:x:stage"

    def directed_stage(self, node_id: str) -> str:
        return f"{self.prefix}:x:dstage:{node_id}"

    def processing_shared(self, incarnation: str) -> str:
        return f"{self.prefix}:x:ps:{incarnation}"

    def processing_directed(self, incarnation: str) -> str:
        return f"{self.prefix}:x:pd:{incarnation}"

    @property
    def alive(self) -> str:
        return f"{self.prefix}:x:alive"

    @property
    def beats(self) -> str:
        return f"{self.prefix}:x:beats"

    @property
    def turns(self) -> str:
        return f"{self.prefix}:x:turns"

    def seat(self, node_id: str) -> str:
        return f"{self.prefix}:x:seat:{node_id}"

    def message(self, correlation_id: str) -> str:
        return f"{self.prefix}:x:cid:{correlation_id}"

    def inflight(self, node_id: str) -> str:
        return f"{self.prefix}:x:inflight:{node_id}"

    @property
    def seen(self) -> str:
        return f"{self.prefix}:x:seen"

    @property
    def strays(self) -> str:
        return f"{self.prefix}:x:strays"

    @property
    def gone(self) -> str:
        return f"{self.prefix}:x:gone"

    @property
    def search(self) -> str:
        return f"{self.prefix}:x:search"

    @property
    def timers(self) -> str:
        return f"{self.prefix}:x:timers"

    def timer(self, timer_id: str) -> str:
        return f"{self.prefix}:x:timer:{timer_id}"

    @property
    def labels(self) -> str:
        return f"{self.prefix}:x:labels"

    def wait(self, requirement: str) -> str:
        return f"{self.prefix}:x:wait:{requirement}"

    @property
    def waits(self) -> str:
        return f"{self.prefix}:x:waits"

    @property
    def behind(self) -> str:
        return f"{self.prefix}:x:behind"

    def rouse(self, node_id: str) -> str:
        return f"{self.prefix}:x:rouse:{node_id}"

    def epoch(self, ws_id: str) -> str:
        return f"{self.prefix}:x:epoch:{ws_id}"

    @property
    def floor(self) -> str:
        return f"{self.prefix}:x:floor"

    def event_stream(self, ws_id: str) -> str:
        return f"{self.prefix}:x:ev:{ws_id}"

    @property
    def dead(self) -> str:
        return f"{self.prefix}:x:dead"

    @property
    def anonymous(self) -> str:
        return f"{self.prefix}:x:anon"

    @staticmethod
    def pattern(name: str) -> str:
        """The name as a pattern of SCAN that matches itself alone."""
        return "".join(f"\\{c}" if c in "*?[]^\\" else c for c in name)

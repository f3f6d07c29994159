"""The figures of a node for Prometheus: one table of all metrics, and who says their values.

A `Source` is asked at each look, and knows nothing of Prometheus; this is the only place that
writes its format. No label has more values than a bound, whatever others send. It keeps counts of
this process, and nothing on disk.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from turnstone.core import events as ev
from turnstone.core.host import WorkstreamInfo

#: Workstreams that have figures of their own: those in which something happened last. And names of
#: tools, or anything else that others choose; what is beyond is `other`.
WORKSTREAMS_MAX = 10
NAMES_MAX = 100
OTHER = "other"

#: Seconds, of a request (contract, section 2.8).
REQUESTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind: TypeAlias = Literal["gauge", "counter", "histogram"]
Labels: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric, as the documentation has it."""

    name: str
    kind: Kind
    labels: Labels
    meaning: str


@dataclass
class Spread:
    """A histogram: counts by upper bound, of which the last has none, and the sum."""

    bounds: Sequence[float]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def add(self, value: float) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: each with all below it."""
        found, below = [], 0
        ends = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        for bound, count in zip(ends, self.counts or [0] * len(ends), strict=True):
            below += count
            found.append((bound, float(below)))
        return found


#: Values by name of the metric and values of its labels.
Samples: TypeAlias = dict[str, Mapping[Labels, float | Spread]]
Source: TypeAlias = Callable[[], Awaitable[Samples]]

_WS: Labels = ("ws_id", "name")
_KINDS = ("prompt", "completion")

#: Every metric there is: those of 0.2 first (contract, section 2.8).
FAMILIES = (
    Family("turnstone_build_info", "gauge", ("version", "model"), "Always 1."),
    Family("turnstone_uptime_seconds", "gauge", (), "Seconds since the node started."),
    Family("turnstone_workstreams_active_total", "gauge", (), "Open workstreams."),
    Family("turnstone_workstreams_by_state", "gauge", ("state",), "Open workstreams by state."),
    Family(
        "turnstone_http_requests_total",
        "counter",
        ("method", "endpoint", "status_code"),
        "Requests that have ended.",
    ),
    Family(
        "turnstone_http_request_duration_seconds",
        "histogram",
        ("method", "endpoint"),
        "Seconds that requests took; streams are not among them.",
    ),
    Family("turnstone_messages_sent_total", "counter", (), "Messages to agents."),
    Family(
        "turnstone_tokens_total",
        "counter",
        ("type", "direction"),
        "Tokens: `prompt`, `completion`, under both names of the label.",
    ),
    Family("turnstone_tool_calls_total", "counter", ("tool",), "Tool calls that have ended."),
    Family("turnstone_errors_total", "counter", (), "Turns that failed."),
    Family(
        "turnstone_context_window_used_ratio", "gauge", (), "The last one told, of any workstream."
    ),
    Family("turnstone_workstream_info", "gauge", (*_WS, "session_id"), "Always 1."),
    Family("turnstone_workstream_prompt_tokens_total", "counter", _WS, "Tokens of its prompts."),
    Family(
        "turnstone_workstream_completion_tokens_total", "counter", _WS, "Tokens of its answers."
    ),
    Family("turnstone_workstream_messages_total", "counter", _WS, "Messages to it."),
    Family("turnstone_workstream_tool_calls_total", "counter", (*_WS, "tool"), "Its tool calls."),
    Family("turnstone_workstream_context_ratio", "gauge", _WS, "Share of the window it uses."),
    Family("turnstone_http_streams", "gauge", (), "Streams of events that are open."),
    Family(
        "turnstone_audit_lost_total",
        "counter",
        (),
        "Changes whose line of the audit record could not be written.",
    ),
    Family(
        "turnstone_queue_depth",
        "gauge",
        ("list",),
        "Messages that no node has accepted: `shared`, `directed`, `staged`, `claimed`, `aside`.",
    ),
    Family("turnstone_queue_oldest_seconds", "gauge", (), "Age of the oldest of those."),
    Family("turnstone_queue_dead_letters", "gauge", (), "Dead letters that are kept."),
    Family("turnstone_queue_up", "gauge", (), "1 while Redis answers, else 0."),
    Family("turnstone_queue_claimed_total", "counter", (), "Messages this node took in hand."),
    Family("turnstone_queue_accepted_total", "counter", (), "Of those: in its journal."),
    Family("turnstone_queue_done_total", "counter", (), "Of those: brought to an ending."),
    Family("turnstone_queue_dead_total", "counter", (), "Messages this node gave up."),
    Family("turnstone_queue_redelivered_total", "counter", (), "Later tries than the first."),
    Family("turnstone_queue_lease_losses_total", "counter", (), "Times its lease was over."),
    Family("turnstone_queue_reconnects_total", "counter", (), "Times Redis was back for it."),
    Family("turnstone_queue_beat_age_seconds", "gauge", (), "Seconds since its last good beat."),
    Family(
        "turnstone_queue_turn_wait_seconds",
        "histogram",
        (),
        "Seconds between the node's having a message and its turn's first step.",
    ),
)


class Metrics:
    """All sources of one node."""

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def add(self, source: Source) -> None:
        self._sources.append(source)

    async def text(self) -> bytes:
        """Everything that the sources say now, in the text format of Prometheus. A metric of
        which none says anything is left out. ValueError for one that is not in the table."""
        found: Samples = {}
        for source in self._sources:
            for name, values in (await source()).items():
                found[name] = {**found.get(name, {}), **values}
        return _written(found)


def _written(found: Samples) -> bytes:
    # Imported when somebody looks: most programs show no figures.
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )

    unknown = found.keys() - {family.name for family in FAMILIES}
    if unknown:
        raise ValueError(f"There is no metric {', '.join(sorted(unknown))}.")

    class Found:
        def collect(self) -> Iterator[Metric]:
            for family in FAMILIES:
                one: GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily
                if family.kind == "gauge":
                    one = GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
                elif family.kind == "counter":
                    one = CounterMetricFamily(family.name, family.meaning, labels=family.labels)
                else:
                    one = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
                for labels, value in found.get(family.name, {}).items():
                    shown = [_utf8(label) for label in labels]
                    if isinstance(one, HistogramMetricFamily):
                        assert isinstance(value, Spread), family.name
                        one.add_metric(shown, value.buckets(), value.total)
                    else:
                        assert not isinstance(value, Spread), family.name
                        one.add_metric(shown, value)
                if one.samples:
                    yield one

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Found())
    return bytes(generate_latest(registry))


def _utf8(label: str) -> str:
    return label.encode(errors="replace").decode()


class Bounded:
    """Names that others choose: the first so many are themselves, the rest is `other`."""

    def __init__(self, most: int = NAMES_MAX) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        if name in self._known or len(self._known) < self._most:
            self._known.add(name)
            return name
        return OTHER


@dataclass
class _Of:
    """What is counted of one workstream."""

    name: str
    session_id: str
    context_ratio: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)


class NodeFigures:
    """Counts what happens in a node's workstreams: give `saw` every record that is written."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._tools: Counter[str] = Counter()
        self._tool_name = Bounded()
        self._ratio: float | None = None
        self._of: OrderedDict[str, _Of] = OrderedDict()

    def saw(self, event: ev.Event, info: WorkstreamInfo) -> None:
        if isinstance(event, ev.WsClosed):
            self._of.pop(info.id, None)
            return
        of = self._of.setdefault(info.id, _Of(info.name, info.session_id))
        of.name, of.session_id, of.context_ratio = info.name, info.session_id, info.context_ratio
        self._of.move_to_end(info.id)
        if len(self._of) > WORKSTREAMS_MAX:
            self._of.popitem(last=False)
        match event:
            case ev.MessageAccepted():
                self._add(of, "messages", 1)
            case ev.StepFinished(usage=ev.Usage() as usage):
                self._add(of, "prompt", usage.prompt_tokens)
                self._add(of, "completion", usage.completion_tokens)
                self._ratio = info.context_ratio
            case ev.ToolFinished():
                tool = self._tool_name(event.name)
                self._tools[tool] += 1
                of.tools[tool] += 1
            case ev.TurnEnded(outcome="failed"):
                self._counts["errors"] += 1

    def _add(self, of: _Of, what: str, count: int) -> None:
        self._counts[what] += count
        of.counts[what] += count

    async def samples(self) -> Samples:
        counts = self._counts
        found: Samples = {
            "turnstone_messages_sent_total": {(): counts["messages"]},
            "turnstone_tokens_total": {(kind, kind): counts[kind] for kind in _KINDS},
            "turnstone_tool_calls_total": {(t,): n for t, n in self._tools.items()},
            "turnstone_errors_total": {(): counts["errors"]},
        }
        if self._ratio is not None:
            found["turnstone_context_window_used_ratio"] = {(): self._ratio}
        return found | self._by_workstream()

    def _by_workstream(self) -> Samples:
        def each(what: str) -> dict[Labels, float]:
            return {(ws, of.name): of.counts[what] for ws, of in self._of.items()}

        one = "turnstone_workstream"
        return {
            f"{one}_info": {(w, of.name, of.session_id): 1 for w, of in self._of.items()},
            f"{one}_prompt_tokens_total": each("prompt"),
            f"{one}_completion_tokens_total": each("completion"),
            f"{one}_messages_total": each("messages"),
            f"{one}_tool_calls_total": {
                (ws, of.name, tool): count
                for ws, of in self._of.items()
                for tool, count in of.tools.items()
            },
            f"{one}_context_ratio": {(w, of.name): of.context_ratio for w, of in self._of.items()},
        }

"""Spans on their way to a collector: the one place that knows OpenTelemetry.

They are sent from a thread of the SDK, in batches, and dropped where no collector takes them: a
turn never waits for one. Needs the extra `otel`; without it this cannot be made, and says so.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from turnstone import __version__
from turnstone.core.errors import ConfigurationError
from turnstone.core.spans import Attributes, SpanKind

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

_PATH = "/v1/traces"

#: Seconds for one request to the collector, and milliseconds for what is left at the end.
_TIMEOUT, _LAST = 5.0, 3_000


def check_installed() -> None:
    """Raises ConfigurationError where the extra is missing."""
    try:
        import_module("opentelemetry.sdk.trace.export")
        import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as error:
        raise ConfigurationError(
            f"[traces] endpoint is set, and what sends traces is not installed ({error}).",
            hint="Install turnstone with its extra: turnstone[otel]; or unset it.",
        ) from error


def traces_url(endpoint: str) -> str:
    """Where traces go, of a base as `http://localhost:4318` or the whole of it."""
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(_PATH) else path + _PATH))


class Traces:
    """A `turnstone.core.spans.Tracer`. `to` is a URL; or what takes spans, for whoever has it."""

    def __init__(self, to: str | SpanProcessor, node_id: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        about = {
            "service.name": "turnstone",
            "service.version": __version__,
            "service.instance.id": node_id,
        }
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(_sending(to) if isinstance(to, str) else to)
        self._tracer = self._provider.get_tracer("turnstone", __version__)

    def begin(
        self, name: str, kind: SpanKind, at: float, attributes: Attributes, parent: Any
    ) -> _Span:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind as Kind
        from opentelemetry.trace import set_span_in_context

        # Never what happens to be current: a record is written in whatever task comes by.
        context = set_span_in_context(parent.span, Context()) if parent is not None else Context()
        span = self._tracer.start_span(
            name,
            context,
            kind=Kind.CLIENT if kind == "client" else Kind.INTERNAL,
            attributes=attributes,
            start_time=_nanoseconds(at),
        )
        return _Span(span)

    async def aclose(self) -> None:
        """Send what is left, for a few seconds at most."""
        await asyncio.to_thread(self._provider.force_flush, _LAST)
        await asyncio.to_thread(self._provider.shutdown)


class _Span:
    def __init__(self, span: Any) -> None:
        self.span = span

    def end(self, at: float, attributes: Attributes, error: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        self.span.set_attributes(attributes)
        if error:
            self.span.set_attribute("error.type", error.split(":", maxsplit=1)[0][:100])
            self.span.set_status(Status(StatusCode.ERROR, error))
        self.span.end(_nanoseconds(at))


def _sending(url: str) -> SpanProcessor:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter(endpoint=traces_url(url), timeout=_TIMEOUT))


def _nanoseconds(at: float) -> int:
    return round(at * 1_000_000_000)

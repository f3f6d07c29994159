"""What the answers in a history have cost, as the provider counted it. Never raises."""

from __future__ import annotations

from typing import Any

from oturn.model import Message


def records_of(ctx: Any) -> Any:
    """The records of a context, uncopied where it offers that."""
    records = getattr(ctx, "records", None)
    return ctx.history if records is None else records


def newest_usage(ctx: Any) -> dict[str, Any] | None:
    """The usage of the newest answer that has one: the stored object, not a copy."""
    try:
        for record in reversed(records_of(ctx)):
            if isinstance(record, Message) and record.role == "assistant":
                usage = record.usage
                if isinstance(usage, dict):
                    return usage
    except Exception:  # whatever the context is: it has no usage
        return None
    return None

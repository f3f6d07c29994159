"""What a node says it is (`labels`), and what a message asks of its node (`requires`). Pure.

A label is `key=value`, or a `key` alone; a message that asks for `key` is content with any value.
The same rules are in `scripts/prelude.lua` and `scripts/labels.lua`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: How many labels a message may ask for, and characters of one.
REQUIRED_MAX = 16
LABEL_MAX = 127

_LABEL = re.compile(r"[A-Za-z0-9._/-]+(=[A-Za-z0-9._/-]+)?")

#: What one must be.
LABEL_WANTED = (
    "It is key or key=value, of letters, digits, points, hyphens, underscores and slashes, with at"
    f" most {LABEL_MAX} characters."
)

#: What a list of labels must be, for a sentence that refuses another.
LABELS_WANTED = (
    f"at most {REQUIRED_MAX} labels, each key or key=value, of letters, digits, points, hyphens,"
    f" underscores and slashes, and of at most {LABEL_MAX} characters"
)


def is_label(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LABEL_MAX and bool(_LABEL.fullmatch(value))


def requirement(value: object) -> str:
    """The labels of a message's `requires` with commas between them, which is their name in the
    queue; empty for none, and for what is no such list."""
    if not isinstance(value, list) or not 0 < len(value) <= REQUIRED_MAX:
        return ""
    return ",".join(value) if all(is_label(label) for label in value) else ""


def missing(wanted: str, labels: Iterable[str]) -> list[str]:
    """What of a requirement a node with these labels does not have."""
    has = {name for label in labels for name in (label, label.partition("=")[0])}
    return [label for label in wanted.split(",") if label and label not in has]


def meets(labels: Iterable[str], wanted: str) -> bool:
    """Whether a node with these labels may take what asks for this."""
    return not missing(wanted, labels)


def unmet(wanted: str) -> str:
    """What a sender is told whose message no node takes."""
    return f"No node that runs has the labels that this message requires: {wanted}."

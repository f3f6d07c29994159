"""Whether a tool class can be used as one: its functions are called on the class, never on an
instance."""

from __future__ import annotations

import inspect
from types import FunctionType

#: What is called on the class, and what makes it so.
CALLED_ON_THE_CLASS = {
    "execute": "@staticmethod",
    "get_schema": "@classmethod",
    "validate_arguments": "@classmethod",
    "get_preview": "@classmethod",
    "get_precheck": "@classmethod",
    "user_input_hook": "@classmethod",
    "on_denial": "@classmethod",
    "run": "@classmethod",
}


def forgotten_decorator(tool: type) -> str | None:
    """A sentence about the first function that wants an instance; None for a sound class."""
    for name, decorator in CALLED_ON_THE_CLASS.items():
        if _wants_an_instance(inspect.getattr_static(tool, name, None)):
            return (
                f"{tool.__name__}.{name} takes an instance, and there is none: "
                f"write {decorator} above it."
            )
    return None


def _wants_an_instance(found: object) -> bool:
    """A plain function without `self` works when it is called on the class, so it may stay."""
    if not isinstance(found, FunctionType):
        return False
    return next(iter(inspect.signature(found).parameters), "") in ("self", "cls")

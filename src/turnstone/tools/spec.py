"""Reads a tool's JSON file: its name, its description for the model, its parameters."""

from __future__ import annotations

from importlib import resources

import msgspec

from turnstone.core.tool import ToolSpec


def load_spec(name: str) -> ToolSpec:
    data = resources.files("turnstone.tools").joinpath(f"{name}.json").read_bytes()
    return msgspec.json.decode(data, type=ToolSpec)

"""The tools that a model can call. One tool is `name.json` (what it says) and `name.py`."""

from __future__ import annotations

from turnstone.tools.registry import load_tools

__all__ = ["load_tools"]

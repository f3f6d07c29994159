"""Tools that the tests of the runtime run: a base that needs only `execute`."""

from __future__ import annotations

from typing import Any, ClassVar

from oturn import BaseTool


class SmallTool(BaseTool):
    """A tool in the style of user programs, with as little as possible to write."""

    name = "small"
    description = "A tool for tests."
    properties: ClassVar[dict[str, Any]] = {}
    required: ClassVar[list[str]] = []

    @property
    def schema(self) -> dict[str, Any]:
        return self.get_schema()

    @classmethod
    def get_schema(cls) -> dict[str, Any]:
        parameters = {
            "type": "object",
            "properties": cls.properties,
            "required": cls.required,
        }
        function = {"name": cls.name, "description": cls.description, "parameters": parameters}
        return {"type": "function", "function": function}

    @classmethod
    def validate_arguments(cls, args: dict[str, Any]) -> str | None:
        return None

    @classmethod
    def get_preview(cls, args: dict[str, Any]) -> str | None:
        return None

"""Tools: how one is written, registered and run. Knows no model, no history and no policy.

A tool is a class and is used as one; nothing is called on an instance but its `name`, once,
when it is registered. A call goes through: schema, `validate_arguments`, `get_precheck` (with
a person's approval, where that asks for it), `execute`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from oturn.events import ev_approval_request, ev_choice_request
from oturn.model import UserContent
from oturn.questions import Publish, Question, new_future, new_id
from oturn.tools.emitter import Emitter
from oturn.tools.precheck import STATUS_DENY, STATUS_NEEDS_APPROVAL, ToolPrecheckResult
from oturn.tools.schema import problems
from oturn.tools.threads import in_thread

_log = logging.getLogger(__name__)

STATUS_SUCCESS = "success"
STATUS_FAILURE = "failure"
STATUS_DENIED = "denied"


class ToolType(Enum):
    SYNC = "sync"
    ASYNC = "async"
    STREAM = "stream"


@dataclass
class ToolStreamEvent:
    type: str
    data: Any
    metadata: dict[str, Any] | None = None


@dataclass
class ToolResult:
    """How a call ended. `needs_user_input`: the turn hands back to the person."""

    status: str
    content: Any = None
    error: str | None = None
    metadata: dict[str, Any] | None = None
    needs_user_input: bool = False

    @property
    def success(self) -> bool:
        return self.status == STATUS_SUCCESS


class ToolExecutionError(Exception):
    """Raised by `execute` to fail with more than a message."""

    def __init__(
        self,
        message: str,
        *,
        metadata: dict[str, Any] | None = None,
        needs_user_input: bool = False,
        content: Any = None,
    ) -> None:
        super().__init__(message)
        self.metadata = metadata
        self.needs_user_input = needs_user_input
        self.content = content


class BaseTool(ABC):
    """Base of tools. `name` and `description` are usually plain class attributes.

    `execute` is a static function, sync or async, that takes the arguments of the call by
    name. It gets what it names besides: `cancel_event`, `event_publish` (async), `emit_event`
    (sync, from any thread), `event_loop`. A sync one runs in a thread.
    """

    if TYPE_CHECKING:  # tools give plain class attributes, which no checker allows for a property
        name: str
        description: str
    else:

        @property
        @abstractmethod
        def name(self) -> str: ...

        @property
        @abstractmethod
        def description(self) -> str: ...

    @property
    @abstractmethod
    def schema(self) -> dict[str, Any]: ...

    @classmethod
    @abstractmethod
    def get_schema(cls) -> dict[str, Any]:
        """The function-tool object of the API: {"type": "function", "function": {…}}."""

    @staticmethod
    @abstractmethod
    def execute(*args: Any, **kwargs: Any) -> Any:
        """Do it. Returns anything, or a ToolResult."""

    @classmethod
    @abstractmethod
    def validate_arguments(cls, args: dict[str, Any]) -> str | None:
        """What is wrong with the arguments beyond their schema, or None."""

    @classmethod
    @abstractmethod
    def get_preview(cls, args: dict[str, Any]) -> str | None:
        """What a person sees of the call before it runs."""

    @classmethod
    def get_precheck(cls, args: dict[str, Any]) -> ToolPrecheckResult | None:  # noqa: ARG003 for overriding
        """Whether the call may run; None for yes."""
        return None

    @classmethod
    def get_request_template(cls, prefix: str) -> str | None:  # noqa: ARG003 for overriding
        return None

    @classmethod
    def get_response_template(cls, item: Any) -> str | None:  # noqa: ARG003 for overriding
        return None

    @classmethod
    def user_input_hook(cls) -> UserContent | None:
        """Something to attach to the next user input, or None."""
        return None

    @classmethod
    def on_denial(cls, args: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG003 for overriding
        """What the model is told besides, when a call did not succeed."""
        return {}

    @property
    def tool_type(self) -> ToolType:
        return ToolType.SYNC

    @property
    def requires_permission(self) -> bool:
        return False

    @property
    def is_destructive(self) -> bool:
        return False

    def format_result(self, result: ToolResult) -> str:
        if result.success:
            if isinstance(result.content, (dict, list)):
                return json.dumps(result.content, ensure_ascii=False, indent=2, default=str)
            return str(result.content)
        shown = {"error": result.error, "metadata": result.metadata, "status": result.status}
        return json.dumps(shown, ensure_ascii=False, indent=2, default=str)

    @classmethod
    async def run(
        cls,
        args: dict[str, Any],
        *,
        cancel_event: asyncio.Event | None = None,
        approval_publish: Publish | None = None,
        event_publish: Publish | None = None,
    ) -> ToolResult:
        """Check, ask where the precheck says so, execute. What `execute` raises is a failure."""
        wrong = problems(args, cls._parameters())
        if wrong:
            return ToolResult(STATUS_FAILURE, error=" ".join(wrong))
        reason = cls.validate_arguments(args)
        if reason:
            return ToolResult(STATUS_FAILURE, error=reason)
        refused = await cls._refused(args, approval_publish)
        if refused is not None:
            return refused
        async with Emitter(event_publish) as emitter:
            return await cls._executed(args, emitter, cancel_event)

    @classmethod
    async def _refused(
        cls, args: dict[str, Any], approval_publish: Publish | None
    ) -> ToolResult | None:
        precheck = cls.get_precheck(args)
        if precheck is None or precheck.status not in (STATUS_DENY, STATUS_NEEDS_APPROVAL):
            return None
        result = ToolResult(STATUS_DENIED, metadata={"reasons": precheck.reasons})
        if precheck.status == STATUS_DENY:
            result.error = precheck.message or f"{cls.name} may not do this."
            return result
        if approval_publish is not None and await cls._approved(args, precheck, approval_publish):
            return None
        result.error = precheck.message or f"{cls.name} was not approved."
        result.needs_user_input = True
        return result

    @classmethod
    async def _approved(
        cls, args: dict[str, Any], precheck: ToolPrecheckResult, publish: Publish
    ) -> bool:
        request_id = new_id("appr")
        event = ev_approval_request(
            id=request_id,
            tool=str(cls.name),
            args=args,
            future=new_future(),
            precheck={
                "status": precheck.status,
                "message": precheck.message,
                "reasons": precheck.reasons,
                "metadata": precheck.metadata,
            },
        )
        answer = await _ask(Question(event), publish, "denied")
        if isinstance(answer, dict):
            return bool(answer.get("approved", False))
        return bool(answer)

    @classmethod
    async def _request_choice(
        cls, publish: Publish, prompt: str, choices: list[str], *, hint: str | None = None
    ) -> tuple[Any, bool]:
        """Ask a person to choose: (what was selected, whether it was confirmed)."""
        event = ev_choice_request(
            id=new_id("choice"),
            tool=str(cls.name),
            prompt=prompt,
            choices=choices,
            hint=hint,
            future=new_future(),
        )
        answer = await _ask(Question(event), publish, "not chosen")
        if isinstance(answer, dict):
            return answer.get("selected"), bool(answer.get("confirmed"))
        return None, False

    @classmethod
    async def _executed(
        cls, args: dict[str, Any], emitter: Emitter, cancel_event: asyncio.Event | None
    ) -> ToolResult:
        offered = {
            "cancel_event": cancel_event,
            "event_publish": emitter.publish,
            "emit_event": emitter.emit,
            "event_loop": asyncio.get_running_loop(),
        }
        wanted = _named_parameters(cls.execute) & offered.keys()
        own = cls._parameters().get("properties") or {}
        # Not what the model sends under these names, unless they are the tool's own arguments.
        given = args | {name: offered[name] for name in wanted if name not in own}
        try:
            if inspect.iscoroutinefunction(cls.execute):
                value = await cls.execute(**given)
            else:
                value = await in_thread(str(cls.name), cls.execute, given)
                if inspect.isawaitable(value):  # a coroutine function under a plain decorator
                    value = await value
        except ToolExecutionError as problem:
            return ToolResult(
                STATUS_FAILURE,
                problem.content,
                str(problem),
                problem.metadata,
                problem.needs_user_input,
            )
        except (Exception, SystemExit) as problem:
            return ToolResult(STATUS_FAILURE, error=str(problem) or type(problem).__name__)
        return value if isinstance(value, ToolResult) else ToolResult(STATUS_SUCCESS, value)

    @classmethod
    def _parameters(cls) -> dict[str, Any]:
        function = cls.get_schema().get("function")
        parameters = function.get("parameters") if isinstance(function, dict) else None
        return parameters if isinstance(parameters, dict) else {}


class BaseToolRegistry:
    """Tools by name, in the order in which they were registered. The first of a name stays."""

    def __init__(self) -> None:
        self._tools: dict[str, type[BaseTool]] = {}

    def auto_register_tool(self, tool: type[BaseTool]) -> None:
        """Raises ValueError for a class that cannot be made an instance of, or has no name."""
        try:
            name: object = tool().name
        except (TypeError, AttributeError) as problem:
            raise ValueError(f"{_class_name(tool)} is no whole tool: {problem}") from problem
        if not isinstance(name, str) or not name:
            raise ValueError(f"{_class_name(tool)} has no name: set `name` to a word.")
        self._tools.setdefault(name, tool)

    def get_tool_class(self, name: str) -> type[BaseTool] | None:
        return self._tools.get(name)

    def list_tools(self) -> list[str]:
        return list(self._tools)

    def get_schemas(self) -> list[dict[str, Any]]:
        """What the model is offered. A tool whose schema cannot be made is left out, and logged."""
        schemas = []
        for name, tool in self._tools.items():
            try:
                schemas.append(tool.get_schema())
            except Exception:
                _log.exception("the tool %r is not offered: its get_schema fails", name)
        return schemas


async def _ask(question: Question, publish: Publish, by_policy: str) -> Any:
    """The answer of a subscriber; False for an exception as answer, or when nobody took it.

    A future that a subscriber cancels cancels the asker.
    """
    await publish(question)
    settled = await question.settled()
    if settled is None:
        await publish(question.given_up(by_policy))
        return False
    if settled.cancelled():
        raise asyncio.CancelledError
    return False if settled.exception() is not None else settled.result()


def _named_parameters(function: Callable[..., Any]) -> set[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind in kinds}


def _class_name(tool: object) -> str:
    return getattr(tool, "__name__", repr(tool))

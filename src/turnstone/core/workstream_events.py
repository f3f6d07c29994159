"""The records of a workstream as a whole: what it is, and what becomes of its conversation.

Pure data; see `turnstone.core.events`.
"""

from __future__ import annotations

from typing import Any, Literal

from turnstone.core.event_base import (
    Budget,
    Event,
    Grant,
    HistoryMessage,
    Shortened,
)


class WsCreated(Event, frozen=True, kw_only=True):
    """The first record of every workstream.

    A sub-agent is a workstream too: it names the one above it and the call there that it
    carries out. What it may use is narrowed here, for good.
    """

    name: str = ""
    session_id: str = ""
    workspace: str = ""  # absolute path that file tools and commands work in
    auto_approve: bool = False
    auto_approve_tools: list[str] = []
    model: str = ""  # the name of a model of the settings; empty: the node's for chats
    agent: Literal["", "task", "plan"] = ""
    parent: str = ""  # the workstream above
    parent_call: str = ""  # the id of the call there
    tools: list[str] = []  # the only ones that it is offered; empty: all
    unasked: list[str] = []  # that run unasked in it, as was said where its call was allowed
    max_steps: int = 0  # of one of its turns; 0: the node's limit
    depth: int = 0  # how many workstreams are above it
    top_message: str = ""  # the message that all of it is done for, in the topmost one
    budget: Budget = Budget()  # what it may use in all, with everything below it


class ConversationSet(Event, frozen=True, kw_only=True):
    """The conversation is this from here on: emptied, taken over from another workstream, or
    wound back. What stood before stays in the journal, and is neither shown nor sent.

    Where it begins as the one before it, that is not said again: `kept` and `kept_history` tell
    how many messages of that one stay, from the first on, and the lists hold what follows them.
    """

    why: Literal["cleared", "new", "resumed", "rewound", "forked", "imported"] = "cleared"
    kept: int = 0
    messages: list[dict[str, Any]] = []  # as the model is sent them
    kept_history: int = 0
    history: list[HistoryMessage] = []  # as a reader is shown them
    session_id: str = ""  # where it became another session
    source: str = ""  # where it comes from: `<ws_id>`, a file's name


class Compacted(Event, frozen=True, kw_only=True):
    """The oldest messages are no longer sent to the model: these few stand for them.

    Readers still see them all, and `recall` finds them. What stands for them holds the person's
    own words, the plan and the files in work, and the model's account of the rest.
    """

    archived: int = 0  # how many messages of those sent to the model, from the first on
    messages: list[dict[str, Any]] = []  # what stands in their place
    shortened: list[Shortened] = []  # of the messages behind them
    cut: int = 0  # texts of the person, and the plan, of which not every word is kept there
    left_out: int = 0  # the oldest texts of the person, of which none is
    summary: str = ""  # the model's own account, as it is in `messages`
    unsummarised: str = ""  # why there is no account of what was archived last
    why: Literal["full", "asked", "refused"] = "full"  # the window; a person; the provider
    tokens_before: int = 0  # of a request, estimated
    tokens_after: int = 0
    window: int = 0  # tokens, where the provider's refusal told it
    asked: str = ""  # the name in the settings of the model whose window it is about
    model_key: str = ""  # which model that was (`core.models`)
    refused: int = 0  # tokens of a request, estimated, that it refused without telling its window


class PromptSet(Event, frozen=True, kw_only=True):
    """The system prompt from here on, to the byte: what a provider caches begins with it."""

    text: str = ""


class SettingsChanged(Event, frozen=True, kw_only=True):
    """Settings of the conversation that a person changed; None leaves one as it is."""

    model: str | None = None
    persona: str | None = None
    instructions: str | None = None
    effort: str | None = None
    creative: bool | None = None  # no tools are offered, and the prompt is for writing
    show_reasoning: bool | None = None
    debug: bool | None = None


class CommandDone(Event, frozen=True, kw_only=True):
    """A command was carried out that left no other record: the one whose id the `correlation_id`
    is. Sent again, it is not carried out again."""

    name: str = ""


class Titled(Event, frozen=True, kw_only=True):
    """A short title was found for the conversation."""

    title: str = ""


class BudgetSet(Event, frozen=True, kw_only=True):
    """What the workstream, with all sub-agents below it, may use from here on in all."""

    budget: Budget = Budget()
    by: str = ""
    worked: float | None = None  # seconds of work of the workstream until then


class Tainted(Event, frozen=True, kw_only=True):
    """Something from outside was read: from here on, whatever can carry data out is asked."""

    source: str = ""  # the tool, and what it read: `web_fetch example.org`


class GrantRevoked(Event, frozen=True, kw_only=True):
    """A permission of the workstream was taken back. The tool `*` is its auto-approve."""

    grant: Grant = Grant("")
    by: str = ""


class WsRename(Event, frozen=True, kw_only=True):
    """`alias`: the name by which the session is found, unique in the store; None: as it was."""

    name: str = ""
    alias: str | None = None


class WsReopened(Event, frozen=True, kw_only=True):
    """A workstream that was closed goes on."""

    by: str = ""


class WsClosed(Event, frozen=True, kw_only=True):
    reason: str = ""

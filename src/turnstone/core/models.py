"""The models of a node, by name and by what they are for; each with the way to ask it.

A name that nobody set is an error that tells those that are there. Never asks another model
than the one that is named: where that one is down, it is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from oturn.transport.base import ModelRequest, ModelTransport, StreamItem
from turnstone.core.budget import Price
from turnstone.core.errors import UnknownModel
from turnstone.core.host import EndpointHealth
from turnstone.core.model_gate import Gate, Sent, Tell, unseen
from turnstone.core.summary import Summary

ModelRole: TypeAlias = Literal["chat", "agent", "title", "compaction", "extraction"]
"""What a model is asked for: a conversation, that of a sub-agent, its title, a summary of it,
what a tool finds in a long text."""

#: The name of the model that the plain settings name.
DEFAULT = "default"


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model that can be asked. `name` is that of the settings, `id` the endpoint's own."""

    name: str
    id: str
    transport: ModelTransport
    gate: Gate = field(default_factory=Gate)
    context_window: int = 0  # tokens; 0: unknown
    price: Price = field(default_factory=Price)
    practice: bool = False  # it stands in for a model, and understands nothing
    vision: bool = False  # takes images
    told: str = ""  # where it is and what is known of it, for people

    @property
    def key(self) -> str:
        """What tells it from all others that had or will have its name: where it is, what it is
        called there and how much it takes. What was learnt of one holds for no other."""
        known = f"{self.id}\n{self.gate.health().url}\n{self.context_window}"
        return hashlib.sha256(known.encode(errors="replace")).hexdigest()[:12]

    def fitted(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a request to it: an answer takes half of its context at most."""
        fitted = dict(params)
        if self.context_window and "max_tokens" in fitted:
            fitted["max_tokens"] = min(fitted["max_tokens"], max(1, self.context_window // 2))
        return fitted

    def stream(
        self, request: ModelRequest, holder: str, tell: Tell, sent: Sent = unseen
    ) -> AsyncGenerator[StreamItem]:
        """The answer, as a transport gives it; to be closed if it is left early. `holder`: who
        takes turns with others; `tell` hears what the request waits for, `sent` when it is sent."""
        return self.gate.stream(self.transport, request, holder, tell, sent)


class Models:
    """`roles` gives the name of the model for a role; where it does not, a workstream's own
    model is meant, and the default one where that names none."""

    def __init__(
        self,
        default: Model,
        others: Iterable[Model] = (),
        roles: Mapping[ModelRole, str] | None = None,
    ) -> None:
        self.default = default
        self._models = {model.name: model for model in (default, *others)}
        self._roles = {role: name for role, name in (roles or {}).items() if name}
        for name in self._roles.values():
            self.named(name)

    @classmethod
    def one(
        cls,
        transport: ModelTransport,
        model: str,
        context_window: int = 0,
        price: Price | None = None,
        *,
        vision: bool = False,
    ) -> Models:
        """A node with one model."""
        only = Model(
            DEFAULT,
            model,
            transport,
            context_window=context_window,
            price=price or Price(),
            vision=vision,
        )
        return cls(only)

    def __iter__(self) -> Iterator[Model]:
        """All of them, the default one first."""
        return iter(self._models.values())

    def named(self, name: str) -> Model:
        """Raises UnknownModel."""
        model = self._models.get(name)
        if model is None:
            raise UnknownModel(
                f"There is no model {name!r} on this node; there are: {', '.join(self._models)}.",
                hint="Choose one of them, or add it to the settings as [models.<name>].",
            )
        return model

    def name_for(self, workstream: Summary, role: ModelRole = "chat") -> str:
        """The name of the model that is asked for this workstream; nobody has checked it.

        What was chosen for the workstream comes before the roles `chat` and `agent`, and those
        of the other roles before that. For `agent`: what a sub-agent of this workstream gets.
        """
        own = self._roles.get("agent" if workstream.agent else "chat")
        own = workstream.model or own or DEFAULT
        return own if role == "chat" else self._roles.get(role) or own

    def of(self, workstream: Summary, role: ModelRole = "chat") -> Model:
        """The model that is asked for this workstream. Raises UnknownModel."""
        return self.named(self.name_for(workstream, role))

    def window(self, workstream: Summary) -> int:
        """Tokens of the context of the workstream's model; 0: unknown, also where the settings
        name that model no more."""
        model = self._models.get(self.name_for(workstream))
        return model.context_window if model is not None else 0

    def key(self, workstream: Summary) -> str:
        """Of the workstream's model (`Model.key`); empty where the settings name it no more."""
        model = self._models.get(self.name_for(workstream))
        return model.key if model is not None else ""

    def takes_images(self, workstream: Summary) -> bool:
        """Whether the workstream's model takes images."""
        model = self._models.get(self.name_for(workstream))
        return model is not None and model.vision

    def shown(self, workstream: Summary) -> str:
        """What people are shown as the workstream's model: its id, or a name that is unknown."""
        name = self.name_for(workstream)
        model = self._models.get(name)
        return model.id if model is not None else name

    def health(self) -> list[EndpointHealth]:
        """How their endpoints stand."""
        behind: dict[Gate, list[str]] = {}
        for model in self._models.values():
            behind.setdefault(model.gate, []).append(model.name)
        change = msgspec.structs.replace
        return [change(gate.health(), models=names) for gate, names in behind.items()]

    async def aclose(self) -> None:
        for model in self._models.values():
            await model.transport.aclose()

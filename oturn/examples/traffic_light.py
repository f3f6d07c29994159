"""A traffic light with a button for people on foot: `OTurnNucleus` without any language model.

python traffic_light.py
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from oturn import OTurnNucleus, Transition

Colour: TypeAlias = Literal["red", "red and amber", "green", "amber"]
Signal: TypeAlias = Literal["tick", "button"]
Event: TypeAlias = str

NEXT: dict[Colour, Colour] = {
    "red": "red and amber",
    "red and amber": "green",
    "green": "amber",
    "amber": "red",
}
#: Ticks that each colour is shown.
TICKS: dict[Colour, int] = {"red": 3, "red and amber": 1, "green": 4, "amber": 1}


@dataclass(frozen=True)
class Light:
    """What is shown, for how many ticks more, and whether somebody waits to cross."""

    colour: Colour = "red"
    left: int = TICKS["red"]
    waiting: bool = False


def reduce(light: Light, signal: Signal) -> Transition[Light, Event]:
    """The only place that decides. It waits for nothing: time comes in as ticks."""
    if signal == "button":
        return press(light)
    if light.left > 1:
        return Transition(replace(light, left=light.left - 1))
    colour = NEXT[light.colour]
    waiting = light.waiting and colour != "red"
    events = [f"cars: {colour}"]
    if colour == "red":
        events.append("people: walk" if light.waiting else "people: wait")
    if light.colour == "red":
        events.append("people: wait")
    return Transition(Light(colour, TICKS[colour], waiting), events)


def press(light: Light) -> Transition[Light, Event]:
    if light.colour == "red" or light.waiting:
        return Transition(light)
    left = 1 if light.colour == "green" else light.left  # green ends with the next tick
    return Transition(replace(light, left=left, waiting=True), ["button: please wait"])


async def street() -> AsyncIterator[Signal]:
    """What happens: two rounds of ticks, and somebody who wants to cross in the second green."""
    for number in range(1, 19):
        yield "tick"
        if number == 14:
            yield "button"


async def main() -> None:
    light: OTurnNucleus[Light, Signal, Event] = OTurnNucleus(Light(), reduce)
    seen: asyncio.Queue[Event] = asyncio.Queue()
    light.subscribe(seen)
    last = await light.run(street())
    while not seen.empty():
        print(seen.get_nowait())
    print(f"now {last.colour}, {last.left} ticks left")


if __name__ == "__main__":
    asyncio.run(main())

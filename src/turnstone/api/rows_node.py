"""The rows of what belongs to the node: memories, settings, timers, commands. Data only."""

from __future__ import annotations

from turnstone.api.bodies_node import (
    MemoriesReply,
    OkReply,
    PauseTimerRequest,
    RememberRequest,
    SettingsReply,
    TimersReply,
)
from turnstone.api.bodies_turns import CommandReply, CommandRequest, CommandsReply
from turnstone.api.parameters import NEXT, Query, limit
from turnstone.api.rows import Endpoint
from turnstone.core.host import Memory
from turnstone.core.timers import NewTimer, Timer

NODE: tuple[Endpoint, ...] = (
    Endpoint(
        name="memories",
        method="GET",
        path="/api/memories",
        role="read",
        summary="What is remembered: `query=`, `scope=`, `limit=`.",
        reply=MemoriesReply,
        query=(
            Query(name="query", about="Words."),
            Query(name="scope", about="`user`, or `workspace:` and a path."),
            limit("100 without", 1000),
            NEXT,
        ),
    ),
    Endpoint(
        name="remember",
        method="POST",
        path="/api/memories",
        role="full",
        audit="remember",
        summary="Keeps a value under a key.",
        request=RememberRequest,
        reply=Memory,
        idempotency="kept",
    ),
    Endpoint(
        name="forget",
        method="DELETE",
        path="/api/memories",
        role="full",
        audit="forget",
        summary="Deletes what is remembered: `key=`, `scope=`.",
        reply=OkReply,
        query=(
            Query(name="key", about="Of what is remembered.", required=True),
            Query(name="scope", about="`user` without."),
        ),
        errors=(404,),
    ),
    Endpoint(
        name="settings",
        method="GET",
        path="/api/settings",
        role="full",
        summary="Every setting of the program, with its value and where that was set; secrets masked.",
        reply=SettingsReply,
    ),
    Endpoint(
        name="timers",
        method="GET",
        path="/api/timers",
        role="read",
        summary="Messages that are to be sent later, by their next time.",
        reply=TimersReply,
    ),
    Endpoint(
        name="set_timer",
        method="POST",
        path="/api/timers",
        role="full",
        audit="set_timer",
        summary="Sends a message later: at `not_before`, or at each time of the cron line `every`.",
        request=NewTimer,
        reply=Timer,
        errors=(404,),
    ),
    Endpoint(
        name="pause_timer",
        method="POST",
        path="/api/timers/pause",
        role="full",
        audit="pause_timer",
        summary="Pauses a timer, or lets it go on.",
        request=PauseTimerRequest,
        reply=Timer,
        errors=(404,),
    ),
    Endpoint(
        name="cancel_timer",
        method="DELETE",
        path="/api/timers",
        role="full",
        audit="cancel_timer",
        summary="Ends a timer: `timer_id=`.",
        reply=Timer,
        query=(Query(name="timer_id", about="Of the timer.", required=True),),
        errors=(404,),
    ),
    Endpoint(
        name="command",
        method="POST",
        path="/api/command",
        role="full",
        audit="command",
        summary="Carries out a slash command; what it says is on the stream too.",
        request=CommandRequest,
        reply=CommandReply,
        errors=(400, 404, 409),
        idempotency="command_id",
    ),
    Endpoint(
        name="commands",
        method="GET",
        path="/api/commands",
        role="read",
        summary="The slash commands, for completion.",
        reply=CommandsReply,
    ),
)

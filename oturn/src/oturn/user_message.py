"""The record of what a person said: an input, with the notices that tools attach to it."""

from __future__ import annotations

import logging
from datetime import datetime

from oturn.inputs import UserInput
from oturn.model import Message, UserContent
from oturn.runtime_config import OturnAgentConfig
from oturn.tools.base import BaseToolRegistry

_log = logging.getLogger(__name__)


def notices_of(tools: BaseToolRegistry) -> list[UserContent]:
    """What each tool's `user_input_hook` has to say. One that fails is logged and left out."""
    notices = []
    for name in tools.list_tools():
        tool = tools.get_tool_class(name)
        try:
            notice = None if tool is None else tool.user_input_hook()
        except Exception:
            _log.exception("user_input_hook of the tool %r fails", name)
            continue
        if notice is not None:
            notices.append(notice)
    return notices


def user_message(item: UserInput, agent: OturnAgentConfig, notices: list[UserContent]) -> Message:
    """Dated now, in the name of the configured person."""
    content = UserContent(
        user_name=agent.user_name,
        email=agent.email,
        date=datetime.now().astimezone(),
        content=item.text,
        tool_contents=notices or None,
        channel_headers=item.channel_headers or None,
        platform_event_id=item.platform_event_id or None,
    )
    return Message(role="user", content=content)

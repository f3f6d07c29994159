"""The handler that shows the settings of the program. Changes none; secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from turnstone.api import endpoints as api
from turnstone.core.config import Described, Settings, describe
from turnstone.server.routes import Call, Handler, Node, answer


async def settings(node: Node, _call: Call[None]) -> Response:
    return answer(_shown(node.settings) if node.settings else api.SettingsReply())


HANDLERS: Mapping[str, Handler] = {"settings": settings}


def _shown(found: Settings) -> api.SettingsReply:
    return api.SettingsReply(
        program=found.program,
        file=str(found.file or ""),
        settings=[_row(described) for described in describe(found)],
        warnings=found.warnings,
    )


def _row(described: Described) -> api.SettingRow:
    return api.SettingRow(
        name=described.name,
        value=described.value,
        source=described.source.kind,
        where=described.source.where,
        meaning=described.meaning,
        secret=described.secret,
    )

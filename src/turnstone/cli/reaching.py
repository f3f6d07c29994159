"""A node that runs somewhere, and the token that may be sent to it."""

from __future__ import annotations

from urllib.parse import urlsplit

from turnstone.api.http_host import HttpHost
from turnstone.api.token import find_token, token_path
from turnstone.core.config import Settings


def host_at(url: str, settings: Settings) -> HttpHost:
    """The node there, with the token that is meant for it: the one of the settings; else, for this
    machine alone, the one that lies beside the store. Raises ConfigurationError."""
    if token := settings.auth.token.reveal():
        return HttpHost(url, token, token_from=str(settings.source("auth.token")))
    if urlsplit(url).hostname not in ("127.0.0.1", "::1", "localhost"):
        return HttpHost(url)
    state = settings.store.path.parent
    return HttpHost(url, find_token(state), token_from=f"the file {token_path(state)}")

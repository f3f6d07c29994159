"""A weather service on loopback that answers as wttr.in does, and notes what it was asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

NOW = {
    "temp_C": "18",
    "FeelsLikeC": "17",
    "humidity": "60",
    "windspeedKmph": "11",
    "weatherDesc": [{"value": "Partly cloudy"}],
}


class WeatherService:
    """A context manager; `paths` and `agents` hold what came in."""

    def __init__(self, answer: Any = None, status: int = 200) -> None:
        self.paths: list[str] = []
        self.agents: list[str | None] = []
        self._answer = {"current_condition": [NOW]} if answer is None else answer
        self._status = status

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.paths.append(self.path)
                service.agents.append(self.headers["user-agent"])
                body = json.dumps(service._answer).encode()
                self.send_response(service._status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

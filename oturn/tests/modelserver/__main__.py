"""`python -m modelserver --plan echo`: the scripted server as a program, until interrupted."""

from __future__ import annotations

import argparse
import signal
import threading

from modelserver.plans import PLANS
from modelserver.server import ModelServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="modelserver", description=__doc__)
    parser.add_argument("--plan", choices=sorted(PLANS), default="echo")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--model", default="scripted-model")
    parser.add_argument("--token-delay", type=float, default=0.0, help="seconds between chunks")
    options = parser.parse_args()
    server = ModelServer(
        PLANS[options.plan],
        model=options.model,
        token_delay=options.token_delay,
        host=options.host,
        port=options.port,
    )
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    with server:
        print(server.base_url, flush=True)
        over.wait()


if __name__ == "__main__":
    main()

"""A program of its own: the text of some pages of the PDF on stdin. What reads PDF may hang or grow.

Started by `described`, with its order as JSON in the one argument. Prints one JSON object:
`pages` (how many there are), `texts` (of the wanted pages, as far as the room goes), `error`.
Opens no file and no connection.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any


def main() -> int:
    order: dict[str, Any] = json.loads(sys.argv[1])
    for limit, most in (
        (resource.RLIMIT_AS, order["memory"]),
        (resource.RLIMIT_CPU, order["seconds"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(limit, (most, most))
        except (ValueError, OSError):
            continue  # where a system has no such limit, who started this still has a clock
    found: dict[str, Any] = {"pages": 0, "texts": [], "error": ""}
    try:
        _read(order, found)
    except MemoryError:
        found["error"] = "takes more memory to read than it may have"
    except Exception as error:  # broken in one of the many ways in which a PDF can be
        found["error"] = f"cannot be read ({type(error).__name__})"
    sys.stdout.buffer.write(json.dumps(found).encode())
    return 0


def _read(order: dict[str, Any], found: dict[str, Any]) -> None:
    import pypdf

    reader = pypdf.PdfReader(sys.stdin.buffer)
    if reader.is_encrypted and not reader.decrypt(""):
        found["error"] = "can only be opened with a password"
        return
    found["pages"] = len(reader.pages)
    room: int = order["room"]
    first: int = order["first"]
    last = min(found["pages"], first + order["count"] - 1) if order["count"] else found["pages"]
    for number in range(first, last + 1):
        text = reader.pages[number - 1].extract_text().strip()
        found["texts"].append(text[:room])
        room -= len(text)
        if room <= 0:
            return


if __name__ == "__main__":
    sys.exit(main())

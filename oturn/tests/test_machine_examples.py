"""The examples that have nothing to do with language models: each runs, and tells its story."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
#: Seconds that an example gets; it needs less than one.
PATIENCE = 30

STORIES = {
    "traffic_light.py": """\
cars: red and amber
people: wait
cars: green
cars: amber
cars: red
people: wait
cars: red and amber
people: wait
cars: green
button: please wait
cars: amber
cars: red
people: walk
now red, 1 ticks left
""",
    "order.py": """\
refused: A-7 is not shipped before it is paid
2000 cents paid, 3000 are missing
refused: 9000 cents cannot be paid: 3000 are missing
3000 cents paid, that is all
A-7 is in parcel P-1
A-7 is shipped, and over: True
""",
}


@pytest.mark.parametrize(("name", "story"), STORIES.items())
def test_the_example_tells_its_story(name: str, story: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == (story, "", 0)


@pytest.mark.parametrize("name", STORIES)
def test_no_language_model_and_no_network_is_loaded(name: str) -> None:
    code = (
        "import runpy, sys; "
        f"runpy.run_path({str(EXAMPLES / name)!r}, run_name='__main__'); "
        "print([m for m in ('pydantic', 'httpx2', 'oturn.runtime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")

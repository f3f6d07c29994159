"""How commands are confined: the implementations of `turnstone.core.sandbox.Sandbox`.

`find_sandbox` tries what this machine can hold back, and returns the best that held.
"""

from __future__ import annotations

from turnstone.sandbox.bwrap import Bubblewrap
from turnstone.sandbox.landlock import Landlock
from turnstone.sandbox.none import Unconfined
from turnstone.sandbox.probe import find_sandbox

__all__ = ["Bubblewrap", "Landlock", "Unconfined", "find_sandbox"]

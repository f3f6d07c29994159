"""`oturn.oturn`, where programs look for `Oturn` and the prewarm functions. Nothing else."""

from __future__ import annotations

from oturn.llm_transport import get_global_litellm_prewarm_error, start_global_litellm_prewarm
from oturn.runtime import Oturn

__all__ = ["Oturn", "get_global_litellm_prewarm_error", "start_global_litellm_prewarm"]

"""Keeps secrets out of the log: one filter, on every handler of the process."""

from __future__ import annotations

import logging

from turnstone.core.masking import Masking


class MaskingFilter(logging.Filter):
    """Masks a record's text, with its traceback, before any handler writes it."""

    def __init__(self, masking: Masking) -> None:
        super().__init__()
        self._masking = masking

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._masking.text(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._masking.text(record.exc_text)
        return True


def mask_logs(masking: Masking) -> None:
    """From now on; in place of what was masked before."""
    for handler in logging.getLogger().handlers:
        for former in [one for one in handler.filters if isinstance(one, MaskingFilter)]:
            handler.removeFilter(former)
        handler.addFilter(MaskingFilter(masking))

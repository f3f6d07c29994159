"""Takes secrets out of text before it reaches a model, a journal, a reader or a log. Pure.

Two kinds are known: the very values that this process was given (settings, environment), in
the spellings in which they turn up, and what has the look of one: keys of well-known makes by their
shape, and values by the header or parameter whose name they follow. It hides
what it knows, through escapes of terminals and characters that nobody sees; it finds no secret
that looks like any other word, and promises none.

Messages of people, and what a model says, stay as they are written: nothing is masked there.
"""

from turnstone.core.masking.masks import MASK, Masking, StreamMasking
from turnstone.core.masking.shapes import HELD
from turnstone.core.masking.values import SHORTEST, is_place, secrets_of, spelled

__all__ = [
    "HELD",
    "MASK",
    "SHORTEST",
    "Masking",
    "StreamMasking",
    "is_place",
    "secrets_of",
    "spelled",
]

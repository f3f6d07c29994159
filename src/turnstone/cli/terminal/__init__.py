"""The terminal front end for people: scrollback above, one small live area below.

What is finished is printed once and belongs to the terminal's own scrollback; never an
alternate screen. `app` is the entry; `view` and `paint` are pure.
"""

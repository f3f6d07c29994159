"""The engine: workstreams, turns, journal, policy. No HTTP, no Redis, no terminal."""

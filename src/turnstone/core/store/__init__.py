"""Where journals are kept: the protocol of a store, and the one on SQLite."""

from sqlite3 import sqlite_version

from turnstone.core.store.base import Appended, Store, WorkstreamRow
from turnstone.core.store.sqlite import SqliteStore

__all__ = ["Appended", "SqliteStore", "Store", "WorkstreamRow", "sqlite_version"]

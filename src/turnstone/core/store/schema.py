"""The tables, by migration. A number once released is never edited: changes are new numbers.

workstream  one row each: who owns it, under which epoch, and what lists show
record      the journals: one envelope a row, in the order of `seq`, never changed
accepted    every correlation id that was ever accepted, and where it is
said        every message and title: where it is; `id` is the order in which they are found
said_terms  the words of each, in the database's own full-text index (`search`)
session     which sessions were in which workstream
alias       the names that people gave to sessions
memory      what is remembered across conversations
erased      the SHA-256 of every correlation id whose workstream was erased: never run again
erasures    how many workstreams were erased: one row, one number
timer       messages that are to be sent later; `due` is 0 where nothing comes by itself
node        when a node was last heard of (PostgreSQL alone)

`checksum` (NULL in rows that an older version wrote) covers all other columns of its row, but for
`state` and `parent`: those are in the summary, and stand here once more to be counted and found by.
Here and in `Dialect` is all that SQLite and PostgreSQL are told differently.
"""

from __future__ import annotations

from typing import NamedTuple

from turnstone.core.errors import StoreError


class Dialect(NamedTuple):
    """What one database spells in its own way. `locked`: ends a SELECT whose rows are to be
    changed, where beginning the transaction does not lock them."""

    name: str
    real: str
    integer: str
    blob: str
    without_rowid: str
    locked: str
    words: str  # makes a value of the full-text index of words, parted by spaces
    matches: str  # a condition on that index, with a query
    quote: str  # around each word of a query, and what stands between them
    both: str
    rising: bool  # the index gives what matches by its number, the newest first, as it finds it


SQLITE = Dialect(
    name="sqlite",
    real="REAL",
    integer="INTEGER",
    blob="BLOB",
    without_rowid="WITHOUT ROWID",
    locked="",
    words="?",
    matches="said_terms MATCH ?",
    quote='"',
    both=" AND ",
    rising=True,
)
POSTGRES = Dialect(
    name="postgres",
    real="DOUBLE PRECISION",
    integer="BIGINT",
    blob="BYTEA",
    without_rowid="",
    locked=" FOR UPDATE",
    words="array_to_tsvector(string_to_array(?, ' '))",
    matches="terms @@ CAST(? AS tsquery)",
    quote="'",
    both=" & ",
    rising=False,
)


class Migration(NamedTuple):
    """Statements, parted by semicolons: for both, then for the one or the other. `search`: what
    was said before is to be found from here on."""

    both: str
    sqlite: str = ""
    postgres: str = ""
    search: bool = False


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        """
        CREATE TABLE workstream (
            ws_id       TEXT PRIMARY KEY,
            session_id  TEXT NOT NULL,
            created     {real} NOT NULL,
            owner       TEXT NOT NULL,
            epoch       {integer} NOT NULL,
            last_seq    {integer} NOT NULL,
            open_turns  {integer} NOT NULL,
            closed      {integer} NOT NULL,
            summary     {blob} NOT NULL
        ) {without_rowid};
        CREATE INDEX workstream_by_owner ON workstream (owner) WHERE closed = 0;
        CREATE TABLE record (
            ws_id           TEXT NOT NULL,
            seq             {integer} NOT NULL,
            type            TEXT NOT NULL,
            correlation_id  TEXT NOT NULL,
            body            {blob} NOT NULL,
            PRIMARY KEY (ws_id, seq)
        ) {without_rowid};
        CREATE TABLE accepted (
            correlation_id  TEXT PRIMARY KEY,
            ws_id           TEXT NOT NULL,
            seq             {integer} NOT NULL
        ) {without_rowid};
        """
    ),
    Migration(
        """
        ALTER TABLE workstream ADD COLUMN updated {real} NOT NULL DEFAULT 0;
        CREATE TABLE erased (
            correlation_hash  {blob} PRIMARY KEY
        ) {without_rowid};
        """,
        # No store on PostgreSQL is older than this column.
        sqlite="""
        UPDATE workstream SET updated = coalesce(
            (SELECT json_extract(CAST(r.body AS TEXT), '$.timestamp') FROM record r
             WHERE r.ws_id = workstream.ws_id AND r.seq = workstream.last_seq),
            created);
        """,
    ),
    Migration(
        """
        ALTER TABLE workstream ADD COLUMN checksum {integer};
        ALTER TABLE record ADD COLUMN checksum {integer};
        """
    ),
    Migration(
        """
        ALTER TABLE workstream ADD COLUMN state TEXT NOT NULL DEFAULT '';
        DROP INDEX workstream_by_owner;
        CREATE INDEX workstream_in_order ON workstream (owner, created, ws_id) WHERE closed = 0;
        CREATE INDEX workstream_by_state ON workstream (owner, closed, state);
        """,
        sqlite="""
        UPDATE workstream SET state =
            coalesce(json_extract(CAST(summary AS TEXT), '$.state'), '')
        WHERE json_valid(CAST(summary AS TEXT));
        """,
        # In a string of the JSON a quotation mark has a backslash before it: this finds the key.
        postgres="""
        UPDATE workstream SET state =
            coalesce(substring(convert_from(summary, 'UTF8') from '"state":"([a-z]*)"'), '');
        """,
    ),
    Migration(
        """
        CREATE INDEX workstream_at_work ON workstream (created, ws_id)
            WHERE closed = 0 AND open_turns > 0;
        """,
        postgres="""
        CREATE TABLE node (
            node_id  TEXT PRIMARY KEY,
            seen     DOUBLE PRECISION NOT NULL
        );
        """,
    ),
    Migration(
        """
        CREATE INDEX record_ending ON record (correlation_id) WHERE type = 'turn_ended';
        CREATE TABLE erasures (number {integer} NOT NULL);
        INSERT INTO erasures VALUES (0);
        """
    ),
    Migration(
        """
        CREATE TABLE said (
            id          {integer} PRIMARY KEY,
            ws_id       TEXT NOT NULL,
            session_id  TEXT NOT NULL,
            seq         {integer} NOT NULL,
            part        {integer} NOT NULL,
            role        TEXT NOT NULL
        );
        CREATE UNIQUE INDEX said_place ON said (ws_id, seq, part);
        CREATE TABLE session (
            session_id  TEXT NOT NULL,
            ws_id       TEXT NOT NULL,
            PRIMARY KEY (session_id, ws_id)
        ) {without_rowid};
        CREATE INDEX session_of ON session (ws_id);
        CREATE TABLE alias (
            alias  TEXT PRIMARY KEY,
            ws_id  TEXT NOT NULL UNIQUE
        ) {without_rowid};
        CREATE TABLE memory (
            scope    TEXT NOT NULL,
            key      TEXT NOT NULL,
            value    TEXT NOT NULL,
            created  {real} NOT NULL,
            updated  {real} NOT NULL,
            PRIMARY KEY (scope, key)
        ) {without_rowid};
        CREATE INDEX workstream_latest ON workstream (updated DESC, ws_id);
        """,
        # Our own words, of letters and digits: to this tokenizer all else than ASCII is a letter.
        # On PostgreSQL, what is not sorted into the index yet is looked through by each search.
        sqlite="""
        CREATE VIRTUAL TABLE said_terms USING fts5(
            terms, tokenize = 'ascii', detail = none, columnsize = 0
        );
        """,
        postgres="""
        CREATE TABLE said_terms (
            rowid  BIGINT PRIMARY KEY,
            terms  TSVECTOR NOT NULL
        );
        CREATE INDEX said_terms_words ON said_terms USING gin (terms)
            WITH (gin_pending_list_limit = 128);
        """,
        search=True,
    ),
    Migration(
        """
        ALTER TABLE workstream ADD COLUMN parent TEXT NOT NULL DEFAULT '';
        """,
        sqlite="""
        UPDATE workstream SET parent =
            coalesce(json_extract(CAST(summary AS TEXT), '$.parent'), '')
        WHERE json_valid(CAST(summary AS TEXT));
        CREATE INDEX workstream_below ON workstream (parent, created, ws_id) WHERE parent <> '';
        """,
        # An id that a summary names is one of ours, and has nothing in it that JSON would escape.
        postgres="""
        UPDATE workstream SET parent =
            coalesce(substring(convert_from(summary, 'UTF8') from '"parent":"([^"]*)"'), '');
        CREATE INDEX workstream_below ON workstream (parent, created, ws_id) WHERE parent <> '';
        """,
    ),
    Migration(
        """
        CREATE TABLE timer (
            timer_id  TEXT PRIMARY KEY,
            ws_id     TEXT NOT NULL,
            revision  {integer} NOT NULL,
            due       {real} NOT NULL,
            lives     {integer} NOT NULL,
            changed   {real} NOT NULL,
            body      {blob} NOT NULL
        ) {without_rowid};
        CREATE INDEX timer_due ON timer (due) WHERE due > 0;
        """
    ),
)


def statements(migration: Migration, dialect: Dialect) -> list[str]:
    """What to execute for a migration, in order."""
    script = migration.both.format(**dialect._asdict())
    script += migration.sqlite if dialect is SQLITE else migration.postgres
    return [statement for statement in script.split(";") if statement.strip()]


def unsearched(version: int) -> bool:
    """Whether tables of this version keep nothing to be found by."""
    return any(migration.search for migration in MIGRATIONS[version:])


def upgrade(version: int, dialect: Dialect, store: str, option: str) -> list[str]:
    """What to execute to bring tables of this version up to date, in order.

    Raises StoreError for those of a newer version; `option` is how another store is named.
    """
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{store} was written by a newer turnstone (schema {version}, "
            f"this one knows {len(MIGRATIONS)}).",
            hint=f"Use that version, or name another store with {option}.",
        )
    return [one for migration in MIGRATIONS[version:] for one in statements(migration, dialect)]

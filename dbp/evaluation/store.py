"""Counted groups on disk: an SQLite database, a row for each receiver and group of blocks.

The measures of a group are a pure function of its key (`dbp.evaluation.groups`), so a row that is
there need not be counted again, and one that is counted twice is kept once. Every call of
`Results.add` is one transaction in write-ahead mode: a process that is killed loses what it had not
yet added, nothing else. Rows carry a checksum; a damaged one is taken as missing, a damaged file is
refused. One process writes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dbp.errors import DbpError, InputError
from dbp.evaluation.measures import Measures

# The version of the table below, in the file: another one is refused, not converted.
_VERSION = 1
_TABLE = """
create table units (
  scenario text not null,  -- dbp.evaluation.groups.Scenario.key
  receiver text not null,  -- key of the receiver
  number integer not null,  -- of the group of blocks, from 0
  measures text not null,  -- dbp.evaluation.measures.Measures as JSON
  checksum text not null,  -- SHA-256 of the four before it
  primary key (scenario, receiver, number)
) without rowid
"""


class CountedGroup(NamedTuple):
    """The measures of one group, and its key: see the columns of the table."""

    scenario: str
    receiver: str
    number: int
    measures: Measures


class Results:
    """The database at ``path``, made if it is missing; a context manager that closes it.

    ``fresh``: what it holds is not loaded, and goes with the first groups that are added, in one
    transaction. Raises `InputError` where the file is damaged or no database of ours (a fresh one
    replaces it), `DbpError` where it cannot be written.
    """

    def __init__(self, path: str | Path, *, fresh: bool = False) -> None:
        self._path, self._fresh = Path(path), fresh
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._damaged = False
        try:
            self._connect()
        except InputError:
            if not fresh:
                raise
            # It goes like what a sound one holds: when the first groups are there.
            self._damaged = True
            self._database = sqlite3.connect(":memory:")

    def _connect(self) -> None:
        with self._errors():
            self._database = sqlite3.connect(self._path, isolation_level=None)
        # A damaged text need not be UTF-8: its checksum tells.
        self._database.text_factory = lambda text: text.decode(errors="replace")
        try:
            self._open()
        except BaseException:
            self._database.close()
            raise

    def _open(self) -> None:
        with self._errors():
            execute = self._database.execute
            (verdict,) = execute("pragma quick_check(1)").fetchone()
            (version,) = execute("pragma user_version").fetchone()
            (tables,) = execute("select count(*) from sqlite_master").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            if (version, tables) == (0, 0):
                execute("pragma journal_mode = wal")
                execute("begin")
                execute(_TABLE)
                execute(f"pragma user_version = {_VERSION}")
                execute("commit")
            elif version != _VERSION:
                raise InputError(
                    f"{self._path}: version {version}: must be {_VERSION}; delete the file to "
                    "start over"
                )

    def load(self, scenario: str, receiver: str) -> dict[int, Measures]:
        """Return the sound measures of a scenario and a receiver by the number of their group."""
        if self._fresh:
            return {}
        with self._errors():
            rows = self._database.execute(
                "select number, measures, checksum from units where scenario = ? and receiver = ?",
                (scenario, receiver),
            ).fetchall()
        return {
            number: Measures(**json.loads(text))
            for number, text, checksum in rows
            if checksum == _checksum(scenario, receiver, number, text)
        }

    def add(self, groups: Iterable[CountedGroup]) -> None:
        """Keep counted groups; all of them are on disk when it returns, or none."""
        rows = []
        for scenario, receiver, number, measures in groups:
            text = json.dumps(dataclasses.asdict(measures), sort_keys=True, allow_nan=False)
            key = scenario, receiver, number
            rows.append((*key, text, _checksum(*key, text)))
        if self._damaged:
            self._database.close()
            remove(self._path)
            self._connect()
            self._damaged = False
        with self._errors():
            self._database.execute("begin immediate")
            try:
                if self._fresh:
                    self._database.execute("delete from units")
                self._database.executemany("insert or replace into units values (?,?,?,?,?)", rows)
                self._database.execute("commit")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("rollback")
                raise
        self._fresh = False

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *exception: object) -> None:
        self._database.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # full, read-only, locked by another process
            # SQLite reports a full disk so, too, if it cannot make its files beside the database.
            hint = (
                " (is the disk full?)"
                if getattr(error, "sqlite_errorcode", 0) & 255 == sqlite3.SQLITE_IOERR
                else ""
            )
            raise DbpError(f"{self._path}: {error}{hint}") from None
        except sqlite3.DatabaseError as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self._path}: damaged or no database ({reason}): delete the file to start over"
            ) from None


def remove(path: Path) -> None:
    """Delete a database and what write-ahead mode has put beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _checksum(scenario: str, receiver: str, number: int, text: str) -> str:
    return hashlib.sha256(f"{scenario}\n{receiver}\n{number}\n{text}".encode()).hexdigest()

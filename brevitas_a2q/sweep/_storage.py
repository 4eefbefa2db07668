"""Where a sweep is kept: an SQLite file, a journal file, or a PostgreSQL server, all through Optuna.

SQLite has no ``SELECT ... FOR UPDATE``, with which Optuna claims a waiting trial: of two processes that read "waiting"
at the same time both go on to write "running". Here every SQLite transaction takes the write lock when it begins
(``BEGIN IMMEDIATE``), so that reading and claiming are one step. ``benchmarks/sweep_storage.py`` measures what that is
worth, and why SQLite and not the journal is the default.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from brevitas_a2q.errors import SweepError
from brevitas_a2q.sweep._journal import WholeLinesJournal

__all__ = ["JOURNAL", "open_storage", "visible"]

JOURNAL: Final = "journal:"
INSTALL: Final = "pip install 'brevitas_a2q[sweep]'"
_FORMS: Final = "sqlite:///FILE, journal:FILE or postgresql://USER@HOST/DATABASE"
_WAIT_SECONDS: Final = 60  # for SQLite's write lock
_ATTEMPTS: Final = 8


@contextlib.contextmanager
def open_storage(address: str, must_exist: bool = False) -> Iterator[BaseStorage]:
    """The storage at an address, until the block is left; its file or tables are made where there are none.

    Args:
        address: ``sqlite:///FILE``, ``journal:FILE`` or ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.
        must_exist: Refuse to make a file.

    Raises:
        SweepError: An address of no such form, nothing can be reached or made there, or the database fails inside the
            block; no message shows a password.
    """
    optuna.logging.get_logger("optuna").setLevel(logging.WARNING)
    with _database_errors(address):
        storage = _opened(address, must_exist)
        try:
            # Optuna's own cache in front of a database; without it every look at the queue reads every trial.
            yield optuna.storages.get_storage(storage)
        finally:
            if isinstance(storage, RDBStorage):
                storage.remove_session()
                storage.engine.dispose()


def visible(address: str) -> str:
    """The address with its password hidden.

    Example:
        >>> visible("postgresql://me:secret@host/sweeps")
        'postgresql://me:***@host/sweeps'
        >>> visible("postgresql://me@host/sweeps?password=secret")
        'postgresql://me@host/sweeps?password=***'
    """
    if address.startswith(JOURNAL):
        return address
    url = _parsed(address)
    if url is None:
        return f"{address.partition(':')[0]}..."
    hidden = {key: "***" for key in url.query if "password" in key}
    return url.update_query_dict(hidden).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def _opened(address: str, must_exist: bool) -> BaseStorage:
    try:
        if address.startswith(JOURNAL):
            return JournalStorage(WholeLinesJournal(_file(address, address[len(JOURNAL) :], must_exist)))
        url = _url(address)
        if url.drivername != "sqlite":
            return _made(url, {"connect_args": {"connect_timeout": 10}, "pool_pre_ping": True})
        url = url.set(database=str(_file(address, url.database or "", must_exist)))
        storage = _made(url, {"connect_args": {"timeout": _WAIT_SECONDS}})
        _lock_at_begin(storage.engine)
        return storage
    except SweepError:
        raise
    except ImportError as error:
        raise _not_installed(error) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SweepError(f"cannot be used ({reason})", where=visible(address), expected=_FORMS) from error


def _not_installed(error: ImportError) -> SweepError:
    return SweepError(f"found no {error.name}", expected="the packages of sweeps", remedy=INSTALL)


@contextlib.contextmanager
def _database_errors(address: str) -> Iterator[None]:
    """Turn what a database raises into one line without a password."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error if isinstance(error, SQLAlchemyError) else error.__cause__ or error
        line = str(getattr(cause, "orig", None) or cause).strip().partition("\n")[0]
        for password in _passwords(address):
            line = line.replace(password, "***")
        where, expected = visible(address), "a database that answers"
        raise SweepError(f"cannot be used ({line})", where=where, expected=expected) from None


def _passwords(address: str) -> list[str]:
    """What no message may show; libpq takes some from the query, too."""
    url = None if address.startswith(JOURNAL) else _parsed(address)
    if url is None:
        return []
    of_query = [str(value) for key, value in url.query.items() if "password" in key]
    return [password for password in (str(url.password or ""), *of_query) if password]


def _parsed(address: str) -> URL | None:
    """The parts of an address; None where it has none that can be told apart from a password."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # ValueError: of a port that is no number
        return None
    return None if "@" in (url.host or "") else url


def _url(address: str) -> URL:
    url = _parsed(address)
    backend = "" if url is None else url.get_backend_name()
    if url is None or backend not in ("sqlite", "postgresql", "postgres"):
        remedy = "write ':' and '@' in a password as %3A and %40" if "@" in address else None
        raise SweepError(f"found storage {visible(address)}", expected=_FORMS, remedy=remedy)
    if backend == "sqlite":
        return url.set(drivername="sqlite")
    return url.set(drivername="postgresql+psycopg")


def _file(address: str, name: str, must_exist: bool) -> Path:
    if name in ("", ":memory:"):
        raise SweepError(f"found storage {address}", expected="the name of a file that all workers can open")
    path = Path(name).resolve()
    if must_exist and not path.is_file():
        raise SweepError("there is no such file", where=str(path), expected="the storage of a sweep")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _made(url: URL, options: dict[str, Any]) -> RDBStorage:
    """Open the database; two processes that make its tables at the same time disturb each other, and try again."""
    engine = sqlalchemy.create_engine(url, **options)
    sqlalchemy.inspect(engine).get_table_names()  # no server, or a file that is no database, is an error at once
    engine.dispose()
    text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")  # Optuna formats it
    for attempt in range(_ATTEMPTS):
        try:
            return RDBStorage(text, engine_kwargs=options)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError):
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep((1 + random.random()) * 0.1 * 2**attempt / 2)
    raise AssertionError("unreachable")


def _lock_at_begin(engine: Engine) -> None:
    """Take SQLite's write lock when a transaction begins, and do not wait for the disk at each one's end."""

    @sqlalchemy.event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # sqlite3 begins no transactions of its own
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")  # no kill of a process loses anything; a power cut may, and
        # then the folders of the runs still have their results

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections made before are of the other kind

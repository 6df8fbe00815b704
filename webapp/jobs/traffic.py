"""What went through the tunnel in each month, kept: a tunnel's free month has an end."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BigInteger, Column, String, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from webapp.jobs.store import TABLES, Store

TRAFFIC = Table(
    "traffic",
    TABLES,
    Column("month", String(7), primary_key=True),  # 2026-11
    Column("requests", BigInteger, nullable=False, default=0),
    Column("bytes_in", BigInteger, nullable=False, default=0),
    Column("bytes_out", BigInteger, nullable=False, default=0),
)


class Traffic(NamedTuple):
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def and_(self, other: Traffic) -> Traffic:
        return Traffic(*(mine + more for mine, more in zip(self, other)))


class Ledger:
    def __init__(self, store: Store) -> None:
        self._database = store.database

    def of(self, month: str) -> Traffic:
        with self._database.connect() as db:
            row = db.execute(select(TRAFFIC.c.requests, TRAFFIC.c.bytes_in, TRAFFIC.c.bytes_out).where(TRAFFIC.c.month == month))
            return Traffic(*(row.one_or_none() or ()))

    def add(self, month: str, more: Traffic) -> None:
        insert = (sqlite if self._database.dialect.name == "sqlite" else postgresql).insert(TRAFFIC)
        with self._database.begin() as db:
            db.execute(insert.values(month=month, requests=0, bytes_in=0, bytes_out=0).on_conflict_do_nothing())
            summed = {name: TRAFFIC.c[name] + number for name, number in more._asdict().items()}
            db.execute(update(TRAFFIC).where(TRAFFIC.c.month == month).values(summed))

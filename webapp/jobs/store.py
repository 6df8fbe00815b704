"""What lasts: jobs and pictures in a database. Every change is one statement, so a server may be killed between any two."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from webapp.schema import GenerationRequest, Receipt

QUEUED, RUNNING, DONE, FAILED, CANCELLED = ("queued", "running", "done", "failed", "cancelled")
ACTIVE = (QUEUED, RUNNING)
GONE = 1.0  # in place of when a picture was deleted: its job has others to show, and is not to draw it again

_PLAN = TypeAdapter(tuple[GenerationRequest, ...])
TABLES = MetaData()
JOBS = Table(
    "jobs",
    TABLES,
    Column("id", String(32), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("key", String(64), nullable=False),  # two submits of one owner with one key are one job
    Column("request", Text, nullable=False),  # as it was sent
    Column("plan", Text, nullable=False, server_default="[]"),  # one request for each picture of it
    Column("state", String(16), nullable=False),
    Column("error", Text, nullable=False, default=""),
    Column("created", Float, nullable=False),  # seconds since 1970, as all times here
    Column("started", Float),
    Column("finished", Float),
    Column("attempts", Integer, nullable=False, default=0),
    Column("worker", String(64)),
    Column("lease", Float),  # until when the worker has it without a word
    UniqueConstraint("owner", "key"),
    Index("jobs_by_state", "state", "owner", "created"),
    Index("jobs_by_owner", "owner", "created"),
)
PICTURES = Table(
    "pictures",
    TABLES,
    Column("id", String(32), primary_key=True),
    Column("job", String(32), ForeignKey("jobs.id"), nullable=False),
    Column("number", Integer, nullable=False),  # its place among the job's pictures, from 0
    Column("owner", String(64), nullable=False),
    Column("receipt", Text, nullable=False),
    Column("prompt", Text, nullable=False),  # the receipt's, to be searched
    Column("created", Float, nullable=False),
    Column("favourite", Boolean, nullable=False, default=False),
    Column("deleted", Float),  # when; its files stay a while, so that it can be brought back; GONE when they do not any more
    Column("share", String(32), unique=True),  # who knows this may see the picture
    UniqueConstraint("job", "number"),
    Index("pictures_by_owner", "owner", "created"),
)
HANDED_IN = Table(  # who has handed in which picture to draw from; one that two people have is kept once
    "handed_in",
    TABLES,
    Column("owner", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
)


def new_id() -> str:
    """An id that nobody can guess: 128 bits."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True)
class Job:
    id: str
    owner: str
    request: GenerationRequest
    plan: tuple[GenerationRequest, ...]
    state: str
    error: str
    created: float
    started: float | None
    finished: float | None
    attempts: int

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


@dataclass(frozen=True)
class Picture:
    id: str
    job: str
    number: int
    owner: str
    receipt: Receipt
    created: float
    favourite: bool = False
    deleted: float | None = None
    share: str = ""


class Store:
    """Jobs and pictures at a database URL, or in a SQLite file in the folder `place`."""

    def __init__(self, place: Path | str) -> None:
        if isinstance(place, Path):
            place.mkdir(parents=True, exist_ok=True)
            place = f"sqlite:///{place / 'pictures.db'}"
        self.database = create_engine(place)
        if self.database.dialect.name == "sqlite":
            event.listen(self.database, "connect", _prepare_sqlite)
        TABLES.create_all(self.database)
        self.changed: Callable[[str, str], None] = lambda owner, job: None  # told of jobs that others than the queue change

    def close(self) -> None:
        self.database.dispose()

    # -- jobs

    def add(
        self,
        owner: str,
        request: GenerationRequest,
        plan: Sequence[GenerationRequest],
        key: str,
        pay: Callable[[Connection, Job], None] = lambda db, job: None,
    ) -> Job:
        """A new queued job; or, if this owner has sent this `key` before, the job that it made then.

        `pay` is done in the same transaction: both happen, or neither.
        """
        row = {
            "id": new_id(),
            "owner": owner,
            "key": key,
            "request": request.model_dump_json(),
            "plan": _PLAN.dump_json(tuple(plan)).decode(),
            "state": QUEUED,
            "created": time.time(),
        }
        try:
            with self.database.begin() as db:
                job = job_of(db.execute(insert(JOBS).values(row).returning(JOBS)).one())
                pay(db, job)
                return job
        except IntegrityError:
            found = self.sent(owner, key)
            assert found
            return found

    def sent(self, owner: str, key: str) -> Job | None:
        """The job that this owner's `key` made, if it was sent before."""
        with self.database.connect() as db:
            row = db.execute(select(JOBS).where(JOBS.c.owner == owner, JOBS.c.key == key)).one_or_none()
        return job_of(row) if row else None

    def job(self, id: str, owner: str | None = None) -> Job | None:
        """The job, if there is one and (unless None) it is this owner's."""
        with self.database.connect() as db:
            mine = True if owner is None else JOBS.c.owner == owner
            row = db.execute(select(JOBS).where(JOBS.c.id == id, mine)).one_or_none()
        return job_of(row) if row else None

    def jobs_of(self, owner: str, limit: int) -> list[Job]:
        """The owner's latest jobs and all that are still active, newest first."""
        with self.database.connect() as db:
            latest = select(JOBS.c.id).where(JOBS.c.owner == owner).order_by(JOBS.c.created.desc()).limit(limit)
            which = JOBS.c.id.in_(latest) | ((JOBS.c.owner == owner) & JOBS.c.state.in_(ACTIVE))
            return [job_of(row) for row in db.execute(select(JOBS).where(which).order_by(JOBS.c.created.desc()))]

    def jobs(self, owner: str, ids: Collection[str]) -> list[Job]:
        """Those of `ids` that are this owner's, newest first."""
        with self.database.connect() as db:
            mine = select(JOBS).where(JOBS.c.owner == owner, JOBS.c.id.in_(ids)).order_by(JOBS.c.created.desc())
            return [job_of(row) for row in db.execute(mine)]

    def waiting(self) -> tuple[list[tuple[str, str]], dict[str, float]]:
        """(id, owner) of every queued job, oldest first, and when each of their owners was last served."""
        with self.database.connect() as db:
            queued = db.execute(select(JOBS.c.id, JOBS.c.owner).where(JOBS.c.state == QUEUED).order_by(JOBS.c.created)).all()
            served = select(JOBS.c.owner, func.max(JOBS.c.started)).group_by(JOBS.c.owner)
            served = served.where(JOBS.c.owner.in_({owner for _, owner in queued}), JOBS.c.started.is_not(None))
            return [(id, owner) for id, owner in queued], dict(db.execute(served).tuples().all())

    def running(self, worker: str | None = None) -> list[tuple[str, str]]:
        """(id, owner) of what `worker`, or (None) anyone, draws, the longest running first."""
        whose = True if worker is None else JOBS.c.worker == worker
        with self.database.connect() as db:
            mine = select(JOBS.c.id, JOBS.c.owner).where(JOBS.c.state == RUNNING, whose)
            return [(id, owner) for id, owner in db.execute(mine.order_by(JOBS.c.started))]

    def count_waiting(self, owner: str | None = None) -> int:
        """How many jobs of this owner, or (None) of everybody, are queued."""
        mine = True if owner is None else JOBS.c.owner == owner
        with self.database.connect() as db:
            return db.execute(select(func.count()).select_from(JOBS).where(JOBS.c.state == QUEUED, mine)).scalar_one()

    def claim(self, id: str, worker: str, lease: float) -> Job | None:
        """Job `id` for `worker`, who must `renew` it within `lease` seconds; None if somebody else was faster."""
        now = time.time()
        taken = update(JOBS).where(JOBS.c.id == id, JOBS.c.state == QUEUED)
        taken = taken.values(state=RUNNING, worker=worker, started=now, lease=now + lease, attempts=JOBS.c.attempts + 1)
        with self.database.begin() as db:
            row = db.execute(taken.returning(JOBS)).one_or_none()
        return job_of(row) if row else None

    def renew(self, worker: str, lease: float, ids: Collection[str] | None = None) -> set[str]:
        """Those of the jobs `ids`, or (None) of all, that `worker` still holds, each for another `lease` seconds."""
        which = True if ids is None else JOBS.c.id.in_(ids)
        mine = update(JOBS).where(JOBS.c.worker == worker, JOBS.c.state == RUNNING, which).values(lease=time.time() + lease)
        with self.database.begin() as db:
            return set(db.execute(mine.returning(JOBS.c.id)).scalars())

    def release(self, worker: str | None = None) -> list[tuple[str, str]]:
        """Back into the queue: every running job of `worker`, for whom that is no failed attempt, or (None) every one whose lease has
        run out. (id, owner) of each."""
        whose = JOBS.c.lease < time.time() if worker is None else JOBS.c.worker == worker
        attempts = JOBS.c.attempts - (0 if worker is None else 1)
        back = update(JOBS).where(JOBS.c.state == RUNNING, whose).values(state=QUEUED, worker=None, lease=None, attempts=attempts)
        with self.database.begin() as db:
            return [(id, owner) for id, owner in db.execute(back.returning(JOBS.c.id, JOBS.c.owner))]

    def give_back(self, id: str, worker: str) -> bool:
        """Job `id` of `worker` goes back into the queue of the worker's own will, which is no failed attempt; False if it has it no
        more."""
        back = update(JOBS).where(JOBS.c.id == id, JOBS.c.worker == worker, JOBS.c.state == RUNNING)
        back = back.values(state=QUEUED, worker=None, lease=None, attempts=JOBS.c.attempts - 1)
        with self.database.begin() as db:
            return bool(db.execute(back).rowcount)

    def end(
        self,
        id: str,
        state: str,
        error: str = "",
        worker: str | None = None,
        settle: Callable[[Connection, str], None] = lambda db, id: None,
    ) -> bool:
        """An active job's last word; False if it was over already or (unless None) is not this worker's.

        `settle` is done in the same transaction.
        """
        assert state in (DONE, FAILED, CANCELLED)
        mine = True if worker is None else JOBS.c.worker == worker
        over = update(JOBS).where(JOBS.c.id == id, JOBS.c.state.in_(ACTIVE), mine)
        with self.database.begin() as db:
            ended = bool(db.execute(over.values(state=state, error=error, finished=time.time())).rowcount)
            if ended:
                settle(db, id)
        return ended

    # -- pictures

    def keep(self, picture: Picture) -> bool:
        """Keeps a picture, whereby its job has got on: no attempt at it has failed. False if the job has that picture already, or is
        over."""
        active = update(JOBS).where(JOBS.c.id == picture.job, JOBS.c.state.in_(ACTIVE))
        try:
            with self.database.begin() as db:
                if not db.execute(active.values(attempts=1)).rowcount:  # it cannot end meanwhile
                    return False
                db.execute(insert(PICTURES).values(_row(picture)))
            return True
        except IntegrityError:
            return False

    def picture(self, id: str, owner: str) -> Picture | None:
        with self.database.connect() as db:
            mine = (PICTURES.c.id == id) & (PICTURES.c.owner == owner) & PICTURES.c.deleted.is_(None)
            row = db.execute(select(PICTURES).where(mine)).one_or_none()
        return picture_of(row) if row else None

    def pictures_of(self, jobs: Sequence[str], gone: bool = False) -> dict[str, list[Picture]]:
        """The pictures of each of these jobs, in order; also what is `gone` for good, if asked for."""
        found: dict[str, list[Picture]] = {job: [] for job in jobs}
        there = True if gone else PICTURES.c.deleted.is_distinct_from(GONE)
        with self.database.connect() as db:
            for row in db.execute(select(PICTURES).where(PICTURES.c.job.in_(jobs), there).order_by(PICTURES.c.number)):
                found[row.job].append(picture_of(row))
        return found

    # -- pictures to draw from

    def hand_in(self, owner: str, name: str) -> None:
        """Notes that this owner has handed in the picture of that name; again is no mistake."""
        with contextlib.suppress(IntegrityError), self.database.begin() as db:
            db.execute(insert(HANDED_IN).values(owner=owner, name=name))

    def handed_in(self, owner: str, names: Collection[str]) -> set[str]:
        """Those of `names` that this owner has handed in."""
        with self.database.connect() as db:
            mine = select(HANDED_IN.c.name).where(HANDED_IN.c.owner == owner, HANDED_IN.c.name.in_(names))
            return set(db.execute(mine).scalars())

    def all_handed_in(self, owner: str) -> list[str]:
        """The names of all that this owner has handed in."""
        with self.database.connect() as db:
            return list(db.execute(select(HANDED_IN.c.name).where(HANDED_IN.c.owner == owner)).scalars())


def _prepare_sqlite(connection, _record) -> None:
    for line in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {line}")
    # SQLite's own knows ASCII alone, and searches compare what it gives
    connection.create_function("lower", 1, lambda text: text.casefold() if isinstance(text, str) else text, deterministic=True)


def job_of(row) -> Job:
    request = GenerationRequest.model_validate_json(row.request)
    return Job(
        row.id,
        row.owner,
        request,
        _PLAN.validate_json(row.plan),
        row.state,
        row.error,
        row.created,
        row.started,
        row.finished,
        row.attempts,
    )


def picture_of(row) -> Picture:
    receipt = Receipt.model_validate_json(row.receipt)
    return Picture(row.id, row.job, row.number, row.owner, receipt, row.created, row.favourite, row.deleted, row.share or "")


def _row(picture: Picture) -> dict[str, object]:
    facts = {**vars(picture), "receipt": picture.receipt.model_dump_json(), "prompt": picture.receipt.request.prompt}
    return facts | {"share": picture.share or None}

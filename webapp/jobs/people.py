"""Who is here, by names that tell nothing of them, and the host's invitations: links with a number of pictures and an end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Boolean, Column, Connection, Float, Index, Integer, String, Table, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from webapp.errors import Busy, InvalidRequest
from webapp.jobs.rules import Rules
from webapp.jobs.store import ACTIVE, JOBS, PICTURES, QUEUED, TABLES, Job, Store, new_id
from webapp.schema import GenerationRequest

HOST, GUESTS = "host", "guests"  # by what somebody came; else by the invitation of that id
NOTED = 60.0  # seconds: how often it is written down that somebody is still here
SHOWN = 200  # people in the host's list
MOST_PICTURES, MOST_DAYS = 10_000, 365  # of an invitation
DAY = 86_400.0  # seconds

PEOPLE = Table(
    "people",
    TABLES,
    Column("id", String(64), primary_key=True),  # the owner of their jobs and pictures
    Column("link", String(32), nullable=False),
    Column("seen", Float, nullable=False),
    Index("people_by_seen", "seen"),
)
INVITES = Table(
    "invites",
    TABLES,
    Column("id", String(32), primary_key=True),
    Column("secret", String(64), nullable=False, unique=True),  # the SHA-256 of its link's token
    Column("label", String(80), nullable=False),
    Column("quota", Integer, nullable=False),  # pictures
    Column("used", Integer, nullable=False, default=0),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("revoked", Boolean, nullable=False, default=False),
)


PAID = Table(  # which invitation the pictures of a job that is not over are counted on
    "paid",
    TABLES,
    Column("job", String(32), primary_key=True),
    Column("invite", String(32), nullable=False),
)


@dataclass(frozen=True)
class Invite:
    id: str
    label: str
    quota: int
    used: int
    expires: float
    revoked: bool

    @property
    def ended(self) -> str:
        """A sentence if it opens nothing any more, else empty."""
        if self.revoked:
            return "This invitation was withdrawn. Please ask its host for another link."
        return "This invitation has ended. Please ask its host for another link." if self.expires < time.time() else ""


@dataclass
class Guest:
    """One of those who were here, as the host sees them; pictures are counted, never shown."""

    id: str
    link: str  # HOST, GUESTS, or an invitation's id
    seen: float
    label: str = ""  # that invitation's
    waiting: int = 0  # pictures
    drawing: int = 0
    finished: int = 0
    storage: int = 0  # bytes of their pictures
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = name(self.id)


class People:
    def __init__(self, store: Store) -> None:
        self._database = store.database
        self.rules = Rules(store)
        self._noted: dict[str, tuple[str, float]] = {}

    def note(self, person: str, link: str) -> None:
        """They are here, by that link."""
        now = time.time()
        known, when = self._noted.get(person, ("", 0.0))
        if known == link and now - when < NOTED:
            return
        if len(self._noted) > 10_000:
            self._noted.clear()
        self._noted[person] = link, now
        with contextlib.suppress(IntegrityError), self._database.begin() as db:  # another request of theirs was faster
            if not db.execute(update(PEOPLE).where(PEOPLE.c.id == person).values(link=link, seen=now)).rowcount:
                db.execute(insert(PEOPLE).values(id=person, link=link, seen=now))

    def check(self, person: str, pictures: Sequence[GenerationRequest]) -> None:
        """The host's rules for what a guest asks for, every prompt of it written out. Raises InvalidRequest."""
        if self.is_guest(person):
            self.rules.check({picture.prompt for picture in pictures})

    def is_guest(self, person: str) -> bool:
        with self._database.connect() as db:
            return db.execute(select(PEOPLE.c.link).where(PEOPLE.c.id == person)).scalar() not in (None, HOST)

    def spend(self, db: Connection, job: Job) -> None:
        """Takes the job's pictures from the invitation by which its owner came, if they did, within the transaction of `db`. Raises
        Busy."""
        pictures = len(job.plan)
        theirs = INVITES.c.id == select(PEOPLE.c.link).where(PEOPLE.c.id == job.owner).scalar_subquery()
        enough = INVITES.c.used + pictures <= INVITES.c.quota
        paid = update(INVITES).where(theirs, enough).values(used=INVITES.c.used + pictures).returning(INVITES.c.id)
        if invite := db.execute(paid).scalar():
            db.execute(insert(PAID).values(job=job.id, invite=invite))
            return
        left = self._left(db, job.owner)
        if left:
            raise Busy(f"This asks for {pictures} pictures, and your invitation has {left} left. Please ask for fewer.", 3600)

    def check_left(self, person: str) -> None:
        """Raises Busy when they came by an invitation that has no pictures left."""
        with self._database.connect() as db:
            self._left(db, person)

    def _left(self, db: Connection, person: str) -> int | None:
        """The pictures that their invitation has left; None for who came by no invitation. Raises Busy when there are none."""
        theirs = INVITES.c.id == select(PEOPLE.c.link).where(PEOPLE.c.id == person).scalar_subquery()
        left = db.execute(select(INVITES.c.quota - INVITES.c.used).where(theirs)).scalar()
        if left == 0:
            raise Busy("All pictures of your invitation are drawn. Please ask its host for another.", 3600)
        return left

    def settle(self, db: Connection, job: str) -> None:
        """Gives back to the invitation what a job that is over has not drawn, within the transaction of `db`."""
        invite = db.execute(delete(PAID).where(PAID.c.job == job).returning(PAID.c.invite)).scalar()
        if invite:
            asked = len(json.loads(db.execute(select(JOBS.c.plan).where(JOBS.c.id == job)).scalar_one()))
            drawn = db.execute(select(func.count()).select_from(PICTURES).where(PICTURES.c.job == job)).scalar_one()
            db.execute(update(INVITES).where(INVITES.c.id == invite).values(used=INVITES.c.used - (asked - drawn)))

    # -- invitations

    def invite(self, label: str, quota: int, days: int) -> str:
        """A new invitation's token, which is kept nowhere. Raises InvalidRequest."""
        label = " ".join(label.split())
        if not 0 < len(label) <= 80:
            raise InvalidRequest({"label": "Say for whom the invitation is, in up to 80 characters."})
        if not 0 < quota <= MOST_PICTURES:
            raise InvalidRequest({"quota": f"The number of pictures must be from 1 to {MOST_PICTURES:,}."})
        if not 0 < days <= MOST_DAYS:
            raise InvalidRequest({"days": f"The number of days must be from 1 to {MOST_DAYS}."})
        token, now = secrets.token_urlsafe(32), time.time()
        row = {"id": new_id(), "secret": _digest(token), "label": label, "quota": quota, "created": now, "expires": now + days * DAY}
        with self._database.begin() as db:
            db.execute(insert(INVITES).values(row))
        return token

    def invites(self) -> list[Invite]:
        """All that were made, the latest first."""
        with self._database.connect() as db:
            return [_invite(row) for row in db.execute(select(INVITES).order_by(INVITES.c.created.desc()))]

    def invited(self, *, token: str = "", id: str = "") -> Invite | None:
        """The invitation of that token, or of that id."""
        which = INVITES.c.secret == _digest(token) if token else INVITES.c.id == id
        with self._database.connect() as db:
            row = db.execute(select(INVITES).where(which)).one_or_none()
        return _invite(row) if row else None

    def revoke(self, id: str) -> bool:
        """Closes an invitation to everybody who came by it; whether there was one."""
        with self._database.begin() as db:
            return bool(db.execute(update(INVITES).where(INVITES.c.id == id).values(revoked=True)).rowcount)

    # -- the host's list

    def seen(self) -> list[Guest]:
        """Those who were here, the latest first."""
        with self._database.connect() as db:
            labels = dict(db.execute(select(INVITES.c.id, INVITES.c.label)).tuples().all())
            rows = db.execute(select(PEOPLE).order_by(PEOPLE.c.seen.desc()).limit(SHOWN)).all()
            guests = {row.id: Guest(row.id, row.link, row.seen, labels.get(row.link, "")) for row in rows}
            mine = PICTURES.c.owner.in_(guests) & PICTURES.c.deleted.is_(None)
            for owner, number in db.execute(select(PICTURES.c.owner, func.count()).where(mine).group_by(PICTURES.c.owner)):
                guests[owner].finished = number
            waiting, drawing = self._unfinished(db)
        for guest in guests.values():
            guest.waiting, guest.drawing = waiting[guest.id], drawing[guest.id]
        return list(guests.values())

    def drawn_since(self, when: float) -> int:
        """Everybody's pictures that were finished since."""
        with self._database.connect() as db:
            return db.execute(select(func.count()).select_from(PICTURES).where(PICTURES.c.created >= when)).scalar_one()

    def waiting(self) -> tuple[int, int]:
        """How many pictures of everybody wait, and are drawn."""
        with self._database.connect() as db:
            waiting, drawing = self._unfinished(db)
        return waiting.total(), drawing.total()

    def _unfinished(self, db: Connection) -> tuple[Counter[str], Counter[str]]:
        """How many pictures of each owner wait, and are drawn."""
        active = JOBS.c.state.in_(ACTIVE)
        there = select(PICTURES.c.job, func.count()).join(JOBS, JOBS.c.id == PICTURES.c.job).where(active).group_by(PICTURES.c.job)
        kept = defaultdict(int, db.execute(there).tuples().all())
        waiting: Counter[str] = Counter()
        drawing: Counter[str] = Counter()
        for id, owner, state, plan in db.execute(select(JOBS.c.id, JOBS.c.owner, JOBS.c.state, JOBS.c.plan).where(active)):
            (waiting if state == QUEUED else drawing)[owner] += len(json.loads(plan)) - kept[id]
        return waiting, drawing


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _invite(row) -> Invite:
    return Invite(row.id, row.label, row.quota, row.used, row.expires, row.revoked)


_COLOURS = (
    "Amber Auburn Azure Blue Bronze Cobalt Copper Coral Crimson Ebony Emerald Golden Green Grey Indigo Ivory Jade Lilac "
    "Mauve Olive Pearl Plum Rose Ruby Rusty Scarlet Silver Teal Violet White"
)
_BIRDS = (
    "Avocet Bunting Crane Curlew Dove Egret Falcon Finch Goose Grebe Heron Hoopoe Ibis Jay Kestrel Kite Lark Linnet "
    "Magpie Martin Oriole Osprey Owl Plover Puffin Robin Starling Swan Thrush Wren"
)


def name(person: str) -> str:
    """What to call them, from their id and always the same: "Amber Heron". Nothing can be told from it."""
    number = int(_digest(person), 16)
    colours, birds = _COLOURS.split(), _BIRDS.split()
    return f"{colours[number % len(colours)]} {birds[number // len(colours) % len(birds)]}"

"""How much is kept, and clearing away what nobody needs any more: pictures that were handed in and led to nothing, and everything of
people who have not come for long."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, func, select

from webapp.jobs.files import Files
from webapp.jobs.people import DAY, PEOPLE
from webapp.jobs.store import ACTIVE, GONE, HANDED_IN, JOBS, PICTURES, Store

FRESH = DAY  # seconds that a picture which was handed in waits for a request
LOOKED = 60.0  # seconds between two looks at the disk
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Used:
    """Bytes. `people` is by owner, of the pictures they made."""

    drawn: int
    handed_in: int
    database: int
    people: Counter[str]

    @property
    def total(self) -> int:
        return self.drawn + self.handed_in + self.database


class Storage:
    def __init__(self, store: Store, files: Files) -> None:
        self._database, self._files = store.database, files
        self._seen: tuple[float, Used] | None = None

    def used(self) -> Used:
        """As it was within the last minute."""
        if self._seen is None or time.monotonic() - self._seen[0] > LOOKED:
            self._seen = time.monotonic(), self._look()
        return self._seen[1]

    def _look(self) -> Used:
        sizes = {path.rpartition("/")[2]: facts["size"] for path, facts in self._kept().items()}
        with self._database.connect() as db:
            owners = dict(db.execute(select(PICTURES.c.id, PICTURES.c.owner)).tuples().all())
        people: Counter[str] = Counter()
        for name, size in sizes.items():
            if owner := owners.get(name.partition(".")[0]):
                people[owner] += size
        handed_in = sum(size for name, size in sizes.items() if _HASH.fullmatch(name))
        return Used(sum(sizes.values()) - handed_in, handed_in, self._database_size(), people)

    def _kept(self) -> dict[str, dict]:
        return self._files.system.find(self._files.root, detail=True)

    def _database_size(self) -> int:
        """Of a SQLite file; another database keeps its own books."""
        path = self._database.url.database
        if self._database.dialect.name != "sqlite" or not path:
            return 0
        return sum(file.stat().st_size for file in Path(path).parent.glob(f"{Path(path).name}*"))

    def drop_unneeded(self) -> int:
        """Removes the pictures handed in longer than a day ago of which no request and no picture tells; how many."""
        needed: set[str] = set()
        with self._database.connect() as db:
            for column in (JOBS.c.request, JOBS.c.plan, PICTURES.c.receipt):
                for (text,) in db.execute(select(column).execution_options(yield_per=500)):
                    needed |= set(_HASH.findall(text))
        gone = []
        for path in self._kept():
            name = path.rpartition("/")[2]
            if _HASH.fullmatch(name) and name not in needed and self._files.system.modified(path).timestamp() < time.time() - FRESH:
                gone.append(name)
                self._files.system.rm_file(path)
        with self._database.begin() as db:
            for start in range(0, len(gone), 500):
                db.execute(delete(HANDED_IN).where(HANDED_IN.c.name.in_(gone[start : start + 500])))
        self._seen = None
        return len(gone)

    def absent(self, days: int) -> tuple[int, int]:
        """How many people have not come for so many days, and how many pictures are theirs."""
        with self._database.connect() as db:
            owners = self._absent(db, days)
            there = select(PICTURES.c.owner, func.count()).where(PICTURES.c.deleted.is_distinct_from(GONE))
            pictures = db.execute(there.group_by(PICTURES.c.owner)).tuples().all()
        return len(owners), sum(number for owner, number in pictures if owner in owners)

    def forget(self, days: int) -> int:
        """Removes everything of the people who have not come for so many days; how many they were."""
        with self._database.begin() as db:
            owners = self._absent(db, days)
            files = []
            for owner in owners:
                files += db.execute(delete(PICTURES).where(PICTURES.c.owner == owner).returning(PICTURES.c.id)).scalars().all()
                for table, whose in ((JOBS, JOBS.c.owner), (HANDED_IN, HANDED_IN.c.owner), (PEOPLE, PEOPLE.c.id)):
                    db.execute(delete(table).where(whose == owner))
        for name in files:
            self._files.remove(name)
        self._seen = None
        return len(owners)

    def _absent(self, db, days: int) -> set[str]:
        """Whoever was not seen since, has asked for nothing since, and waits for nothing."""
        then = time.time() - days * DAY
        seen = db.execute(select(PEOPLE.c.id, PEOPLE.c.seen)).all()
        asked = db.execute(select(JOBS.c.owner, func.max(JOBS.c.created)).group_by(JOBS.c.owner)).all()
        waiting = db.execute(select(JOBS.c.owner).where(JOBS.c.state.in_(ACTIVE)).distinct()).scalars()
        here = {owner for owner, when in (*seen, *asked) if when >= then}
        return {owner for owner, _ in (*seen, *asked)} - here - set(waiting)

"""Everything one person has made: found, marked, thrown away and brought back, and shown to others by a link. A view of the store's
pictures; nobody ever reaches another's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select, tuple_, update

from webapp.errors import NotFound
from webapp.jobs.files import Files
from webapp.jobs.people import DAY
from webapp.jobs.store import ACTIVE, GONE, JOBS, PICTURES, Picture, Store, new_id, picture_of

PAGE = 60  # pictures
UNDO = 3600.0  # seconds that a deleted picture can be brought back
SEARCHED = 500  # characters of a search, 16 words; SQLite refuses patterns of 50,000
_MINE = PICTURES.c
_place = tuple_(_MINE.created, _MINE.id)


@dataclass(frozen=True)
class Page:
    """`next` is what to ask for the page after this one; empty at the end."""

    pictures: list[Picture]
    next: str


def _wanted(owner: str, search: str, favourites: bool) -> ColumnElement[bool]:
    """The owner's pictures whose prompt holds each word of `search`."""
    wanted = (_MINE.owner == owner) & _MINE.deleted.is_(None)
    for word in search[:SEARCHED].replace("\0", " ").split()[:16]:
        wanted &= _MINE.prompt.icontains(word, autoescape=True)
    return wanted & _MINE.favourite if favourites else wanted


class Gallery:
    def __init__(self, store: Store, files: Files) -> None:
        self.store, self.files = store, files

    def page(self, owner: str, after: str = "", search: str = "", favourites: bool = False, limit: int = PAGE) -> Page:
        """The owner's pictures, newest first, from after the picture `after` on; those whose prompt holds each word of `search`."""
        wanted = _wanted(owner, search, favourites)
        with self.store.database.connect() as db:
            if after:
                here = select(_MINE.created, _MINE.id).where(_MINE.id == after, _MINE.owner == owner)
                if (place := db.execute(here).one_or_none()) is None:
                    return Page([], "")
                wanted &= _place < tuple(place)
            rows = select(PICTURES).where(wanted).order_by(_MINE.created.desc(), _MINE.id.desc()).limit(limit + 1)
            found = [picture_of(row) for row in db.execute(rows)]
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else "")

    def count(self, owner: str, search: str = "", favourites: bool = False) -> int:
        with self.store.database.connect() as db:
            return db.execute(select(func.count()).where(_wanted(owner, search, favourites))).scalar_one()

    def all(self, owner: str, search: str = "", favourites: bool = False) -> Iterator[Picture]:
        """What `page` shows page by page, one after the other; never more than a page in memory."""
        after = ""
        while (page := self.page(owner, after, search, favourites)).pictures:
            yield from page.pictures
            after = page.next
            if not after:
                return

    def neighbours(self, owner: str, picture: Picture, search: str = "", favourites: bool = False) -> tuple[str, str]:
        """The ids of the pictures before (newer) and after it (older) among those that `page` shows; empty where there is none."""
        place, wanted = (picture.created, picture.id), select(_MINE.id).where(_wanted(owner, search, favourites)).limit(1)
        newer = wanted.where(place < _place).order_by(_MINE.created, _MINE.id)
        older = wanted.where(place > _place).order_by(_MINE.created.desc(), _MINE.id.desc())
        with self.store.database.connect() as db:
            return db.execute(newer).scalar() or "", db.execute(older).scalar() or ""

    def pictures(self, owner: str, ids: Sequence[str]) -> list[Picture]:
        """Those of `ids` that are the owner's, in the order of `ids`."""
        with self.store.database.connect() as db:
            rows = db.execute(select(PICTURES).where(_MINE.owner == owner, _MINE.id.in_(ids), _MINE.deleted.is_(None)))
            found = {row.id: picture_of(row) for row in rows}
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    def favour(self, owner: str, ids: Sequence[str], on: bool) -> int:
        """Marks them, or takes the mark away; how many there were."""
        return len(self._change(owner, _MINE.id.in_(ids) & _MINE.deleted.is_(None), favourite=on))

    def delete(self, owner: str, ids: Sequence[str]) -> int:
        """Throws them away, and their links with them; how many there were. For an hour `restore` brings them back."""
        self.purge()
        return self._tell(owner, self._change(owner, _MINE.id.in_(ids) & _MINE.deleted.is_(None), deleted=time.time(), share=None))

    def thrown(self, owner: str, id: str) -> int:
        """How many pictures were thrown away together with this one, itself included, and can be brought back."""
        with self.store.database.connect() as db:
            return db.execute(select(func.count()).where(_MINE.owner == owner, self._with(owner, id))).scalar_one()

    def restore(self, owner: str, id: str) -> int:
        """Brings back the picture and those thrown away together with it; how many."""
        return self._tell(owner, self._change(owner, self._with(owner, id), deleted=None))

    def purge(self) -> int:
        """Removes for good what was deleted longer ago, and the jobs that have nothing else to show; how many pictures. Jobs that ended
        without a picture go after a day, and with them what was handed in for them alone may.

        What an unfinished job has made stays until it ends, or it would be drawn again. Of a job that shows others it stays known that
        there was one, or that would look as if it were still to be drawn.
        """
        ended = select(JOBS.c.id).where(JOBS.c.state.not_in(ACTIVE))
        old = update(PICTURES).where(_MINE.deleted < time.time() - UNDO, _MINE.deleted != GONE, _MINE.job.in_(ended)).values(deleted=GONE)
        with self.store.database.begin() as db:
            gone = db.execute(old.returning(_MINE.id, _MINE.job)).all()
            jobs = {job for _, job in gone}
            jobs -= set(db.execute(select(_MINE.job).where(_MINE.job.in_(jobs), _MINE.deleted.is_distinct_from(GONE))).scalars())
            db.execute(delete(PICTURES).where(_MINE.job.in_(jobs)))
            db.execute(delete(JOBS).where(JOBS.c.id.in_(jobs)))
            drawn = select(_MINE.id).where(_MINE.job == JOBS.c.id).exists()
            db.execute(delete(JOBS).where(JOBS.c.state.not_in(ACTIVE), JOBS.c.finished < time.time() - DAY, ~drawn))
        for id, _ in gone:
            self.files.remove(id)
        return len(gone)

    def share(self, owner: str, id: str) -> str:
        """The word that opens this picture to whoever knows it; the same one again while it is not withdrawn. Raises NotFound."""
        self._change(owner, (_MINE.id == id) & _MINE.deleted.is_(None) & _MINE.share.is_(None), share=new_id())
        found = self.store.picture(id, owner)
        if found is None:
            raise NotFound("There is no such picture of yours.")
        return found.share

    def withdraw(self, owner: str, id: str) -> int:
        return len(self._change(owner, (_MINE.id == id) & _MINE.share.is_not(None), share=None))

    def shared(self, word: str) -> Picture:
        """The picture that a link's word opens. Raises NotFound."""
        with self.store.database.connect() as db:
            row = db.execute(select(PICTURES).where(_MINE.share == word, _MINE.deleted.is_(None))).one_or_none() if word else None
        if row is None:
            raise NotFound("This link shows no picture: it was withdrawn, or it was never given out.")
        return picture_of(row)

    @staticmethod
    def _with(owner: str, id: str) -> ColumnElement[bool]:
        """Whatever was thrown away in the same moment as this picture."""
        other = PICTURES.alias()
        moment = select(other.c.deleted).where(other.c.id == id, other.c.owner == owner).scalar_subquery()
        return (_MINE.deleted == moment) & (_MINE.deleted > time.time() - UNDO)

    def _change(self, owner: str, which: ColumnElement[bool], **values: object) -> list[str]:
        """The job of each picture that was changed."""
        changed = update(PICTURES).where(_MINE.owner == owner, which)
        with self.store.database.begin() as db:
            return list(db.execute(changed.values(**values).returning(_MINE.job)).scalars())

    def _tell(self, owner: str, jobs: Sequence[str]) -> int:
        """These jobs show other pictures than before; how many those are."""
        for job in dict.fromkeys(jobs):
            self.store.changed(owner, job)
        return len(jobs)

"""Submit, cancel, whose turn it is, and what each person sees of their jobs. Turns go round between people, not between requests."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

from PIL import Image
from pydantic import ValidationError

from webapp import metadata, plan
from webapp.errors import Busy, InvalidRequest, NotFound
from webapp.jobs.estimate import FAR, Kind, Pace, Piece, Work, finish_times
from webapp.jobs.events import Events
from webapp.jobs.files import Files
from webapp.jobs.people import People
from webapp.jobs.store import CANCELLED, FAILED, QUEUED, Job, Picture, Store, new_id
from webapp.library import Library
from webapp.schema import Defaults, GenerationRequest, JobView, PictureView, Receipt

MOST_WAITING = 100  # jobs of one person that are not begun
MOST_OF_ALL = 2000  # and of everybody together
SOONEST, LATEST = 2, 600  # seconds after which who was refused is told to come back
MOST_ATTEMPTS = 3  # a job that takes the server down with it so often is given up
MOST_HANDED_IN = 300_000_000  # bytes of pictures to draw from, by one guest, that are not cleared away yet
LEAST_FREE = 1_000_000_000  # bytes of the disk that are left for what is drawn, and for everything else
LEAST_TO_DRAW = 100_000_000  # where fewer are free nothing is asked for or begun
LEASE = 10.0  # seconds a worker may be silent before its jobs go to another

log = logging.getLogger(__name__)


def turns(waiting: Sequence[tuple[str, str]], served: Mapping[str, float], running: Mapping[str, int] = MappingProxyType({})) -> list[str]:
    """The ids of `waiting`, (id, owner) oldest first, in the order of their turns.

    Everybody's first comes before anybody's second, what they have `running` counted in; within a round, whoever was `served` (a time)
    longest ago or never comes first.
    """
    rounds: Counter[str] = Counter(running)
    places = []
    for arrival, (id, owner) in enumerate(waiting):
        places.append((rounds[owner], served.get(owner, 0.0), arrival, id))
        rounds[owner] += 1
    return [id for *_, id in sorted(places)]


def overtaken(running: Sequence[tuple[str, str]], begun: set[str], waiting: set[str], slots: int) -> list[str]:
    """The ids of jobs that are to give way: when somebody `waiting` has nothing among `running`, (id, owner) the longest running first,
    and no slot is free, everybody keeps their first and whatever is `begun`."""
    theirs = {owner for _, owner in running}
    if len(running) < slots or waiting <= theirs:
        return []
    first = {owner: id for id, owner in reversed(running)}
    return [id for id, owner in running if id not in begun and first[owner] != id]


class Queue:
    """The one way in and out of the store while the app runs. All its methods may be called from any thread."""

    def __init__(self, store: Store, files: Files, events: Events, library: Library) -> None:
        self.store, self.files, self.events, self.library, self.people = store, files, events, library, People(store)
        self.pace, self.slots = Pace(), 1  # how fast, and how many jobs at once; workers tell
        self.defaults: Defaults | None = None  # the model's, as soon as it is known
        self.together: Callable[[Kind], int] = lambda kind: 1  # how many pictures share a step
        self._estimated: tuple[float, int, dict[str, tuple[float, float]]] = float("-inf"), -1, {}
        self._plans: dict[str, tuple[GenerationRequest, ...]] = {}  # of the active jobs
        self._live: dict[str, dict[int, PictureView]] = {}  # progress of what is being drawn; not worth keeping
        self._change = threading.Condition()
        self._changes = 0
        store.changed = events.changed

    # -- for people

    def submit(self, owner: str, request: GenerationRequest, key: str = "") -> Job:
        """Queues the request, its seed chosen and its pictures planned. The same `key` again gives the same job.

        Raises Busy, and InvalidRequest for what cannot be planned, or starts from a picture that this owner did not hand in.
        """
        if key and (sent := self.store.sent(owner, key)):
            return sent
        self._check_images(owner, request)
        self.check_turn(owner, key)
        request = request.seeded()
        pictures = plan.pictures(request, self.library)
        self.people.check(owner, pictures)
        job = self.store.add(owner, request, pictures, key or new_id(), self.people.spend)
        self._tell(owner, job.id)
        return job

    def check_turn(self, owner: str, key: str = "") -> None:
        """Raises Busy when this owner may ask for nothing just now, unless it is what they asked for before by this `key`."""
        try:
            if self.files.free() < LEAST_TO_DRAW:
                raise Busy("The server's disk is nearly full, so nothing is drawn until there is room. Please tell its host.", LATEST)
            if self.store.count_waiting(owner) >= MOST_WAITING:
                raise Busy(f"You have {MOST_WAITING} requests waiting already. Please let some finish first.", self.room_in(owner))
            if self.store.count_waiting() >= MOST_OF_ALL:
                raise Busy("So many requests are waiting that no more fit. Please come back in a while.", self.room_in(None))
            self.people.check_left(owner)
        except Busy:
            if not (key and self.store.sent(owner, key)):  # asked last: the same may be sent twice at once
                raise

    def take_in(self, owner: str, data: bytes) -> str:
        """Keeps a picture's file to draw from; its SHA-256, by which this owner's requests name it, and nobody else's. Raises
        InvalidRequest when there is no room for it."""
        if not self.store.handed_in(owner, [self.files.name_of(data)]):
            self._check_room(owner, len(data))
        name = self.files.take_in(data)
        self.store.hand_in(owner, name)
        return name

    def _check_room(self, owner: str, size: int) -> None:
        if self.files.free() - size < LEAST_FREE:
            raise InvalidRequest({"image": "The server's disk is nearly full, so no more pictures can be handed in. Please tell its host."})
        if self.people.is_guest(owner) and size + sum(map(self.files.size, self.store.all_handed_in(owner))) > MOST_HANDED_IN:
            megabytes = MOST_HANDED_IN // 1_000_000
            raise InvalidRequest(
                {"image": f"With this, what you have handed in would be more than {megabytes} MB. Please ask the host to make room."}
            )

    def room_in(self, owner: str | None) -> int:
        """The seconds until the first waiting job of this owner, or (None) of anybody, begins, as far as is known: 2 to 600."""
        times = self._times(self.defaults) if self.defaults else {}
        starts = [times[id][0] for id, whose in self.store.waiting()[0] if id in times and owner in (None, whose)]
        return round(max(SOONEST, min(LATEST, min(starts, default=60.0))))

    def _check_images(self, owner: str, request: GenerationRequest) -> None:
        """The hash alone opens nothing: it can be read in every picture that was drawn from that one."""
        named = {"image": [request.image], "mask": [request.mask], "controls": [control.image for control in request.controls]}
        theirs = self.store.handed_in(owner, request.images())
        wrong = [field for field, names in named.items() if any(name and name not in theirs for name in names)]
        if wrong:
            raise InvalidRequest(dict.fromkeys(wrong, "That picture is not there. Please hand it in again."))

    def cancel(self, owner: str, id: str) -> Job:
        """Ends the owner's job, waiting or running; pictures already finished stay. Raises NotFound."""
        job = self.find(owner, id)
        if self.store.end(id, CANCELLED, settle=self.people.settle):
            self._live.pop(id, None)
            self._tell(owner, id)
        return self.store.job(id) or job

    def find(self, owner: str, id: str) -> Job:
        """Raises NotFound, also when the job is somebody else's."""
        job = self.store.job(id, owner)
        if job is None:
            raise NotFound("There is no such request of yours.")
        return job

    def picture(self, owner: str, id: str) -> Picture:
        """Raises NotFound, also when the picture is somebody else's."""
        picture = self.store.picture(id, owner)
        if picture is None:
            raise NotFound("There is no such picture of yours.")
        return picture

    def views(self, jobs: Sequence[Job], defaults: Defaults | None) -> list[JobView]:
        """What the owner of these jobs sees of them."""
        order = {id: place for place, id in enumerate(self.order())} if any(job.state == QUEUED for job in jobs) else {}
        kept = self.store.pictures_of([job.id for job in jobs], gone=True)
        times = self._times(defaults) if defaults and any(job.active for job in jobs) else {}
        views = [self._view(job, kept[job.id], order, defaults) for job in jobs]
        for view in views:
            view.starts, view.ends = times.get(view.id, (None, None))
        return views

    def _times(self, defaults: Defaults) -> dict[str, tuple[float, float]]:
        """When each active job will begin and end, in seconds from now; worked out anew when a turn was taken or asked for, and each
        second. Nothing is foreseen from the first job on whose model and size nothing is known of, nor far ahead."""
        seen, changes, times = self._estimated
        passed = time.monotonic() - seen
        if passed < 1 and changes == self._changes:
            return {id: (max(0.0, starts - passed), max(0.0, ends - passed)) for id, (starts, ends) in times.items()}
        seen, changes = time.monotonic(), self._changes
        running, (waiting, served) = self.store.running(), self.store.waiting()
        owners = dict(running + waiting)
        ids = [id for id, _ in running] + turns(waiting, served, Counter(owner for _, owner in running))
        self._plans = {id: self._plans.get(id) or self._plan(id) for id in ids}  # read once: a line may be long
        work: list[Work] = []
        pictures = 0
        for place, id in enumerate(ids):
            pictures += len(self._plans[id])
            pieces = self._pieces(id, defaults)
            if None in pieces or pictures > FAR:
                break
            work.append(Work(owners[id], pieces, begun=place < len(running)))
        foreseen = finish_times(work, served, self.slots, lambda kind, count: self.pace.step(kind, count) or 0.0, self.together)
        times = dict(zip(ids, foreseen))
        self._estimated = seen, changes, times
        return times

    def _pieces(self, id: str, defaults: Defaults) -> list[Piece | None]:
        """What is left of each of the job's pictures that is not there yet."""
        live = dict(self._live.get(id, {}))
        places = [(asked, live.get(number)) for number, asked in enumerate(self._plans[id])]
        return [
            self.pace.piece(asked, defaults, view.step if view else 0, view.steps if view else 0)
            for asked, view in places
            if not (view and (view.id or view.error))
        ]

    def _plan(self, id: str) -> tuple[GenerationRequest, ...]:
        job = self.store.job(id)
        return job.plan if job else ()

    def _view(self, job: Job, kept: Sequence[Picture], order: Mapping[str, int], defaults: Defaults | None) -> JobView:
        there = {picture.number: picture for picture in kept}
        live = self._live.get(job.id, {})
        pictures = []
        for number, asked in enumerate(job.plan):
            if number in there and there[number].deleted:
                continue
            view = live.get(number) or PictureView(number=number, seed=asked.seed, prompt=asked.prompt)
            done = {"id": there[number].id, "notes": there[number].receipt.notes} if number in there else {}
            pictures.append(view.model_copy(update=done))
        size = kept[0].receipt.request if kept else job.request
        return JobView(
            id=job.id,
            state=job.state,
            error=job.error,
            ahead=order.get(job.id, 0),
            prompt=job.request.prompt,
            width=size.width or (defaults.width if defaults else 512),
            height=size.height or (defaults.height if defaults else 512),
            created=job.created,
            pictures=pictures,
        )

    def order(self) -> list[str]:
        """The ids of all queued jobs in the order of their turns."""
        return turns(*self.store.waiting(), Counter(owner for _, owner in self.store.running()))

    # -- for workers

    def claim(self, worker: str) -> Job | None:
        """The next job in fair turn, now `worker`'s; None if nothing waits, or the disk is nearly full."""
        if self.files.free() < LEAST_TO_DRAW:
            return None
        for id in self.order():
            try:
                job = self.store.claim(id, worker, LEASE)
            except ValidationError:
                log.exception("job %s was written by another version, and this one cannot read it", id)
                self.store.end(id, FAILED, "Something went wrong while drawing this; the server's log says what.", worker)
                continue
            if job is None:
                continue  # another worker's, or just cancelled
            if job.attempts > MOST_ATTEMPTS:
                self.end(job, FAILED, "The server stopped each time it tried to draw this, so it gave up.", worker)
                continue
            self._tell(job.owner, id)
            return job
        return None

    def missing(self, job: Job) -> list[int]:
        """The numbers of the job's pictures that are neither kept nor failed."""
        there = {picture.number for picture in self.store.pictures_of([job.id])[job.id]}
        failed = {number for number, view in dict(self._live.get(job.id, {})).items() if view.error}
        return [number for number in range(len(job.plan)) if number not in there | failed]

    def failures(self, job: Job) -> list[str]:
        """The sentences about those of the job's pictures that failed since this program runs."""
        return [view.error for view in list(self._live.get(job.id, {}).values()) if view.error]

    def progress(self, job: Job, number: int, *, preview: bytes | None = None, **facts: int | str) -> None:
        """Live facts about picture `number`: `ahead`, `step`, `steps`, `error`, `id`; `preview` as WebP bytes, empty for none."""
        live = self._live.setdefault(job.id, {})
        view = live.get(number) or PictureView(number=number, seed=job.plan[number].seed, prompt=job.plan[number].prompt)
        if preview is not None:
            facts["preview"] = "data:image/webp;base64," + base64.b64encode(preview).decode() if preview else ""
        live[number] = view.model_copy(update=facts)
        self.events.changed(job.owner, job.id)

    def keep(self, job: Job, number: int, image: Image.Image, receipt: Receipt) -> None:
        """Keeps a finished picture: first the files, then the row, so that what the store lists is really there. Raises what keeps
        either from being written, an OSError or SQLAlchemy's; then nothing of it stays."""
        picture = Picture(new_id(), job.id, number, job.owner, receipt, time.time())
        png, kept = metadata.to_png(image, receipt), False
        try:
            self.files.save(picture.id, png)
            kept = self.store.keep(picture)
        finally:
            if not kept:  # another worker was faster, it was cancelled, or it could not be written
                self.files.remove(picture.id)
        if kept:
            self.progress(job, number, id=picture.id, preview=b"")

    def end(self, job: Job, state: str, error: str, worker: str) -> None:
        """The job's last word from the worker that has it; nothing if it was cancelled or given to another meanwhile."""
        self.store.end(job.id, state, error, worker, self.people.settle)
        self._live.pop(job.id, None)
        self._tell(job.owner, job.id)

    def give_back(self, job: Job, worker: str) -> None:
        """The job goes on later, in its turn; pictures already finished stay."""
        if self.store.give_back(job.id, worker):
            self._begin_again(job.id)
        else:
            self._live.pop(job.id, None)
        self._tell(job.owner, job.id)

    def overtaken(self, worker: str) -> list[str]:
        """The ids of those of `worker`'s jobs that are to be given back, because somebody waits who has none in work."""
        begun = {id for id, live in list(self._live.items()) if any(view.step for view in list(live.values()))}
        waiting = {owner for _, owner in self.store.waiting()[0]}
        return overtaken(self.store.running(worker), begun, waiting, self.slots) if waiting else []

    def others_wait(self, owner: str) -> bool:
        """Whether anybody but this owner has a job that waits."""
        return any(whose != owner for _, whose in self.store.waiting()[0])

    def _begin_again(self, id: str) -> None:
        """Of a job that waits again only what is finished or failed is still true."""
        ended = {number: view for number, view in self._live.pop(id, {}).items() if view.id or view.error}
        if ended:
            self._live[id] = ended

    def renew(self, worker: str, ids: Collection[str] | None = None) -> set[str]:
        """Tells that `worker` lives, and works on the jobs `ids`, or (None) on all it has; those of them that are still its own. Jobs
        that nobody works on go back into the queue."""
        held = self.store.renew(worker, LEASE, ids)
        for id, owner in self.store.release():
            self._tell(owner, id)
        return held

    def release(self, worker: str) -> None:
        """Gives all of `worker`'s jobs back into the queue."""
        for id, owner in self.store.release(worker):
            self._begin_again(id)
            self._tell(owner, id)

    def wait(self, seen: int, timeout: float) -> int:
        """Waits until something changed after `seen`, an earlier answer of this method, or for `timeout` seconds."""
        with self._change:
            self._change.wait_for(lambda: self._changes != seen, timeout)
            return self._changes

    def wake(self) -> None:
        """Ends every `wait`."""
        with self._change:
            self._changes += 1
            self._change.notify_all()

    def _tell(self, owner: str, id: str) -> None:
        """A turn of this job was taken, ended or asked for: wakes the workers and tells everyone whose place may have moved."""
        self.wake()
        self.events.changed(owner, id)
        for other, theirs in self.store.waiting()[0]:
            self.events.changed(theirs, other)

"""Workers in this process: they load the model in the background, take jobs in turn and hand them to one Engine."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from webapp.catalogue import Catalogue
from webapp.errors import AppError
from webapp.jobs.estimate import Pace
from webapp.jobs.gallery import UNDO, Gallery
from webapp.jobs.queue import LEASE, Queue
from webapp.jobs.store import DONE, FAILED, Job, new_id
from webapp.schema import ModelView

if TYPE_CHECKING:
    from PIL.Image import Image

    from webapp.engine.conditioning import Count
    from webapp.engine.engine import Drawing, Engine
    from webapp.engine.events import Event, Step

JOBS_AT_ONCE = 4  # each may have several pictures; the engine decides how many share a step
TURN = 8  # pictures of one job, after which others who wait go first
PAUSE = 1.0  # seconds after an error, before the same is tried again
PREVIEWS = 12  # of one picture at most, and no two within a second
PREVIEW_SIDE, PREVIEW_QUALITY = 96, 50  # pixels, the longer side at most; of WebP, 0 to 100

log = logging.getLogger(__name__)


class LocalWorkers:
    """One Engine and the threads that feed it. `model` tells at any time how far the model is."""

    def __init__(self, queue: Queue, model: str, catalogue: Catalogue) -> None:
        self.queue, self.catalogue = queue, catalogue
        queue.slots = JOBS_AT_ONCE
        self.name = new_id()
        self.model = ModelView(name=model, state="loading", sentence="The model is being loaded.")
        self._engine: Engine | None = None
        self._wish = 0  # counts the models that were asked for; only the latest becomes the engine's
        self._changing = threading.Lock()
        self._in_hand: set[str] = set()  # the ids of the jobs that a thread has; only these are renewed
        self._drawings: dict[str, Drawing] = {}  # by job id
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._run(self._stay_alive)
        self._run(self._empty_bin)
        for _ in range(JOBS_AT_ONCE):
            self._run(self._feed)
        self._run(self._load, self.model.name, self._wish, None)

    def stop(self) -> None:
        """Ends all threads; what was being drawn goes back into the queue."""
        self._stopping.set()
        self.queue.wake()
        with self._changing:
            engine, self._engine = self._engine, None
        if engine:
            engine.close()
        for thread in self._threads:
            thread.join(timeout=30)
        self.queue.release(self.name)

    def use(self, name: str) -> None:
        """Goes over to the model of that name, in the background: what is being drawn goes back into the queue and is drawn with the
        new one. Raises InvalidRequest for a name that the catalogue does not have."""
        entry = self.catalogue.find(name, listed_only=True)
        with self._changing:
            self._wish += 1
            old, self._engine = self._engine, None
            self.queue.defaults, self.queue.together, self.queue.pace = None, lambda kind: 1, Pace()
            self.model = ModelView(name=entry.name, state="loading", sentence="The model is being loaded.")
            self._run(self._load, entry.name, self._wish, old)

    def facts(self) -> dict[str, object]:
        """How the machine fares: `device`, `memory_used` and `memory_total` in bytes, `seconds_per_step` by size. Empty without a model."""
        engine = self._engine
        if engine is None:
            return {}
        used, whole = engine.memory()
        device = engine.checkpoint.device.type
        return {"device": device, "memory_used": used, "memory_total": whole, "seconds_per_step": self.queue.pace.seconds_per_step()}

    def reading(self, prompt: str) -> Count | None:
        """How the model reads a prompt; None while there is no model to ask. Raises InvalidRequest as `Engine.count` does."""
        engine = self._engine
        return engine.count(prompt) if engine else None

    def _run(self, target: Callable[..., None], *given: object) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(threading.Thread(target=target, args=given, daemon=True, name=target.__name__.strip("_")))
        self._threads[-1].start()

    def _load(self, name: str, wish: int, old: Engine | None) -> None:
        """Makes the model `name` ready, after `old` has left; gives up silently once another is asked for."""
        if old:
            old.close()
            del old

        def say(**facts: object) -> None:
            with self._changing:
                if wish == self._wish:
                    self.model = self.model.model_copy(update=facts)

        try:
            # imported here, in the background: torch takes seconds, and the page is to answer meanwhile
            from webapp.engine import checkpoint
            from webapp.engine.engine import Engine

            entry = self.catalogue.find(name)
            loaded = checkpoint.load(
                entry.source,
                report=lambda sentence: say(sentence=sentence, done=0, total=0),
                stop=self._stopping,
                prediction=entry.prediction,
                progress=lambda done, total: say(done=done, total=total),
            )
            if wish != self._wish:
                return
            say(sentence="The model warms up.", defaults=loaded.defaults, done=0, total=0)
            engine = Engine(loaded, preview_interval=1.0, library=self.queue.library, catalogue=self.catalogue)
            while not engine.warm.wait(0.1) and not self._stopping.is_set():
                pass
        except AppError as error:
            say(state="failed", sentence=error.sentence, done=0, total=0)
            return
        except Exception:
            log.exception("loading %s failed", name)
            say(state="failed", sentence="The model could not be loaded; the server's log says why.", done=0, total=0)
            return
        sentence = " ".join(filter(None, (loaded.notice, *engine.notices))) or "The model is ready."
        with self._changing:
            wanted = wish == self._wish and not self._stopping.is_set()
            if wanted:
                self._engine = engine
                self.queue.defaults, self.queue.together = loaded.defaults, lambda kind: engine.together(*kind[:3])
                self.model = ModelView(name=loaded.name, state="ready", sentence=sentence, defaults=loaded.defaults)
        if not wanted:
            engine.close()
        self.queue.wake()

    def _feed(self) -> None:
        """Takes one job after the other and draws it."""
        seen = 0
        while not self._stopping.is_set():
            try:
                engine = self._engine
                job = self.queue.claim(self.name) if engine else None
                if engine and job:
                    self._in_hand.add(job.id)
                    try:
                        self._draw(job, engine)
                    finally:
                        self._in_hand.discard(job.id)
                else:
                    seen = self.queue.wait(seen, timeout=LEASE / 3)
            except Exception:
                log.exception("taking a job failed")
                self._stopping.wait(PAUSE)

    def _draw(self, job: Job, engine: Engine) -> None:
        """Draws what is missing of the job, turn by turn. What was taken back meanwhile, or has had its turn while others wait, goes back
        into the queue."""
        failure, over = "", True
        try:
            missing = self.queue.missing(job)
            for first in range(0, len(missing), TURN):
                over = self._draw_turn(job, missing[first : first + TURN], engine) and (
                    first + TURN >= len(missing) or not self.queue.others_wait(job.owner)
                )
                if not over:
                    break
        except AppError as error:
            failure = error.sentence
        except FileNotFoundError:
            failure = "A picture that this starts from is gone from the server's disk. Please hand it in again."
        except Exception:
            log.exception("job %s failed", job.id)
            failure = "Something went wrong while drawing this; the server's log says what."
        if engine is not self._engine or not (over or failure):
            self._until_written(self._stopping.is_set, self.queue.give_back, job, self.name)
        else:
            sentences = dict.fromkeys(filter(None, (*self.queue.failures(job), failure)))
            state = FAILED if sentences else DONE
            self._until_written(self._stopping.is_set, self.queue.end, job, state, " ".join(sentences), self.name)

    def _until_written(self, over: Callable[[], bool], say: Callable[..., None], *words: object) -> None:
        """Tells the queue; again and again where the disk or the database does not take it, until it is `over`."""
        while True:
            try:
                return say(*words)
            except (OSError, SQLAlchemyError):
                log.exception("a picture or a job's last word could not be written")
                if over():
                    return
                self._stopping.wait(PAUSE)

    def _draw_turn(self, job: Job, numbers: Sequence[int], engine: Engine) -> bool:
        """Draws these of the job's pictures; whether nothing was taken back."""
        from webapp.engine import images
        from webapp.engine.events import Cancelled

        given = {name: images.open_image(self.queue.files.read(name), "image") for name in job.request.images()}
        self._drawings[job.id] = drawing = engine.submit(job.plan, numbers, given, job.owner)
        whole = True
        note = _Notes(self.queue, job)
        try:
            for event in drawing:
                self._until_written(lambda: self._stopping.is_set() or drawing.cancelled, note.take, event)
                whole = whole and not isinstance(event, Cancelled)
        finally:
            self._drawings.pop(job.id, None)
            drawing.cancel()
        return whole

    def _stay_alive(self) -> None:
        """Renews the leases, and stops drawing what is no longer ours: cancelled, or given to another."""
        seen = 0
        while not self._stopping.is_set():
            try:
                ours = dict(self._drawings)  # before the store is asked: a job claimed meanwhile is not missed in its answer
                held = self.queue.renew(self.name, set(self._in_hand))
                for id, drawing in ours.items():
                    if id not in held:
                        drawing.cancel()
                for id in self.queue.overtaken(self.name):
                    if drawing := self._drawings.get(id):
                        drawing.cancel()
                seen = self.queue.wait(seen, timeout=LEASE / 3)
            except Exception:
                log.exception("renewing the leases failed")
                self._stopping.wait(PAUSE)

    def _empty_bin(self) -> None:
        """Takes out for good what was thrown away, or came to nothing, long enough ago: at once, and then each hour."""
        gallery = Gallery(self.queue.store, self.queue.files)
        while not self._stopping.is_set():
            try:
                gallery.purge()
            except Exception:
                log.exception("emptying the bin failed")
            self._stopping.wait(UNDO)


class _Notes:
    """Passes on what the engine tells of one job's pictures, and notes what it took of the model that it began with."""

    def __init__(self, queue: Queue, job: Job) -> None:
        self.queue, self.job, self.pace = queue, job, queue.pace
        self._stepping: dict[int, float] = {}  # seconds of each picture's steps, its share of those that it shared
        self._shown: dict[int, float] = {}  # of each picture the share of its steps that its latest preview shows
        self._steps: dict[int, int] = {}

    def take(self, event: Event) -> None:
        from webapp.engine.events import Failed, Finished, Preview, Step, Waiting

        match event:
            case Waiting(index=number, ahead=ahead):
                self.queue.progress(self.job, number, ahead=ahead)
            case Step(index=number, step=step, steps=steps):
                self._steps[number] = steps
                self._note_step(event)
                self.queue.progress(self.job, number, ahead=0, step=step, steps=steps)
            case Preview(index=number, step=step, image=image):
                share = step / self._steps[number]
                if share >= self._shown.get(number, 0.0) + 1 / PREVIEWS:
                    self._shown[number] = share
                    self.queue.progress(self.job, number, preview=_webp(image))
            case Finished(index=number, image=image, receipt=receipt, seconds=seconds):
                start = time.monotonic()
                self.queue.keep(self.job, number, image, receipt)
                keeping = time.monotonic() - start
                asked = self.job.plan[number]
                made = receipt.request.model_copy(update={"model": asked.model, "upscaler": asked.upscaler})
                self.pace.note_rest(made, max(0.0, seconds - self._stepping.get(number, 0.0)) + keeping)
                self.pace.note_calls(made, self._steps.get(number, 0))
            case Failed(index=number, sentence=sentence):
                self.queue.progress(self.job, number, error=sentence)

    def _note_step(self, event: Step) -> None:
        if not event.seconds:
            return
        asked = self.job.plan[event.index]
        guidance = asked.guidance if asked.guidance is not None else self.queue.defaults and self.queue.defaults.guidance
        self._stepping[event.index] = self._stepping.get(event.index, 0.0) + event.seconds / event.together
        self.pace.note_step((asked.model, *event.size, (guidance or 0) > 1), event.together, event.seconds)


def _webp(image: Image) -> bytes:
    """A preview as small as it may be."""
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=PREVIEW_QUALITY)
    return out.getvalue()

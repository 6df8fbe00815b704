"""Workers in this process: they load the model in the background, take jobs in turn and hand them to one Engine."""

from __future__ import annotations

import io
import logging
import threading
from typing import TYPE_CHECKING

from webapp.catalogue import Catalogue
from webapp.errors import AppError
from webapp.jobs.estimate import kind
from webapp.jobs.queue import LEASE, Queue
from webapp.jobs.store import DONE, FAILED, Job, new_id
from webapp.schema import ModelView

if TYPE_CHECKING:
    from webapp.engine.engine import Drawing, Engine
    from webapp.engine.events import Event

JOBS_AT_ONCE = 4  # each may have several pictures; the engine decides how many share a step
PREVIEW_QUALITY = 60  # of WebP, 0 to 100

log = logging.getLogger(__name__)


class LocalWorkers:
    """One Engine and the threads that feed it. `model` tells at any time how far the model is."""

    def __init__(self, queue: Queue, model: str, catalogue: Catalogue) -> None:
        self.queue, self.catalogue = queue, catalogue
        queue.slots = JOBS_AT_ONCE
        self.name = new_id()
        self.model = ModelView(name=model, state="loading", sentence="The model is being loaded.")
        self._engine: Engine | None = None
        self._drawings: dict[str, Drawing] = {}  # by job id
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for target in (self._load_then_feed, self._stay_alive):
            self._run(target)

    def stop(self) -> None:
        """Ends all threads; what was being drawn goes back into the queue."""
        self._stopping.set()
        self.queue.wake()
        if self._engine:
            self._engine.close()
        for thread in self._threads:
            thread.join(timeout=30)
        self.queue.release(self.name)

    def _run(self, target) -> None:
        self._threads.append(threading.Thread(target=target, daemon=True, name=target.__name__.strip("_")))
        self._threads[-1].start()

    def _load_then_feed(self) -> None:
        try:
            # imported here, in the background: torch takes seconds, and the page is to answer meanwhile
            from webapp.engine import checkpoint
            from webapp.engine.engine import Engine

            entry = self.catalogue.find(self.model.name)
            loaded = checkpoint.load(entry.source, report=self._report, prediction=entry.prediction)
            self._engine = Engine(loaded, library=self.queue.library, catalogue=self.catalogue)
            if self._stopping.is_set():  # meanwhile, when there was no engine yet to close
                self._engine.close()
                return
        except AppError as error:
            self.model = self.model.model_copy(update={"state": "failed", "sentence": error.sentence})
            return
        except Exception:
            log.exception("loading %s failed", self.model.name)
            self.model = self.model.model_copy(
                update={"state": "failed", "sentence": "The model could not be loaded; the server's log says why."}
            )
            return
        sentence = " ".join(filter(None, (loaded.notice, *self._engine.notices))) or "The model is ready."
        self.model = ModelView(name=loaded.name, state="ready", sentence=sentence, defaults=loaded.defaults)
        for _ in range(JOBS_AT_ONCE):
            self._run(self._feed)

    def _report(self, sentence: str) -> None:
        self.model = self.model.model_copy(update={"sentence": sentence})

    def _feed(self) -> None:
        """Takes one job after the other and draws it."""
        seen = 0
        while not self._stopping.is_set():
            job = self.queue.claim(self.name)
            if job:
                self._draw(job)
            else:
                seen = self.queue.wait(seen, timeout=LEASE / 3)

    def _draw(self, job: Job) -> None:
        from webapp.engine import images

        assert self._engine
        failures: list[str] = []
        try:
            given = {name: images.open_image(self.queue.files.read(name), "image") for name in job.request.images()}
            self._drawings[job.id] = drawing = self._engine.submit(job.plan, self.queue.missing(job), given)
            for event in drawing:
                self._note(job, event, failures)
        except AppError as error:
            failures.append(error.sentence)
        except FileNotFoundError:
            failures.append("A picture that this starts from is gone from the server's disk. Please hand it in again.")
        except Exception:
            log.exception("job %s failed", job.id)
            failures.append("Something went wrong while drawing this; the server's log says what.")
        finally:
            self._drawings.pop(job.id, None)
        if not self._stopping.is_set():
            self.queue.end(job, FAILED if failures else DONE, " ".join(dict.fromkeys(failures)), self.name)

    def _note(self, job: Job, event: Event, failures: list[str]) -> None:
        from webapp.engine.events import Failed, Finished, Preview, Step, Waiting

        match event:
            case Waiting(index=number, ahead=ahead):
                self.queue.progress(job, number, ahead=ahead)
            case Step(index=number, step=step, steps=steps):
                self.queue.progress(job, number, ahead=0, step=step, steps=steps)
            case Preview(index=number, image=image):
                out = io.BytesIO()
                image.save(out, "WEBP", quality=PREVIEW_QUALITY)
                self.queue.progress(job, number, preview=out.getvalue())
            case Finished(index=number, image=image, receipt=receipt, seconds=seconds):
                self.queue.pace.note(kind(receipt.request), self.queue.steps(job, number), seconds)
                self.queue.keep(job, number, image, receipt)
            case Failed(index=number, sentence=sentence):
                self.queue.progress(job, number, error=sentence)
                failures.append(sentence)

    def _stay_alive(self) -> None:
        """Renews the leases, and stops drawing what is no longer ours: cancelled, or given to another."""
        seen = 0
        while not self._stopping.is_set():
            ours = dict(self._drawings)  # before the store is asked: a job claimed meanwhile is not missed in its answer
            held = self.queue.renew(self.name)
            for id, drawing in ours.items():
                if id not in held:
                    drawing.cancel()
            seen = self.queue.wait(seen, timeout=LEASE / 3)

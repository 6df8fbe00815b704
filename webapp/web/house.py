"""What stands behind the pages of one app, and how a page finds it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from webapp.catalogue import Catalogue
from webapp.jobs.events import Events
from webapp.jobs.files import Files
from webapp.jobs.gallery import Gallery
from webapp.jobs.queue import Queue
from webapp.jobs.store import Store
from webapp.jobs.workers import LocalWorkers
from webapp.library import Library
from webapp.settings import Settings


@dataclass(frozen=True)
class House:
    settings: Settings
    store: Store
    files: Files
    events: Events
    library: Library
    catalogue: Catalogue
    queue: Queue
    gallery: Gallery
    workers: LocalWorkers

    @classmethod
    def build(cls, settings: Settings) -> House:
        """All rooms for these settings; the workers are not started yet."""
        store, events = Store(settings.data), Events()
        files = Files(str(settings.data / "pictures"))
        library, catalogue = Library(settings.library), Catalogue(settings.library)
        queue = Queue(store, files, events, library)
        workers = LocalWorkers(queue, settings.model, catalogue)
        return cls(settings, store, files, events, library, catalogue, queue, Gallery(store, files), workers)

    def close(self) -> None:
        """Ends streams and drawing; unfinished jobs stay queued in the store."""
        self.events.close()
        self.workers.stop()
        self.store.close()


def house() -> House:
    """The house of the app that answers the current request."""
    return current_app.extensions["house"]

"""What stands behind the pages of one app, and how a page finds it."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from flask import current_app

from webapp.catalogue import Catalogue
from webapp.jobs.events import Events
from webapp.jobs.files import Files
from webapp.jobs.gallery import Gallery
from webapp.jobs.people import People
from webapp.jobs.queue import Queue
from webapp.jobs.storage import Storage
from webapp.jobs.store import Store
from webapp.jobs.traffic import Ledger
from webapp.jobs.workers import LocalWorkers
from webapp.library import Library
from webapp.settings import Settings
from webapp.web.meter import Meter


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
    people: People
    storage: Storage
    meter: Meter
    host_key: str  # opens the host's page; empty while nobody else can reach this run, and everybody is its host

    @classmethod
    def build(cls, settings: Settings) -> House:
        """All rooms for these settings; the workers are not started yet. In a shared run, `settings.token` becomes the link's."""
        store, events = Store(settings.data), Events()
        files = Files(str(settings.data / "pictures"))
        library, catalogue = Library(settings.library), Catalogue(settings.library)
        queue = Queue(store, files, events, library)
        workers = LocalWorkers(queue, settings.model, catalogue)
        people, host_key = queue.people, ""
        if settings.shared:
            settings = replace(settings, token=people.rules.open_with(settings.token))
            host_key = kept_secret(settings.data / "host.key")
        return cls(
            settings,
            store,
            files,
            events,
            library,
            catalogue,
            queue,
            Gallery(store, files),
            workers,
            people,
            Storage(store, files),
            Meter(Ledger(store)),
            host_key,
        )

    def close(self) -> None:
        """Ends streams and drawing; unfinished jobs stay queued in the store."""
        self.events.close()
        self.workers.stop()
        self.meter.close()
        self.store.close()


def kept_secret(path: Path) -> str:
    """A secret that is made once, kept in this file, and readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return path.read_text()


def house() -> House:
    """The house of the app that answers the current request."""
    return current_app.extensions["house"]

"""The loop that draws: whoever is in line joins at the next step, shares one call of the UNet, and is told how it goes.

One thread owns the models; diffusers is not thread-safe. Each turn of the loop lets the cancelled leave, begins newcomers, steps one
group of equal shape, and decodes what is done, so a newcomer waits for one step at most, or one decoding.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from PIL import Image

from webapp import plan, prompt
from webapp.catalogue import Catalogue
from webapp.engine import healing, memory, upscale
from webapp.engine.batcher import Batcher
from webapp.engine.calibrate import Sharing
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.conditioning import Count
from webapp.engine.drawing import Drawing
from webapp.engine.events import Cancelled, Event, Failed, Finished, Preview, Step, Waiting
from webapp.engine.model import Model
from webapp.engine.picture import Picture
from webapp.engine.shelf import Shelf
from webapp.engine.sources import Sources
from webapp.errors import AppError, DrawingFailed
from webapp.library import Library
from webapp.schema import GenerationRequest

ROOM = 16  # pictures that may be begun at once
log = logging.getLogger(__name__)


class Engine:
    """Draws with `checkpoint`, and with others as requests name them, in a thread of its own, until closed.

    How many pictures share a step is measured, or, if given, `max_batch` of the checkpoint's own size, and of larger ones fewer. At
    least `preview_interval` seconds pass between two previews of a picture. Add-ons and styles are found in `library`, other models
    in `catalogue`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        max_batch: int | None = None,
        preview_interval: float = 0.3,
        library: Library | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.preview_interval, self.library, self._catalogue = preview_interval, library or Library(), catalogue
        self._sources = Sources(checkpoint, self.library, catalogue)
        self._shelf = Shelf(self._sources.load, self._notify)
        self._shelf.models[""] = own = Model(checkpoint, self.library)
        self.notices: tuple[str, ...] = tuple(own.notices)  # of the add-ons that came with it: what did not fit, and why
        self._sharing = Sharing(max_batch)
        self._batcher: Batcher[Picture] = Batcher(self._sharing.cap, room=2 * max_batch if max_batch else ROOM)
        self._changed = threading.Condition()
        self._closing = False
        self.warm = threading.Event()  # set once it is measured how many pictures share a step
        self._pace = 0.0  # seconds that the latest step took
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def checkpoint(self) -> Checkpoint:
        """What the engine was started with; without its weights while another model has its place in memory."""
        model = self._shelf.models.get("")
        return model.checkpoint if model else self._sources.own

    def count(self, text: str) -> Count | None:
        """How long a prompt is for the checkpoint's reader of words, and what of it that cannot use; None while another model has
        its place in memory. For any thread. Raises InvalidRequest for a LoRA's weight that is no number."""
        model, (words, tags) = self._shelf.models.get(""), prompt.loras(text)
        return model.conditioner.count(words, prompt.taught(tags)) if model else None

    def submit(
        self,
        request: GenerationRequest | Sequence[GenerationRequest],
        indices: Iterable[int] | None = None,
        images: Mapping[str, Image.Image] | None = None,
        owner: Hashable = None,
    ) -> Drawing:
        """Put a request in line, or what `plan.pictures` made of one, and return at once. `indices` asks for those of its pictures
        only, from 0. `images` are those that it names, by SHA-256. Pictures of different owners take turns.

        Raises InvalidRequest for what cannot be planned, DrawingFailed when the engine is closed.
        """
        requests = plan.pictures(request, self.library) if isinstance(request, GenerationRequest) else request
        keys = {name: self._sources.key(name) for name in {request.model for request in requests}}
        chosen = sorted(set(range(len(requests)) if indices is None else indices))
        drawing = Drawing(chosen, images or {}, owner)
        with self._changed:
            if self._closing:
                raise DrawingFailed("The program is closing and draws no more.")
            for index in chosen:
                self._batcher.add(Picture(drawing, index, requests[index], keys[requests[index].model]))
            self._tell_places()
            self._changed.notify()
        return drawing

    def together(self, name: str, width: int, height: int) -> int:
        """How many pictures of this size, in pixels, share a step of the model `name`."""
        model = self._shelf.models.get(self._sources.key(name))
        if not isinstance(model, Model):
            return 1
        factor = model.checkpoint.space.factor
        return self._sharing.cap((model, 0, height // factor, width // factor, 0))

    def memory(self) -> tuple[int, int]:
        """Bytes that are taken on the device, and all it has."""
        return memory.usage(self._sources.own.device)

    def close(self) -> None:
        """Stop after the step in progress; whatever is not finished is cancelled, and the models leave memory."""
        with self._changed:
            self._closing = True
            self._sources.stop.set()
            self._changed.notify()
        self._thread.join()
        self._shelf.clear()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify()

    @torch.inference_mode()
    def _run(self) -> None:
        with self._failing():
            self._sharing.learn_own(self._shelf.models[""])
        self.warm.set()
        drawing = True
        while drawing:
            with self._failing():  # what nobody foresaw ends what is in line, never the loop
                drawing = self._turn()

    def _turn(self) -> bool:
        """Waits until there is something to do, and does some of it. False when the engine closes."""
        if not self._wait():
            return False
        self._begin_newcomers()
        group = self._batcher.next()
        self._step(group)
        self._deliver([picture for picture in group if picture.done])
        return True

    def _wait(self) -> bool:
        """Until there is something to do; False when the engine closes. Asleep, it looks up once a second if somebody is in line."""
        with self._changed:
            while True:
                for key, sentence in self._shelf.settle().items():
                    for picture in [p for p in self._batcher.line if p.model == key]:
                        self._fail(picture, sentence)
                for picture in [p for p in self._batcher.line if self._closing or p.drawing.cancelled]:
                    self._end(picture, Cancelled)
                if self._closing:
                    return False
                self._tell_places()
                self._shelf.keep_precise({picture.model for picture in self._batcher.line})
                busy = self._batcher.busy(self._shelf.models, self._shelf.loading)
                wanted = self._batcher.wanted(self._shelf.models)
                if wanted is not None:  # "" is the own model
                    self._shelf.want(wanted, busy)
                if busy:
                    return True
                self._changed.wait(timeout=1.0 if self._batcher.line else None)

    def _begin_newcomers(self) -> None:
        """Makes tasks of those whose time has come, for about as long as a step takes, so that whoever is being drawn is not held up."""
        end = time.monotonic() + self._pace
        for picture in self._batcher.newcomers(self._shelf.models, self._shelf.loading):
            with self._failing([picture]), _timed([picture]):
                healing.begin(picture, self._shelf.get(picture.model))
                upscale.foresee(picture.request, picture.outcome, self.library, self._catalogue)
            if time.monotonic() > end:
                break
        self._sharing.learn_crowded(picture.shape for picture in self._batcher.line if picture.shape)

    def _step(self, group: list[Picture]) -> None:
        """One step for each of `group`, in one call of the UNet; in none if memory does not suffice."""
        start, short = time.monotonic(), False
        with self._failing(group), _timed(group):
            if group:
                try:
                    self._advance(group)
                except Exception as error:
                    if not memory.out_of_memory(error):
                        raise
                    short = True
        if short:  # only here, where the failed call's tensors are gone
            self._make_room(group)
        self._pace = time.monotonic() - start

    def _advance(self, group: list[Picture]) -> None:
        if run := group[0].run:
            run.advance()
            group[0].tell(Step, *group[0].progress)
            return
        start = time.monotonic()
        predictions = group[0].task.model.predict([picture.task for picture in group])
        for picture, noise in zip(group, predictions, strict=True):
            with self._failing([picture]):
                picture.task.advance(noise)
                self._tell_progress(picture, time.monotonic() - start, len(group))

    def _make_room(self, group: list[Picture]) -> None:
        """After memory ran out in a step: models that nobody uses leave; then fewer share a step; then who is alone is told what fits."""
        memory.tidy()
        if self._shelf.spare(self._batcher.busy(self._shelf.models, self._shelf.loading)):
            return
        if len(group) > 1:
            log.warning("Memory is short: %d pictures instead of %d share a step now", len(group) // 2, len(group))
            self._sharing.fewer(group[0].shape, len(group) // 2)
            return
        (picture,) = group
        if picture.run:
            self._fail(picture, memory.SHORT)
            return
        with self._failing(group):
            task, picture.task = picture.task, None
            fitting = memory.largest(*picture.size, lambda width, height: healing.fits(task, width, height))
            self._end(picture, Failed, memory.sentence(picture.size, fitting))

    def _deliver(self, pictures: list[Picture]) -> None:
        """What comes after a pass, for these, all of one shape: another pass, the same again in float32, or the picture itself."""
        drawn: dict[str, list[Picture]] = {}  # by autoencoder
        for picture in pictures:
            with self._failing([picture]):
                if picture.run:
                    self._end(picture, Finished, picture.run.image(), picture.receipt(), picture.seconds)
                elif healing.overflowed(picture):
                    healing.draw_again(picture)
                elif not picture.second_pass(lambda picture=picture: healing.image(picture)):
                    drawn.setdefault(picture.request.vae, []).append(picture)
        for together in drawn.values():
            with self._failing(together):
                with _timed(together):
                    pixels = healing.decode_together(together)
                for picture in together:
                    with self._failing([picture]):
                        self._hand_out(picture, healing.image(picture, pixels.get(picture)))

    def _hand_out(self, picture: Picture, image: Image.Image) -> None:
        """The picture's end, unless it goes on to an upscaler."""
        if whole := picture.upscaled(image):
            self._end(picture, Finished, whole, picture.receipt(), picture.seconds)

    def _tell_progress(self, picture: Picture, seconds: float, together: int) -> None:
        picture.tell(Step, *picture.progress, seconds, together, picture.size)
        task, now = picture.task, time.monotonic()
        if 1 < task.step < task.steps and now - picture.previewed >= self.preview_interval:
            picture.previewed = now
            picture.tell(Preview, picture.progress[0], task.model.checkpoint.space.preview(task.guess()))

    def _tell_places(self) -> None:
        for ahead, picture in enumerate(self._batcher.line):
            if not picture.progress[0] and picture.ahead != ahead:
                picture.ahead = ahead
                picture.tell(Waiting, ahead)

    def _fail(self, picture: Picture, sentence: str) -> None:
        """Its end by an error: what was drawn, if only its upscaler failed."""
        if picture.drawn:
            self._end(picture, Finished, picture.drawn, picture.receipt_as_drawn(sentence), picture.seconds)
        else:
            self._end(picture, Failed, sentence)

    def _end(self, picture: Picture, kind: Callable[..., Event], *facts: object) -> None:
        with self._changed:
            self._batcher.remove(picture)
            picture.task = picture.run = None
            picture.tell(kind, *facts)

    @contextmanager
    def _failing(self, pictures: Sequence[Picture] | None = None) -> Iterator[None]:
        """An error within ends these pictures, or (None) all that are in line by then, with a sentence, and the loop lives on."""
        try:
            yield
        except Exception as error:
            for picture in [picture for picture in self._batcher.line if pictures is None or picture in pictures]:
                self._fail(picture, _sentence(error))


@contextmanager
def _timed(pictures: Sequence[Picture]) -> Iterator[None]:
    """What takes its time within is put to the account of these, in equal shares."""
    start = time.monotonic()
    try:
        yield
    finally:
        for picture in pictures:
            picture.seconds += (time.monotonic() - start) / len(pictures)


def _sentence(error: Exception) -> str:
    """What the user is told of a failure; the log is told all."""
    if isinstance(error, AppError):
        return error.sentence
    log.error("A picture failed", exc_info=error)
    if memory.out_of_memory(error):
        return memory.SHORT
    return "Something failed inside while drawing this picture. Trying again may help; the program's log says more."

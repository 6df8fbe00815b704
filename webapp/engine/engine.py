"""The loop that draws: whoever is in line joins at the next step, shares one call of the UNet, and is told how it goes.

One thread owns the models; diffusers is not thread-safe. Each turn of the loop lets the cancelled leave, begins newcomers, steps one
group of equal shape, and decodes what is done, so a newcomer waits for one step at most, or one decoding.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from PIL import Image

from webapp import plan
from webapp.catalogue import Catalogue
from webapp.engine import calibrate, checkpoint, healing, upscale
from webapp.engine.batcher import Batcher
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.drawing import Drawing
from webapp.engine.events import Cancelled, Event, Failed, Finished, Preview, Step, Waiting
from webapp.engine.latents import Blank, finished
from webapp.engine.model import Model
from webapp.engine.picture import Picture
from webapp.engine.shelf import Shelf, tidy
from webapp.engine.task import Task
from webapp.errors import AppError, DrawingFailed, InvalidRequest
from webapp.library import Library
from webapp.schema import GenerationRequest

ROOM = 16  # pictures that may be begun at once
AT_START, LATER = 3.0, 1.0  # seconds that finding out how many share a step may take
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
        self.checkpoint = checkpoint
        self.max_batch, self.preview_interval = max_batch, preview_interval
        self.library, self.catalogue = library or Library(), catalogue
        self._shelf = Shelf(self._load, self._notify)
        self._shelf.models[""] = Model(checkpoint, self.library)
        self._upscalers: dict[str, upscale.Upscaler] = {}
        self._batcher: Batcher[Picture] = Batcher(self._cap, room=2 * max_batch if max_batch else ROOM)
        self._changed = threading.Condition()
        self._closing = False
        self._pace = 0.0  # seconds that the latest step took
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(
        self,
        request: GenerationRequest | Sequence[GenerationRequest],
        indices: Iterable[int] | None = None,
        images: Mapping[str, Image.Image] | None = None,
    ) -> Drawing:
        """Put a request in line, or what `plan.pictures` made of one, and return at once. `indices` asks for those of its pictures
        only, from 0. `images` are those that it names, by SHA-256.

        Raises InvalidRequest for what cannot be planned, DrawingFailed when the engine is closed.
        """
        requests = plan.pictures(request, self.library) if isinstance(request, GenerationRequest) else request
        chosen = sorted(set(range(len(requests)) if indices is None else indices))
        drawing = Drawing(chosen, images or {})
        with self._changed:
            if self._closing:
                raise DrawingFailed("The program is closing and draws no more.")
            for index in chosen:
                self._batcher.add(Picture(drawing, index, requests[index], self._key(requests[index].model)))
            self._tell_places()
            self._changed.notify()
        return drawing

    def close(self) -> None:
        """Stop after the step in progress; whatever is not finished is cancelled."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify()

    @torch.inference_mode()
    def _run(self) -> None:
        if self.max_batch is None:
            model, space = self._shelf.models[""], self.checkpoint.space
            self._calibrate(
                model, self.checkpoint.defaults.height // space.factor, self.checkpoint.defaults.width // space.factor, AT_START
            )
        while self._wait():
            self._begin_newcomers()
            group = self._batcher.next()
            self._step(group)
            self._deliver([picture for picture in group if picture.done])

    def _wait(self) -> bool:
        """Until there is something to do; False when the engine closes."""
        with self._changed:
            while True:
                for name, sentence in self._shelf.settle().items():
                    for picture in [p for p in self._batcher.line if p.model == name]:
                        self._end(picture, Failed, sentence)
                for picture in [p for p in self._batcher.line if self._closing or p.drawing.cancelled]:
                    self._end(picture, Cancelled)
                self._tell_places()
                if self._closing:
                    return False
                ready = self._shelf.models
                for name in [n for n in ready if n.endswith(healing.PRECISE) and all(p.model != n for p in self._batcher.line)]:
                    del ready[name]  # large, and seldom needed
                if wanted := self._batcher.wanted(ready):
                    self._shelf.want(wanted, self._batcher.busy())
                if self._batcher.busy() or self._batcher.newcomers(ready):
                    return True
                self._changed.wait(timeout=1.0 if self._batcher.line else None)

    def _begin_newcomers(self) -> None:
        """Makes tasks of those whose time has come, for about as long as a step takes, so that whoever is being drawn is not held up."""
        end = time.monotonic() + self._pace
        for picture in self._batcher.newcomers(self._shelf.models):
            with self._failing([picture]):
                picture.begin(self._shelf.get(picture.model))
            if time.monotonic() > end:
                break
        crowds = Counter(picture.shape for picture in self._batcher.line if picture.task and not picture.run)
        for (model, _, height, width, _), count in crowds.items():
            if count > 1 and self.max_batch is None and (height, width) not in model.knees:
                self._calibrate(model, height, width, LATER)

    def _step(self, group: list[Picture]) -> None:
        """One step for each of `group`, in one call of the UNet; in none if memory does not suffice, and in smaller groups from then on."""
        start = time.monotonic()
        if group and group[0].run:
            with self._failing(group):
                group[0].run.advance()
                group[0].tell(Step, *group[0].progress)
        elif group:
            model, short = group[0].task.model, False
            try:
                predictions = model.predict([picture.task for picture in group])
            except Exception as error:
                if not (short := healing.out_of_memory(error)):
                    self._fail(group, error)
                    return
            if short:  # only here, where the failed call's tensors are gone
                self._make_room(group)
                return
            for picture, noise in zip(group, predictions, strict=True):
                with self._failing([picture]):
                    picture.task.advance(noise)
                    self._tell_progress(picture, picture.task)
        self._pace = time.monotonic() - start

    def _make_room(self, group: list[Picture]) -> None:
        """After memory ran out: fewer share a step, and who is alone is told what would fit."""
        tidy()
        picture = group[0]
        if len(group) > 1:
            *_, height, width, _ = picture.shape
            picture.task.model.knees[height, width] = len(group) // 2
            log.warning("Memory is short: %d pictures instead of %d share a step now", len(group) // 2, len(group))
            return
        width, height = picture.size
        model = picture.task.model
        picture.task = None
        size = healing.largest(width, height, lambda w, h: self._fits(model.checkpoint, w, h))
        tidy()
        self._end(picture, Failed, healing.sentence(width, height, size))

    def _fits(self, checkpoint: Checkpoint, width: int, height: int) -> bool:
        """Whether a step and a decoding of this size work."""
        space = checkpoint.space
        try:
            calibrate.unet_step(checkpoint, height // space.factor, width // space.factor)(1)
            space.decode(space.noise(width, height, torch.Generator("cpu")), tiled=True)
        except Exception as error:
            if not healing.out_of_memory(error):
                raise
            return False
        finally:
            tidy()
        return True

    def _deliver(self, pictures: list[Picture]) -> None:
        """What comes after a pass, for these, all of one shape: another pass, or the picture itself."""
        drawn: list[Picture] = []
        for picture in pictures:
            with self._failing([picture]):
                if picture.run:
                    self._end(picture, Finished, picture.run.image(), picture.receipt())
                elif not picture.second_pass(lambda picture=picture: finished(self._decode([picture])[0])):
                    drawn.append(picture)
        while drawn:  # equal autoencoders together
            together = [picture for picture in drawn if picture.request.vae == drawn[0].request.vae]
            drawn = [picture for picture in drawn if picture not in together]
            with self._failing(together):
                for picture, row in zip(together, self._decode(together), strict=True):
                    with self._failing([picture]):
                        self._hand_out(picture, row)

    def _hand_out(self, picture: Picture, pixels: torch.Tensor) -> None:
        try:
            image = finished(pixels)
        except Blank:
            image = self._heal(picture)
        if image and (whole := picture.upscaled(image, self._upscaler)):
            self._end(picture, Finished, whole, picture.receipt())

    def _decode(self, pictures: list[Picture]) -> Sequence[torch.Tensor]:
        """The pixels of these, (3, H, W) each: together if memory allows, else one by one, else in tiles."""
        space = pictures[0].task.model.space(pictures[0].request.vae)
        latents = [picture.task.latents for picture in pictures]
        ways = (
            lambda: space.decode(torch.cat(latents)),
            lambda: [space.decode(one)[0] for one in latents],
            lambda: [space.decode(one, tiled=True)[0] for one in latents],
        )
        for way in ways[:-1]:
            try:
                return way()
            except Exception as error:
                if not healing.out_of_memory(error):
                    raise
            tidy()
        return ways[-1]()

    def _heal(self, picture: Picture) -> Image.Image | None:
        """The picture that came out blank, decoded anew in higher precision; or None, and it goes back to be drawn anew in it. Raises Blank."""
        model, latents = picture.task.model, picture.task.latents
        dtype = healing.higher(model.checkpoint.dtype)
        if dtype and latents.isfinite().all():
            with contextlib.suppress(Blank):
                image = finished(model.space(picture.request.vae).decode_precisely(latents)[0])
                picture.notes.append("It came out blank at first, and was decoded again in float32.")
                return image
        if dtype is None:
            return finished(torch.full((3, 1, 1), float("nan")))
        picture.again(picture.model + healing.PRECISE)
        picture.notes.append("It came out blank at first, and was drawn again in float32.")
        return None

    def _calibrate(self, model: Model, height: int, width: int, budget: float) -> None:
        """Finds how many latents of `height` x `width` share a step."""
        step = calibrate.unet_step(model.checkpoint, height, width)
        seconds = calibrate.measure(step, budget)
        model.knees[height, width] = calibrate.knee(seconds) if seconds else 1
        log.info("%d share a step of %d x %d latents: %s", model.knees[height, width], width, height, seconds)

    def _cap(self, shape: Hashable) -> int:
        """How many of this shape share a step."""
        model, _, height, width, _ = shape if isinstance(shape[0], Model) else (None, 0, 0, 0, 0)
        if model is None:
            return 1
        if known := model.knees.get((height, width)):
            return known
        space, defaults = model.checkpoint.space, model.checkpoint.defaults
        usual = defaults.width * defaults.height * (self.max_batch or 1)
        return max(1, min(self.max_batch or 1, usual // (height * width * space.factor**2)))

    def _upscaler(self, name: str) -> upscale.Upscaler:
        if name not in self._upscalers:
            path = self.library.path("upscalers", name)
            self._upscalers = {name: upscale.Upscaler.load(path, self.checkpoint.device, self.checkpoint.dtype)}
        return self._upscalers[name]

    def _load(self, name: str) -> Model:
        """For the shelf. A model of the catalogue, or one that is here in a higher precision."""
        plain = name.removesuffix(healing.PRECISE)
        first = self.checkpoint
        source, prediction = (first.source, first.prediction) if plain == "" else self._find(plain)
        dtype = first.dtype if name == plain else healing.higher(first.dtype)
        return Model(checkpoint.load(source, first.device, dtype, prediction=prediction), self.library)

    def _key(self, model: str) -> str:
        """The shelf's name for the model a request names; the engine's own is ""."""
        return "" if model == self.checkpoint.name else model

    def _find(self, name: str) -> tuple[str, str]:
        if self.catalogue is None:
            raise InvalidRequest({"model": f"There is no model called {name} here."})
        entry = self.catalogue.find(name, listed_only=True)
        return entry.source, entry.prediction

    def _tell_progress(self, picture: Picture, task: Task) -> None:
        picture.tell(Step, *picture.progress)
        now = time.monotonic()
        if 1 < task.step < task.steps and now - picture.previewed >= self.preview_interval:
            picture.previewed = now
            picture.tell(Preview, picture.progress[0], task.model.checkpoint.space.preview(task.guess()))

    def _tell_places(self) -> None:
        for ahead, picture in enumerate(self._batcher.line):
            if not picture.progress[0] and picture.ahead != ahead:
                picture.ahead = ahead
                picture.tell(Waiting, ahead)

    def _end(self, picture: Picture, kind: Callable[..., Event], *facts: object) -> None:
        with self._changed:
            self._batcher.remove(picture)
            picture.task = picture.run = None
            picture.tell(kind, *facts)

    @contextmanager
    def _failing(self, pictures: list[Picture]) -> Iterator[None]:
        """An error within ends these pictures with a sentence, and the loop lives on."""
        try:
            yield
        except Exception as error:
            self._fail(pictures, error)

    def _fail(self, pictures: list[Picture], error: Exception) -> None:
        for picture in pictures:
            if picture in self._batcher.line:
                self._end(picture, Failed, _sentence(error, picture))


def _sentence(error: Exception, picture: Picture) -> str:
    """What the user is told of a failure; the log is told all."""
    if isinstance(error, AppError):
        return error.sentence
    log.error("A picture failed", exc_info=error)
    if healing.out_of_memory(error):
        width, height = picture.size
        return healing.sentence(width, height, (max(64, width // 2 // 64 * 64), max(64, height // 2 // 64 * 64)))
    return "Something failed inside while drawing this picture. Trying again may help; the program's log says more."

"""The loop that draws: whoever is in line joins at the next step, shares one call of the UNet, and is told how it goes.

One thread owns the model; diffusers is not thread-safe. Each turn of the loop lets the cancelled leave, steps one group of equal
latent shape, and decodes those of it that are done, so a newcomer waits for one step at most, or one decoding.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from webapp.engine.batcher import Batcher
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.conditioning import Conditioner
from webapp.engine.drawing import Drawing
from webapp.engine.events import Cancelled, Event, Failed, Finished, Preview, Step, Waiting
from webapp.engine.latents import finished
from webapp.engine.task import Task
from webapp.errors import AppError, DrawingFailed
from webapp.schema import GenerationRequest

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Picture:
    """One picture's place in line. `task` is made when its first turn comes, so waiting costs no latents."""

    drawing: Drawing
    index: int
    request: GenerationRequest  # for this picture alone
    ahead: int = -1  # as last told
    task: Task | None = None
    previewed: float = 0.0  # by time.monotonic

    @property
    def shape(self) -> tuple[int, int]:
        return self.request.height, self.request.width

    def tell(self, kind: Callable[..., Event], *facts: object) -> None:
        self.drawing.tell(kind(self.index, *facts))


class Engine:
    """Draws with one checkpoint, in a thread of its own, until closed. `max_batch` pictures of the checkpoint's own size share a
    step; bigger ones in fewer, as their area grows, for they fill the hardware alone. At least `preview_interval` seconds pass
    between two previews of a picture."""

    def __init__(self, checkpoint: Checkpoint, max_batch: int | None = None, preview_interval: float = 0.3) -> None:
        self.checkpoint = checkpoint
        self.preview_interval = preview_interval
        self.max_batch = max_batch or usual_batch(checkpoint)
        self._conditioner = Conditioner(checkpoint.tokenizer, checkpoint.text_encoder)
        self._batcher: Batcher[Picture] = Batcher(self._cap, room=2 * self.max_batch)
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, request: GenerationRequest, indices: Iterable[int] | None = None) -> Drawing:
        """Put a request in line and return at once. `indices` asks for those of its pictures only, from 0 to `count` - 1.

        Raises DrawingFailed when the engine is closed.
        """
        request = request.resolved(self.checkpoint.defaults)
        chosen = sorted(set(range(request.count) if indices is None else indices))
        drawing = Drawing(request, chosen)
        with self._changed:
            if self._closing:
                raise DrawingFailed("The program is closing and draws no more.")
            for index in chosen:
                self._batcher.add(Picture(drawing, index, request.picture(index)))
            self._tell_places()
            self._changed.notify()
        return drawing

    def close(self) -> None:
        """Stop after the step in progress; whatever is not finished is cancelled."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        while group := self._next_group():
            self._tick(group)
            self._deliver([picture for picture in group if picture.task and picture.task.done])

    def _next_group(self) -> list[Picture]:
        """Who goes now, waiting until there is somebody; empty when the engine closes."""
        with self._changed:
            while True:
                for picture in [p for p in self._batcher.line if self._closing or p.drawing.cancelled]:
                    self._end(picture, Cancelled)
                self._tell_places()
                if self._closing or self._batcher.line:
                    return self._batcher.next()
                self._changed.wait()

    def _tick(self, group: list[Picture]) -> None:
        """One step for each of `group`, in one call of the UNet."""
        for picture in group:
            with self._failing([picture]):
                picture.task = picture.task or Task(picture.request, self.checkpoint, self._conditioner)
        begun = [picture for picture in group if picture.task]
        if not begun:
            return
        with self._failing(begun):
            predictions = self._predict([picture.task for picture in begun])
            for picture, noise in zip(begun, predictions, strict=True):
                with self._failing([picture]):
                    picture.task.advance(noise)
                    self._tell_progress(picture, picture.task)

    def _predict(self, tasks: list[Task]) -> tuple[torch.Tensor, ...]:
        """What the UNet says of each task's rows, (rows, channels, h, w) each."""
        noise = self.checkpoint.unet(
            torch.cat([task.sample for task in tasks]),  # (all rows, channels, h, w)
            torch.cat([task.timestep.expand(task.rows) for task in tasks]),  # (all rows,)
            encoder_hidden_states=torch.cat([task.embeddings for task in tasks]),  # (all rows, 77, width)
            return_dict=False,
        )[0]
        return noise.split([task.rows for task in tasks])

    def _deliver(self, pictures: list[Picture]) -> None:
        """Decode these, all of one shape, and hand them out."""
        if not pictures:
            return
        with self._failing(pictures):
            pixels = self.checkpoint.space.decode(torch.cat([picture.task.latents for picture in pictures]))
            for picture, row in zip(pictures, pixels, strict=True):
                with self._failing([picture]):
                    self._end(picture, Finished, finished(row), picture.request)

    def _tell_progress(self, picture: Picture, task: Task) -> None:
        picture.tell(Step, task.step, task.steps)
        now = time.monotonic()
        if 1 < task.step < task.steps and now - picture.previewed >= self.preview_interval:
            picture.previewed = now
            picture.tell(Preview, task.step, self.checkpoint.space.preview(task.guess()))

    def _tell_places(self) -> None:
        for ahead, picture in enumerate(self._batcher.line):
            if picture.task is None and picture.ahead != ahead:
                picture.ahead = ahead
                picture.tell(Waiting, ahead)

    def _end(self, picture: Picture, kind: Callable[..., Event], *facts: object) -> None:
        with self._changed:
            self._batcher.remove(picture)
            picture.task = None
            picture.tell(kind, *facts)

    @contextmanager
    def _failing(self, pictures: list[Picture]) -> Iterator[None]:
        """An error within ends these pictures with a sentence, and the loop lives on."""
        try:
            yield
        except Exception as error:
            for picture in pictures:
                self._end(picture, Failed, _sentence(error, picture.request))

    def _cap(self, shape: tuple[int, int]) -> int:
        """How many of this size share a step: as much area as `max_batch` of the checkpoint's own size."""
        usual = self.checkpoint.defaults.width * self.checkpoint.defaults.height * self.max_batch
        return max(1, min(self.max_batch, usual // (shape[0] * shape[1])))


def usual_batch(checkpoint: Checkpoint) -> int:
    """How many pictures of the checkpoint's own size share a step, until somebody measures: as long as the hardware has room.

    Measured on two Zen 4 cores in bf16, time for each picture when 1, 2, 4, 8 share: the built-in model's UNet at 16x16 latents
    19, 12, 10, 9 ms; at 32x32 34, 30, 30, 24; at 64x64 122, 122, 113, 134. At 512 pixels an A100 gains twofold with four, a T4
    nothing, and where nothing is gained sharing makes everybody slower.
    """
    if checkpoint.unet.num_parameters() < 50e6:
        return 8
    if checkpoint.device.type == "cuda" and checkpoint.dtype == torch.bfloat16:
        return max(1, 4 * 512 * 512 // (checkpoint.defaults.width * checkpoint.defaults.height))
    return 1


def _sentence(error: Exception, request: GenerationRequest) -> str:
    """What the user is told of a failure; the log is told all."""
    if isinstance(error, AppError):
        return error.sentence
    log.error("A picture failed", exc_info=error)
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in str(error):
        smaller = [max(64, side // 2 // 64 * 64) for side in (request.width, request.height)]
        return (
            f"There was not enough memory to draw {request.width} x {request.height} pixels. "
            f"Please try a smaller size, such as {smaller[0]} x {smaller[1]}."
        )
    return "Something failed inside while drawing this picture. Trying again may help; the program's log says more."

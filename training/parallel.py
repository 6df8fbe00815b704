"""Several processes of one thread each train one model: parameters, gradients and optimiser state lie in shared memory.

On two CPU cores this beats one process of two threads by far, because small convolutions do not split well. With one
worker (a GPU, a test) the same loop runs without any other process. A run can be killed at any moment: it continues
from the last checkpoint, its clock included.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Protocol

import torch
import torch.multiprocessing as mp
from torch import Tensor, nn
from tqdm import tqdm

from training import muon

VECTORS = ("values", "average", "first", "second")
PATIENCE = 600.0  # seconds to wait for another process before giving up
MATRIX_COST = 8  # what a number updated by Muon costs, against one updated by Adam


class Task(Protocol):
    """What is trained: parameters, and a loss over one batch that it draws itself."""

    model: nn.Module

    def loss(self, progress: float) -> Tensor:
        """A scalar to go down; `progress` runs from 0 to 1 over the stage."""


@dataclass(frozen=True)
class Settings:
    """One stage's clock and optimiser. `seconds` is wall clock; `average` the decay of the running mean of the weights; `start` another stage's
    checkpoint, whose averaged weights are the first of this one."""

    name: str
    checkpoint: Path
    seconds: float
    start: Path | None = None
    rate: float = 2e-3
    average: float = 0.997
    seed: int = 0
    workers: int = 2
    device: str = "cpu"
    save_seconds: float = 120.0


@dataclass
class Memory:
    """The vectors all workers see, each as long as the model has parameters, and the clock."""

    values: Tensor  # (P,)
    average: Tensor  # (P,)
    first: Tensor  # (P,) Muon's or Adam's momentum
    second: Tensor  # (P,) Adam's second moment
    gradients: Tensor  # (workers, P)
    losses: Tensor  # (workers,)
    clock: Tensor  # (2,) steps done, seconds spent


def train(build: Callable[[], Task], settings: Settings) -> None:
    """Train until the stage's time is spent; returns at once when a checkpoint says that it is.

    `build` must be picklable and give the same parameters in every process (seed it).
    Raises RuntimeError when a worker dies.
    """
    state = load(settings.checkpoint)
    if state and state["done"]:
        return
    memory = _memory(build().model, state, settings)
    if settings.workers == 1:
        return _work(0, build, settings, memory, None)
    context = mp.get_context("spawn")
    barrier = context.Barrier(settings.workers)
    others = [
        context.Process(target=_work, args=(rank, build, settings, memory, barrier), daemon=True) for rank in range(1, settings.workers)
    ]
    threads = torch.get_num_threads()
    for process in others:
        process.start()
    try:
        _work(0, build, settings, memory, barrier)
    except BaseException:
        barrier.abort()
        raise
    finally:
        torch.set_num_threads(threads)
        for process in others:
            process.join(30)
    if any(process.exitcode for process in others):
        raise RuntimeError(f"a worker of the stage {settings.name} failed")


def load(checkpoint: Path) -> dict | None:
    """The state a stage last saved, on the CPU, or None."""
    return torch.load(checkpoint, weights_only=True) if checkpoint.exists() else None


def keep(model: nn.Module, checkpoint: Path) -> None:
    """Write the weights of `model` as averaged ones, for `restore` and for a stage to start from."""
    torch.save({"average": torch.cat([value.detach().flatten() for value in model.parameters() if value.requires_grad])}, checkpoint)


def restore(model: nn.Module, checkpoint: Path) -> nn.Module:
    """Put the averaged weights of a stage, finished or not, into `model`. Raises FileNotFoundError when it has not begun."""
    state = load(checkpoint)
    if state is None:
        raise FileNotFoundError(f"no checkpoint yet: {checkpoint.name}")
    views = _views(model, state["average"])
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.requires_grad:
                value.copy_(views[name])
    return model


def trapezoid(progress: float, warm: float = 0.02, cool: float = 0.4) -> float:
    """The learning rate's factor: up over the first `warm` of the time, flat, down to zero over the last `cool`."""
    return max(0.0, min(1.0, progress / warm + 0.02, (1 - progress) / cool))


def _memory(model: nn.Module, state: dict | None, settings: Settings) -> Memory:
    trained = [value for value in model.parameters() if value.requires_grad]
    size = sum(value.numel() for value in trained)

    def shared(*shape: int) -> Tensor:
        empty = torch.zeros(shape, device=settings.device)
        return empty.share_memory_() if settings.workers > 1 else empty

    memory = Memory(
        *(shared(size) for _ in VECTORS), shared(settings.workers, size), shared(settings.workers), torch.zeros(2).double().share_memory_()
    )
    if state:
        for name in VECTORS:
            getattr(memory, name).copy_(state[name])
        memory.clock.copy_(torch.tensor([state["step"], state["elapsed"]]))
    else:
        for name, view in _views(model, memory.values).items():
            view.copy_(model.get_parameter(name).detach())
        if settings.start:
            memory.values.copy_(load(settings.start)["average"])
        memory.average.copy_(memory.values)
    return memory


def _views(model: nn.Module, vector: Tensor) -> dict[str, Tensor]:
    """Each trained parameter as a window on the flat vector."""
    views, start = {}, 0
    for name, value in model.named_parameters():
        if value.requires_grad:
            views[name] = vector[start : start + value.numel()].view(value.shape)
            start += value.numel()
    return views


def _shares(model: nn.Module, workers: int) -> list[list[str]]:
    """Which worker updates which parameters: the costliest first, each to whoever has least to do."""
    costs = {
        name: value.numel() * (MATRIX_COST if muon.is_matrix(name, value) else 1)
        for name, value in model.named_parameters()
        if value.requires_grad
    }
    shares: list[list[str]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for name in sorted(costs, key=costs.__getitem__, reverse=True):
        least = loads.index(min(loads))
        shares[least].append(name)
        loads[least] += costs[name]
    return shares


def _work(rank: int, build: Callable[[], Task], settings: Settings, memory: Memory, barrier: Barrier | None) -> None:
    """One worker's whole life. Three barriers a step: gradients are complete; parameters are new; the clock is."""
    if settings.workers > 1:
        torch.set_num_threads(1)
    if rank:
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    task = build()
    model = task.model.to(settings.device).train()
    windows = {name: _views(model, getattr(memory, name)) for name in VECTORS}
    gradients = [_views(model, memory.gradients[other]) for other in range(settings.workers)]
    for name, value in model.named_parameters():
        if value.requires_grad:
            value.data, value.grad = windows["values"][name], gradients[rank][name]
    mine = _shares(model, settings.workers)[rank]
    torch.manual_seed(hash((settings.seed, rank, int(memory.clock[0]))) % 2**63)
    if barrier:
        barrier.wait(PATIENCE)  # the clock starts when everybody is here
    report = _Report(settings, memory) if rank == 0 else None

    while memory.clock[1] < settings.seconds:
        progress = float(memory.clock[1]) / settings.seconds
        memory.gradients[rank].zero_()
        loss = task.loss(progress)
        loss.backward()
        memory.losses[rank] = loss.detach()
        if barrier:
            barrier.wait(PATIENCE)
        rate = settings.rate * trapezoid(progress)
        step = int(memory.clock[0]) + 1
        decay = min(settings.average, step / (step + 10))
        for name in mine:
            grad = sum(other[name] for other in gradients) / settings.workers
            _update(name, grad, {key: view[name] for key, view in windows.items()}, step, rate, decay)
        if barrier:
            barrier.wait(PATIENCE)
        if report:
            report.tick()
        if barrier:
            barrier.wait(PATIENCE)


def _watch(parent: int) -> None:
    """End this worker when the first process is gone, even one that waits for it at a barrier."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _update(name: str, grad: Tensor, views: dict[str, Tensor], step: int, rate: float, decay: float) -> None:
    value = views["values"]
    if muon.is_matrix(name, value):
        muon.muon(value, grad, views["first"], rate)
    else:
        muon.adam(value, grad, views["first"], views["second"], step, rate)
    with torch.no_grad():
        views["average"].lerp_(value, 1 - decay)


class _Report:
    """The first worker's clock, progress bar and checkpoints."""

    def __init__(self, settings: Settings, memory: Memory) -> None:
        self.settings, self.memory = settings, memory
        self.last = self.saved = time.monotonic()
        self.loss: float | None = None
        self.bar = tqdm(desc=settings.name, total=round(settings.seconds), initial=round(float(memory.clock[1])), unit="s", mininterval=10)

    def tick(self) -> None:
        """Called once a step, while the other workers wait."""
        now = time.monotonic()
        self.memory.clock += torch.tensor([1.0, now - self.last]).double()
        self.last = now
        loss = float(self.memory.losses.mean())
        self.loss = loss if self.loss is None else 0.99 * self.loss + 0.01 * loss
        steps, spent = self.memory.clock.tolist()
        self.bar.set_postfix_str(f"loss {self.loss:.4f}, {int(steps)} steps", refresh=False)
        self.bar.update(round(spent) - self.bar.n)
        done = spent >= self.settings.seconds
        if done or now - self.saved > self.settings.save_seconds:
            self.saved = now
            self._save(int(steps), spent, done)
        if done:
            self.bar.close()

    def _save(self, steps: int, spent: float, done: bool) -> None:
        """Written beside and moved over, so that a kill leaves the older checkpoint whole."""
        state = {name: getattr(self.memory, name).cpu() for name in VECTORS}
        partial = self.settings.checkpoint.with_suffix(".part")
        torch.save({**state, "step": steps, "elapsed": spent, "done": done, "loss": self.loss}, partial)
        os.replace(partial, self.settings.checkpoint)

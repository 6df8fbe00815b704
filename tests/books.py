"""Runs a notebook as a person would, in a kernel that stays until it is closed: in a folder that looks like a clone, with settings filled in,
and cells added at the end. The kernel is spoken to from one thread of its own, so that a browser can be driven meanwhile."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import nbformat
import pytest
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parent.parent
CLONE = ("webapp", "templates", "static", "locales", "requirements.txt", "requirements-notebook.txt")


class Book:
    def __init__(
        self, name: str, place: Path, environment: Mapping[str, str] | None = None, alone: bool = False, **settings: object
    ) -> None:
        for part in () if alone else CLONE:
            if not (place / part).exists():
                (place / part).symlink_to(ROOT / part)
        self.book = nbformat.read(ROOT / name, as_version=4)
        for cell in self.book.cells:
            for setting, value in settings.items():
                cell.source = re.sub(rf"^{setting} = .*?(?=  #@param)", f"{setting} = {value!r}", cell.source, flags=re.M)
        secrets = {"HF_TOKEN", "NGROK_AUTHTOKEN", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE"}
        mine = {name: value for name, value in os.environ.items() if name not in secrets and not name.startswith("T2I_")}
        self._environment = {**mine, "OMP_NUM_THREADS": "2", **(environment or {})}
        self._client = NotebookClient(
            self.book, timeout=600, iopub_timeout=60, kernel_name="python3", resources={"metadata": {"path": str(place)}}
        )
        self._thread, self._open = ThreadPoolExecutor(1), ExitStack()
        self._done = 0

    def __enter__(self) -> Book:
        self._thread.submit(lambda: self._open.enter_context(self._client.setup_kernel(env=self._environment))).result()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.submit(self._open.close).result()
        self._thread.shutdown()

    def run(self, until: str = "", again: bool = False) -> list[list]:
        """Runs the cells that were not run yet, or all of them `again`, to the one with the text `until`; the outputs of each. Raises
        nbclient's CellExecutionError."""
        self._done = 0 if again else self._done
        end = next(place for place, cell in enumerate(self.book.cells, 1) if until in cell.source) if until else len(self.book.cells)
        while self._done < end:
            number = self._done
            self._done += 1
            self._thread.submit(self._client.execute_cell, self.book.cells[number], number).result()
        return [cell.get("outputs", []) for cell in self.book.cells if cell.cell_type == "code"]

    def cell(self, source: str) -> str:
        """Runs one more cell; what it printed."""
        self.book.cells.append(nbformat.v4.new_code_cell(source))
        return printed(self.run()[-1])

    def stopped(self, source: str) -> str:
        """Runs one more cell, which is to end with a sentence and no traceback."""
        with pytest.raises(CellExecutionError):
            self.cell(source)
        [error] = [output for output in self.book.cells[-1].outputs if output.output_type == "error"]
        [line] = error.traceback
        return line

    def interrupt(self) -> None:
        """As the button of that name does."""
        self._thread.submit(run_sync(self._client.km.interrupt_kernel)).result()

    @property
    def said(self) -> str:
        """All that is in the outputs, in words: what a saved notebook would hold."""
        return nbformat.writes(self.book)


def printed(outputs: list) -> str:
    return "".join(output.text for output in outputs if output.get("output_type") == "stream")


def shown(outputs: list, kind: str = "text/html") -> str:
    return "".join(output.data[kind] for output in outputs if kind in output.get("data", {}))

"""`python -m webapp ...` as a user types it: in a process of its own, but one whose libraries are loaded already, which saves seconds
each time. The README's commands are started for real, in test_docs."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess

from conftest import ROOT

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["webapp.drawing_commands", "webapp.engine.engine"])


def webapp(*arguments: str | Path) -> CompletedProcess[str]:
    typed = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder, name) for name in ("out", "err")]
        process = CONTEXT.Process(target=_main, args=(typed, *said))
        process.start()
        process.join(300)
        if process.exitcode is None:
            process.kill()
        return CompletedProcess(typed, process.exitcode, *(path.read_text() for path in said))


def _main(arguments: list[str], out: Path, err: Path) -> None:
    os.chdir(ROOT)
    for path, stream in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    sys.argv = ["webapp", *arguments]
    runpy.run_module("webapp", run_name="__main__", alter_sys=True)

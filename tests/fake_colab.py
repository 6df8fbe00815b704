"""A stand-in for Colab's `google.colab`, put on a kernel's path by `put`: secrets that may be missing, forbidden or slow, the frame below a
cell, Google Drive, and downloads. What it holds and what was done with it is told in JSON files beside it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType


def put(folder: Path, **wish: object) -> dict[str, str]:
    """The environment of a kernel on "Colab"; again for another `wish` of the same kernel. `wish`: `secrets` by name, the names of those that are `forbidden` or `silent`, and whether Drive is `refused`."""
    package = folder / "google" / "colab"
    package.mkdir(parents=True, exist_ok=True)
    shutil.copy(__file__, package / "__init__.py")
    (package / "wish.json").write_text(json.dumps(wish))
    return {"PYTHONPATH": str(folder), "COLAB_RELEASE_TAG": "release-colab-external_20260801"}


def frames(folder: Path) -> list[dict]:
    """What was shown in a frame, in order."""
    told = folder / "google" / "colab" / "frames.json"
    return [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []


def _colab() -> None:
    """Makes this module, imported as `google.colab`, what Colab has there."""
    here = Path(__file__).parent

    class Userdata(ModuleType):
        class SecretNotFoundError(Exception):
            pass

        class NotebookAccessError(Exception):
            pass

        class TimeoutException(Exception):
            pass

        def get(self, name: str) -> str:
            wish = json.loads((here / "wish.json").read_text())
            if name in wish.get("forbidden", ()):
                raise self.NotebookAccessError(f"Notebook does not have access to secret {name}")
            if name in wish.get("silent", ()):
                raise self.TimeoutException(f"Requesting secret {name} timed out.")
            if name not in wish.get("secrets", {}):
                raise self.SecretNotFoundError(f"Secret {name} does not exist.")
            return wish["secrets"][name]

    class Output(ModuleType):
        def serve_kernel_port_as_iframe(
            self, port: int, path: str = "/", width: str = "100%", height: str = "400", cache_in_notebook: bool = False
        ) -> None:
            from IPython.display import Javascript, display

            with (here / "frames.json").open("a") as out:
                out.write(json.dumps({"port": port, "path": path, "height": height}) + "\n")
            display(Javascript(f"/* proxyPort */ ({json.dumps([port, path, width, height, cache_in_notebook])})"))

    class Drive(ModuleType):
        def mount(self, mountpoint: str, force_remount: bool = False, timeout_ms: int = 120_000, readonly: bool = False) -> None:
            if json.loads((here / "wish.json").read_text()).get("refused"):
                raise ValueError("mount failed")
            (Path(mountpoint) / "MyDrive").mkdir(parents=True, exist_ok=True)
            print(f"Mounted at {mountpoint}")

    class Files(ModuleType):
        def download(self, filename: str) -> None:
            assert Path(filename).is_file()
            print(f"Downloading {filename}")

    for name, kind in (("userdata", Userdata), ("output", Output), ("drive", Drive), ("files", Files)):
        module = kind(f"google.colab.{name}")
        sys.modules[module.__name__] = module
        globals()[name] = module


if __name__ == "google.colab":
    _colab()

"""Where this program runs, what that place lacks, and the secrets that are kept there. Kaggle and Colab are notebooks too, so they are
asked for first."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Literal

Place = Literal["kaggle", "colab", "jupyter", "terminal"]
REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"
NOTEBOOK_REQUIREMENTS = REQUIREMENTS.with_stem("requirements-notebook")  # what the inline notebook needs beside them
ADVICE = {">=": "{} or later is needed: use a newer image", "<": "a version before {} is needed: use an older image"}


class Stop(Exception):
    """Ends a cell, and "Run all" with it, with a sentence in place of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def here() -> Place:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is None:
        return "terminal"
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return "kaggle"
    return "colab" if "COLAB_RELEASE_TAG" in os.environ or "google.colab" in str(shell) else "jupyter"


def secret(name: str, ask: bool = False, report: Callable[[str], None] = print) -> str:
    """The secret of that name, or nothing: of the notebook's own secrets, else the environment's, else as it is typed in, if `ask`.
    `report` is told why one that may be there cannot be read."""
    found = {"colab": _of_colab, "kaggle": _of_kaggle}.get(here(), lambda *_: "")(name, report)
    return (found or os.environ.get(name, "") or (_typed(name) if ask else "")).strip()


def _of_colab(name: str, report: Callable[[str], None]) -> str:
    from google.colab import userdata

    try:
        return userdata.get(name) or ""
    except userdata.SecretNotFoundError:
        pass
    except userdata.NotebookAccessError:
        report(
            f"The secret {name} is there, but this notebook may not read it. Please allow that at the key on the left, and run this again."
        )
    except userdata.TimeoutException:
        report(f"Colab did not hand out the secret {name} in time. Please run this again.")
    return ""


def _of_kaggle(name: str, report: Callable[[str], None]) -> str:
    try:
        from kaggle_secrets import UserSecretsClient

        return UserSecretsClient().get_secret(name) or ""
    except Exception:  # it has one error for a secret that is not there, and others for a machine without a net
        return ""


def _typed(name: str) -> str:
    try:
        return getpass.getpass(f"{name} (it is not shown; leave it empty to go on without): ")
    except (EOFError, NotImplementedError):  # nobody is there to type
        return ""


def missing(requirements: Path = REQUIREMENTS) -> list[str]:
    """The lines of a requirements file whose packages are not here, in whatever version."""
    lines = [line.strip() for line in requirements.read_text("utf-8").splitlines() if line[:1].isalpha()]
    return [line for line in lines if not _installed(re.split(r"[\s<>=!~\[;]", line)[0])]


def _installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def install(requirements: Path = REQUIREMENTS) -> list[str]:
    """Installs what is missing of a requirements file and changes nothing that is here: a partial upgrade breaks an image such as Colab's.
    Gives what was missing. Raises Stop."""
    wanted = missing(requirements)
    if wanted:
        with tempfile.TemporaryDirectory() as folder:
            frozen = Path(folder, "constraints.txt")
            found = reversed(list(metadata.distributions()))  # the first of a name is the one that is imported
            versions = {_canonical(each.metadata["Name"]): each.version for each in found if each.metadata["Name"]}
            frozen.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", str(frozen)]
            done = subprocess.run([*pip, *wanted], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            print(done.stderr)
            raise Stop(
                f"pip could not install {', '.join(wanted)}; it says why above. Without a net it cannot (on Kaggle, switch the internet on in "
                "the notebook's settings); where versions conflict, a newer image helps."
            )
    return wanted


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def unfit(requirements: Path = REQUIREMENTS) -> list[str]:
    """A sentence for each package that is here in a version which a requirements file does not allow."""
    from packaging.requirements import Requirement

    sentences = []
    for line in requirements.read_text("utf-8").splitlines():
        if not line[:1].isalpha() or not _installed((needed := Requirement(line)).name):
            continue
        version = metadata.version(needed.name)
        for limit in needed.specifier:
            if not limit.contains(version, prereleases=True):
                sentences.append(f"{needed.name} {version} is here, {ADVICE[limit.operator].format(limit.version)}.")
    return sentences

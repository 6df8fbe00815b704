"""scripts/setup in a folder of its own, with real environments and one small package in place of torch and all the rest; without a net."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup", tmp_path / "scripts")
    (tmp_path / "requirements.txt").write_text("torch\n")
    (tmp_path / "constraints.txt").write_text("torch==1.0\n")
    with zipfile.ZipFile(tmp_path / "torch-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("torch-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n")
        wheel.writestr("torch-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("torch-1.0.dist-info/RECORD", "")
    return tmp_path


def setup(clone: Path) -> str:
    """What it said."""
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(clone), "PIP_CONFIG_FILE": os.devnull, "PYTHON": sys.executable}
    done = subprocess.run([clone / "scripts/setup"], env={**os.environ, **pip}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_an_environment_that_does_not_work_is_made_anew(clone):
    python = clone / ".venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone / ".venv"], check=True)  # as where ensurepip is missing
    assert "Setting up" in setup(clone)
    assert list(clone.glob(".venv/lib/*/site-packages/torch-1.0.dist-info"))
    assert setup(clone) == "", "a second call does nothing"
    python.unlink()  # as after an upgrade of the system
    python.symlink_to("/no/such/python3")
    assert "Setting up" in setup(clone)
    assert subprocess.run([python, "-m", "pip", "show", "torch"], capture_output=True).returncode == 0

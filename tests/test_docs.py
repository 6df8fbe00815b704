"""The README is true: every command in it is run here, every setting is in its table, every link leads somewhere."""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Visitor, eventually

from webapp.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines()]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A clean clone, made by the README's own line, with this run's installed packages standing in for a first installation."""
    place = tmp_path_factory.mktemp("newcomer")
    [line] = [line for line in COMMANDS if line.startswith("git clone")]
    subprocess.run(line.replace("REPOSITORY", shlex.quote(str(ROOT))), shell=True, cwd=place, check=True, capture_output=True)
    here = place / "text-to-image-generator"
    (here / ".venv").symlink_to(Path(sys.prefix), target_is_directory=True)
    return here


def run(line: str, clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(line, shell=True, cwd=clone, capture_output=True, text=True, timeout=300, env={**os.environ, **environment})


def serve(line: str, clone: Path, tmp_path: Path, **environment: str):
    """Starts a serving command of the README on a free port; gives the process and a visitor."""
    import os

    process = subprocess.Popen(
        ["sh", "-c", f"exec {line}"], cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "T2I_PORT": "0", "T2I_DATA": str(tmp_path), **environment},
    )  # fmt: skip
    for told in process.stdout:
        if found := re.search(r"http://\S+", told):
            return process, Visitor(found[0].rstrip("/"))
    raise AssertionError("it ended without an address")


def test_run_serves_and_draws(clone, tmp_path):
    assert "scripts/run" in COMMANDS
    process, visitor = serve("scripts/run", clone, tmp_path)
    try:
        job = visitor.json("/generate", {"prompt": "a castle on a hill at sunset"})["id"]
        assert visitor.wait_for(job)["pictures"][0]["id"]
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_run_with_stable_diffusion_asks_the_hub_for_it(clone, tmp_path):
    [line] = [line for line in COMMANDS if line.startswith("scripts/run --model")]
    process, visitor = serve(line, clone, tmp_path, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_CACHE=str(tmp_path / "cache"))
    try:
        model = eventually(lambda: (told := visitor.json("/jobs")["model"])["state"] == "failed" and told, 90)
        assert "hub" in model["sentence"] and "built-in" in model["sentence"]
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.parametrize("line", [line for line in COMMANDS if "webapp generate" in line])
def test_generate_writes_its_pictures(line, clone):
    done = run(line, clone)
    assert done.returncode == 0, done.stderr
    written = re.findall(r"(\S+\.png) \(seed \d+\)", done.stdout)
    assert len(written) == int((re.search(r"--count (\d+)", line) or [0, "1"])[1])
    assert all((clone / name).stat().st_size > 1000 for name in written)


def test_training_and_score_commands_are_understood(clone):
    """The true run takes over an hour; `tests/test_training.py` runs the whole of it small. Here: the flags are the ones written."""
    training, score = (line for line in COMMANDS if "-m training" in line)
    usage = run(f"{training.split(' --')[0]} --help", clone).stdout
    assert all(flag in usage for flag in re.findall(r"--\w+", training))
    done = run(f"{score} --help", clone)
    assert done.returncode == 0 and "folder" in done.stdout.casefold()


def test_no_command_of_the_readme_is_left_out():
    known = ("git clone", "scripts/run", ".venv/bin/python -m webapp generate", ".venv/bin/python -m training")
    assert all(line.startswith(known) for line in COMMANDS)
    assert shutil.which("sh") and (ROOT / "scripts/test").stat().st_mode & 0o111, "and this run is scripts/test itself"


def test_every_setting_is_in_the_table():
    for field in dataclasses.fields(Settings):
        default = Settings.__dataclass_fields__[field.name].default
        row = next(line for line in README.splitlines() if line.startswith(f"| `--{field.name}`"))
        assert f"`{PREFIX}{field.name.upper()}`" in row
        assert str(default) in row


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md", "CHANGELOG.md"])
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / document).parent.joinpath(target).exists(), target


def test_the_map_shows_what_is_there():
    for name in re.findall(r"`(\w+)/`", README.split("## Where things are")[1].split("## ")[0]):
        assert (ROOT / name).is_dir() or (ROOT / "webapp" / name).is_dir(), name


def test_the_architecture_page_names_tests_that_exist():
    for name in re.findall(r"`(tests/\w+\.py)`", (ROOT / "docs/architecture.md").read_text()):
        assert (ROOT / name).exists(), name

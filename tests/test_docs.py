"""The README is true: every command in it is run here, every setting is in its table, every link leads somewhere."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import Visitor, eventually
from diffusers import ControlNetModel, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file

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
        process.wait(timeout=120)


def test_run_takes_paths_from_where_one_stands_and_keeps_what_it_made_in_the_clone(clone, tmp_path):
    (tmp_path / "webapp").mkdir()  # of somebody else
    for flags, folder in (("", clone / "data"), ("--data pics", tmp_path / "pics")):
        process, _ = serve(f"env -u T2I_DATA {shlex.quote(str(clone))}/scripts/run {flags}", tmp_path, tmp_path)
        process.terminate()
        process.wait(timeout=120)
        assert (folder / "cookie.key").is_file()
    assert not (tmp_path / "data").exists()


def test_run_for_several_people_opens_only_by_its_links(clone, tmp_path):
    [line] = [line for line in COMMANDS if line.startswith("scripts/run --host")]
    process, visitor = serve(line, clone, tmp_path)
    try:
        link, address = visitor.address, visitor.address.split("/?")[0]
        assert "?token=" in link
        stranger, guest = Visitor(address), Visitor(address)
        assert stranger.ask("/")[0] == 403
        assert guest.ask("/?" + link.split("/?")[1])[0] == 200
        assert guest.ask("/host")[0] == 404
        host = next(found[0] for told in process.stdout if (found := re.search(r"http://\S+/host\?token=\S+", told)))
        assert Visitor(address).ask("/host?" + host.split("?")[1])[0] == 200
    finally:
        process.terminate()
        process.wait(timeout=120)


def test_run_with_stable_diffusion_asks_the_hub_for_it(clone, tmp_path):
    [line] = [line for line in COMMANDS if line.startswith("scripts/run --model")]
    process, visitor = serve(line, clone, tmp_path, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_CACHE=str(tmp_path / "cache"))
    try:
        model = eventually(lambda: (told := visitor.json("/jobs")["model"])["state"] == "failed" and told, 90)
        assert "hub" in model["sentence"] and "built-in" in model["sentence"]
    finally:
        process.terminate()
        process.wait(timeout=120)


@pytest.fixture(scope="module")
def furnished(clone) -> Path:
    """The clone with what the README's reader would have brought along: a model, a mask, a LoRA, an embedding, a ControlNet, a wildcard."""
    library = clone / "data/library"
    for kind in ("loras", "embeddings", "controlnets", "wildcards"):
        (library / kind).mkdir(parents=True)
    (clone / "path/to").mkdir(parents=True)
    (clone / "path/to/model.safetensors").touch()
    mask = Image.new("L", (128, 128))
    mask.paste(255, (0, 0, 128, 40))
    mask.save(clone / "mask.png")
    unet = UNet2DConditionModel.from_pretrained(ROOT / "webapp/builtin", subfolder="unet", local_files_only=True)
    width = unet.config.cross_attention_dim
    torch.manual_seed(0)
    layers = {name: part for name, part in unet.named_modules() if name.endswith("attn2.to_v")}
    lora = {}
    for name, part in layers.items():
        key = f"lora_unet_{name.replace('.', '_')}"
        lora |= {
            f"{key}.lora_down.weight": torch.randn(2, part.in_features) / 10,
            f"{key}.lora_up.weight": torch.randn(part.out_features, 2) / 10,
            f"{key}.alpha": torch.tensor(2.0),
        }
    save_file(lora, library / "loras/my-style.safetensors")
    save_file({"emb_params": torch.randn(2, width) / 10}, library / "embeddings/my-word.safetensors")
    ControlNetModel.from_unet(unet).save_pretrained(library / "controlnets/edges")
    (library / "wildcards/colour.txt").write_text("red\nblue\ngreen\n")
    return clone


def pictures(line: str) -> list[str]:
    """The files that a line of the README says it writes."""
    out, count = (re.search(pattern, line) for pattern in (r"--out (\S+)\.png", r"--count (\d+)"))
    made = int(count[1]) if count else 1
    for choice in re.findall(r"\{([^}]*)\}", line):
        made *= len(choice.split("|"))
    for side in re.findall(r'--[xy] "\w+=([^"]*)"', line):
        made *= len(side.split(","))
    sheet = [f"{out[1]}-sheet-1.png"] if "--x" in line else []
    return [f"{out[1]}.png"] if made == 1 else [f"{out[1]}-{number}.png" for number in range(1, made + 1)] + sheet


def test_the_commands_of_the_command_line_do_what_they_say(furnished):
    """All of them in their order, for some go on with what others made; in one process, which spares importing torch for each."""
    lines = [line for line in COMMANDS if "-m webapp" in line]
    script = (
        "import json, shlex, sys\n"
        "from webapp.__main__ import main\n"
        "told = [main(shlex.split(line)[3:]) for line in json.loads(sys.argv[1])]\n"
        "print(json.dumps(told))"
    )
    offline = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(furnished / "cache")}
    done = run(f"{shlex.quote(sys.executable)} -c {shlex.quote(script)} {shlex.quote(json.dumps(lines))}", furnished, **offline)
    assert done.returncode == 0, done.stderr
    for line, status in zip(lines, json.loads(done.stdout.splitlines()[-1]), strict=True):
        assert status == (2 if "download" in line else 0), (line, done.stderr[-2000:])
        for name in pictures(line) if "generate" in line else ():
            assert (furnished / name).stat().st_size > 1000, (line, name)
    assert "\nsame\n" in done.stdout
    assert "hub" in done.stderr  # the download, without a net


def test_generate_works_as_it_is_typed(clone):
    line = next(line for line in COMMANDS if "webapp generate" in line)
    done = run(line, clone)
    assert done.returncode == 0, done.stderr
    assert f"{pictures(line)[0]} (seed 7)" in done.stdout


def test_training_and_score_commands_are_understood(clone):
    """The true run takes over an hour; `tests/test_training.py` runs the whole of it small. Here: the flags are the ones written."""
    training, score = (line for line in COMMANDS if "-m training" in line)
    usage = run(f"{training.split(' --')[0]} --help", clone).stdout
    assert all(flag in usage for flag in re.findall(r"--\w+", training))
    done = run(f"{score} --help", clone)
    assert done.returncode == 0 and "folder" in done.stdout.casefold()


def test_no_command_of_the_readme_is_left_out():
    known = ("git clone", "scripts/run", ".venv/bin/python -m webapp ", ".venv/bin/python -m training")
    assert all(line.startswith(known) for line in COMMANDS)
    assert shutil.which("sh") and (ROOT / "scripts/test").stat().st_mode & 0o111, "and this run is scripts/test itself"


def test_every_setting_is_in_the_table():
    for field in dataclasses.fields(Settings):
        default = Settings.__dataclass_fields__[field.name].default
        row = next(line for line in README.splitlines() if line.startswith(f"| `--{field.name}`"))
        assert f"`{PREFIX}{field.name.upper()}`" in row
        assert str(default) in row


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md", "docs/engine.md", "docs/colab.md", "CHANGELOG.md"])
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

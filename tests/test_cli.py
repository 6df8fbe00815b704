"""`python -m webapp generate` and `again` as a user types them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import tiny
from command import webapp
from conftest import NATIVE, ROOT, Visitor
from PIL import Image, PngImagePlugin
from safetensors.torch import load_file, save_file

from webapp import metadata
from webapp.__main__ import main
from webapp.craft import SAMPLERS
from webapp.engine.engine import Engine
from webapp.engine.events import Finished
from webapp.library import Library

PROMPT = "a red circle on a blue background"


def generate(*arguments: str | Path) -> CompletedProcess[str]:
    return webapp("generate", *arguments)


def drawn(*arguments: str | Path) -> CompletedProcess[str]:
    done = generate(*arguments)
    assert done.returncode == 0, done.stderr
    return done


def request_of(path: Path):
    return metadata.read(path.read_bytes()).request


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    """A picture to start from."""
    path = tmp_path_factory.mktemp("start") / "start.png"
    image = Image.new("RGB", (NATIVE, NATIVE), "#3060c0")
    image.paste("#30a040", (0, NATIVE * 5 // 8, NATIVE, NATIVE))
    image.save(path)
    return path


# -- generate


def test_it_draws_what_was_asked_for_and_the_same_again(tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "deeper" / "two.png"
    for out in (one, two):
        done = drawn(PROMPT, "--out", out, "--seed", "7")
        assert f"{out} (seed 7)" in done.stdout and "100%" in done.stderr
    assert one.read_bytes() == two.read_bytes()
    image = Image.open(one)
    red, _, blue = image.getpixel((image.width // 2, image.height // 2))
    assert red > 150 > blue
    red, _, blue = image.getpixel((4, 4))
    assert blue > 150 > red


@pytest.mark.parametrize("negative", ["--negative", "--negative-prompt"])
def test_every_option_reaches_the_picture(tmp_path, negative):
    options = {
        negative: "red", "--steps": "3", "--guidance": "2.5", "--sampler": "dpm++ 2m karras", "--width": "192", "--height": "128",
        "--clip-skip": "2", "--eta": "0.5", "--guidance-rescale": "0.7", "--subseed": "9", "--subseed-strength": "0.25", "--upscale": "1.5",
        "--hires-scale": "1.5", "--hires-strength": "0.4", "--hires-steps": "4", "--hires-upscaler": "latent", "--styles": next(iter(Library().styles)),
    }  # fmt: skip
    flat = [part for option in options.items() for part in option]
    drawn(PROMPT, *flat, "--count", "2", "--seed", "5", "--out", tmp_path / "p.png")
    requests = [request_of(tmp_path / f"p-{i}.png") for i in (1, 2)]
    assert [request.subseed for request in requests] == [9, 10], "seeds follow each other; where a variation is asked for, its seeds do"
    told = requests[0].model_dump(exclude_defaults=True)
    prompt, negative_prompt = told.pop("prompt"), told.pop("negative_prompt")
    assert PROMPT in prompt and len(prompt) > len(PROMPT) and negative_prompt.startswith("red")
    assert told == {
        "seed": 5, "width": 192, "height": 128, "steps": 3, "guidance": 2.5, "sampler": "DPM++ 2M", "schedule": "karras", "clip_skip": 2,
        "eta": 0.5, "guidance_rescale": 0.7, "subseed": 9, "subseed_strength": 0.25, "upscale": 1.5, "hires_scale": 1.5,
        "hires_strength": 0.4, "hires_steps": 4, "hires_upscaler": "latent",
    }  # fmt: skip
    assert Image.open(tmp_path / "p-1.png").size == (432, 288), "twice half as large again"


def test_the_options_are_told_in_the_order_of_the_form():
    told = [generate("--help").stdout for _ in range(2)]
    assert told[0] == told[1]
    places = [told[0].index(f"--{name}") for name in ("negative-prompt", "styles", "seed", "width", "hires-scale", "upscaler")]
    assert places == sorted(places)


def test_a_matrix_and_a_list_are_drawn_whole(tmp_path):
    done = drawn("a {red|blue} circle\na star", "--steps", "1", "--seed", "3", "--out", tmp_path / "m.png")
    assert [request_of(tmp_path / f"m-{i}.png").prompt for i in (1, 2, 3)] == ["a red circle", "a blue circle", "a star"]
    assert done.stdout.count("(seed 3)") == 3 and len(list(tmp_path.iterdir())) == 3


def test_a_grid_is_drawn_with_its_sheet(tmp_path):
    out = tmp_path / "g.odd"
    done = drawn(PROMPT, "--x", "steps=1,2", "--y", "prompt_replace=red,green", "--seed", "3", "--out", out)
    made = [request_of(tmp_path / f"g-{i}.odd") for i in range(1, 5)]
    assert [(each.steps, each.prompt) for each in made] == [
        (1, PROMPT), (2, PROMPT), (1, PROMPT.replace("red", "green")), (2, PROMPT.replace("red", "green")),
    ]  # fmt: skip
    sheet = Image.open(tmp_path / "g-sheet-1.odd")
    assert sheet.format == "PNG" and sheet.width > 256 and sheet.height > 256
    assert f"{tmp_path / 'g-sheet-1.odd'}" in done.stdout


def test_what_is_finished_when_it_is_stopped_is_there(tmp_path, monkeypatch, capsys):
    submit = Engine.submit

    def stopped(*given: object, **more: object) -> Iterator[object]:
        """As with Ctrl+C after the first picture."""
        for event in submit(*given, **more):
            yield event
            if isinstance(event, Finished):
                raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "submit", stopped)
    assert main(["generate", PROMPT, "--x", "steps=1,150", "--seed", "3", "--out", str(tmp_path / "p.png")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["p-1.png"]
    assert request_of(tmp_path / "p-1.png").steps == 1
    assert capsys.readouterr().out == f"{tmp_path / 'p-1.png'} (seed 3)\n"


def test_from_a_picture_and_only_where_the_mask_is_white(tmp_path, start):
    mask, out = tmp_path / "mask.png", tmp_path / "p.png"
    picture, middle = Image.new("L", (NATIVE, NATIVE)), NATIVE // 2
    picture.paste(255, (0, 0, middle, NATIVE))
    picture.save(mask)
    near, far = tmp_path / "near.png", tmp_path / "far.png"
    for strength, path in (("0.2", near), ("1", far)):
        drawn(PROMPT, "--image", start, "--strength", strength, "--seed", "4", "--out", path)
    old = np.asarray(Image.open(start), int)
    apart = {path: np.abs(np.asarray(Image.open(path), int) - old).mean() for path in (near, far)}
    assert apart[near] < apart[far] / 2
    drawn(PROMPT, "--image", start, "--mask", mask, "--mask-blur", "0", "--strength", "1", "--seed", "4", "--out", out)
    change = np.abs(np.asarray(Image.open(out), int) - old)
    assert change[:, middle + 8 :].max() == 0 and change[:, : middle - 8].mean() > 10
    assert len(request_of(out).images()) == 2


def test_what_its_owner_should_know_is_told(tmp_path):
    done = drawn("a zyzzyva", "--steps", "1", "--out", tmp_path / "p.png")
    assert "does not know the word: zyzzyva" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([""], "empty"),
        (["x" * 10_000], "4,000"),
        ([PROMPT, "--width", "1e9"], "width"),
        ([PROMPT, "--width", "1000000000"], "2,048"),
        ([PROMPT, "--steps", "0"], "1 to 150"),
        ([PROMPT, "--guidance", "nan"], "guidance"),
        ([PROMPT, "--sampler", "Magic"], SAMPLERS[1]),
        ([PROMPT, "--sampler", "DDIM", "--schedule", "karras"], "DDIM cannot use the karras schedule"),
        ([PROMPT, "--sampler", "LCM Karras"], "LCM"),
        ([PROMPT, "--schedule", "magic"], "karras"),
        ([PROMPT, "--styles", "No Such Style"], "No Such Style"),
        ([PROMPT, "--x", "steps"], "values"),
        ([PROMPT, "--x", "count=1,2"], "count"),
        ([PROMPT, "--x", "steps=1-9", "--y", "seed=1-9"], "81"),
        (["{a|b|c|d|e|f|g|h} {1|2|3|4|5|6|7|8|9}"], "72"),
        (["__nothing__"], "nothing"),
        ([PROMPT, "--mask", "README.md"], "needs a picture"),
        ([PROMPT, "--image", "README.md"], "README.md is not a picture"),
        ([PROMPT, "--image", "webapp"], "webapp cannot be read"),
        ([PROMPT, "--image", "no-such.png"], "no-such.png cannot be read"),
        ([PROMPT, "--control", "edges"], "NAME=FILE"),
        ([PROMPT, "--model", "no/such folder"], "no/such folder"),
        ([PROMPT, "--steps", "1", "--out", "/proc/nothing/p.png"], "/proc/nothing/p.png"),
        ([PROMPT, "--steps", "1", "--out", "docs"], "docs is a folder"),
        ([PROMPT, "--steps", "1", "--out", "", "--count", "2"], "folder"),
    ],
)
def test_what_cannot_be_done_gets_a_sentence(arguments, word):
    done = generate(*arguments)
    assert done.returncode == 2
    assert word in done.stderr and "Traceback" not in done.stderr
    assert "step/s" not in done.stderr, "told before anything is drawn"


# -- again


def test_again_is_the_same(tmp_path, start):
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    drawn(PROMPT, "--seed", "7", "--steps", "5", "--sampler", "Euler a", "--out", one)
    done = webapp("again", one, "--out", other)
    assert (done.returncode, done.stdout.strip()) == (0, "same"), done.stdout + done.stderr
    assert one.read_bytes() == other.read_bytes()
    drawn(PROMPT, "--image", start, "--strength", "0.5", "--steps", "8", "--out", one)
    missing = webapp("again", one, "--data", tmp_path / "empty")
    assert missing.returncode == 2 and "hand it in" in missing.stderr and "Traceback" not in missing.stderr
    done = webapp("again", one, "--image", start)
    assert (done.returncode, done.stdout.strip()) == (0, "same"), done.stdout + done.stderr


def test_one_of_four_is_the_same_drawn_alone(tmp_path):
    """To the eye: where several share a step, libraries may sum up in another order."""
    drawn("a {red|blue} circle", "--count", "2", "--seed", "7", "--steps", "12", "--width", "192", "--out", tmp_path / "p.png")
    for number in (1, 4):
        done = webapp("again", tmp_path / f"p-{number}.png")
        assert done.returncode == 0 and done.stdout.startswith("same"), done.stdout + done.stderr


@pytest.mark.slow
def test_what_the_server_drew_in_company_is_the_same_drawn_alone(serve, tmp_path):
    address = serve().address
    people = [Visitor(address) for _ in range(4)]
    for person in people:
        person.ask("/")
    form = {"steps": "12", "sampler": "DPM++ 2M SDE"}
    jobs = [(p, p.json("/generate", {"prompt": f"a {c} circle", **form})["id"]) for p, c in zip(people, ("red", "green", "blue", "yellow"))]
    for number, (person, job) in enumerate(jobs):
        [picture] = person.wait_for(job)["pictures"]
        path = tmp_path / f"{number}.png"
        path.write_bytes(person.ask(f"/pictures/{picture['id']}.png")[1])
    for number in range(len(jobs)):
        done = webapp("again", tmp_path / f"{number}.png", "--data", tmp_path / "data")
        assert done.returncode == 0 and done.stdout.startswith("same"), done.stdout + done.stderr


def test_other_weights_make_it_differ_and_say_so(tmp_path):
    model = tiny.folder(tmp_path / "model")
    path = tmp_path / "p.png"
    drawn(PROMPT, "--model", model, "--steps", "3", "--out", path)
    assert webapp("again", path, "--model", model).stdout.strip() == "same"
    weights = model / "unet/diffusion_pytorch_model.safetensors"
    values = load_file(weights)
    name = next(name for name in values if name.endswith("conv_out.weight"))
    values[name][0, 0, 0, 0] += 0.5
    save_file(values, weights, {"format": "pt"})
    done = webapp("again", path, "--model", model)
    assert done.returncode == 1
    assert done.stdout.strip() == "differs, because the model's weights are others."


def test_an_edited_wish_is_found_out(tmp_path):
    path = tmp_path / "p.png"
    drawn(PROMPT, "--steps", "3", "--seed", "7", "--out", path)
    with Image.open(path) as image:
        text = PngImagePlugin.PngInfo()
        told = json.loads(image.text[metadata.KEY])
        told["request"]["seed"] = 8
        text.add_itxt(metadata.KEY, json.dumps(told))
        image.save(tmp_path / "edited.png", pnginfo=text)
    done = webapp("again", tmp_path / "edited.png")
    assert done.returncode == 1 and done.stdout.startswith("differs, because") and "edited" in done.stdout
    told["request"]["seed"] = 7
    with Image.open(path) as image:
        text = PngImagePlugin.PngInfo()
        text.add_itxt(metadata.KEY, json.dumps(told))
        image.rotate(180).save(tmp_path / "turned.png", pnginfo=text)
        image.save(tmp_path / "resaved.png", pnginfo=text)
    assert webapp("again", tmp_path / "turned.png").returncode == 1
    done = webapp("again", tmp_path / "resaved.png")
    assert (done.returncode, done.stdout.strip()) == (0, "same picture in another file")


def test_what_is_no_picture_of_ours_gets_a_sentence(tmp_path):
    plain, text = tmp_path / "plain.png", tmp_path / "text.png"
    Image.new("RGB", (8, 8)).save(plain)
    text.write_text("not a picture")
    for arguments in ([plain], [text], [tmp_path / "missing.png"], [tmp_path], [ROOT / "README.md"]):
        done = webapp("again", *arguments)
        assert done.returncode == 2 and done.stderr.strip().endswith(".") and "Traceback" not in done.stderr


def test_again_says_when_the_new_one_cannot_be_written(tmp_path):
    path = tmp_path / "p.png"
    drawn(PROMPT, "--steps", "1", "--out", path)
    done = webapp("again", path, "--out", "/proc/nothing/p.png")
    assert done.returncode == 2 and "/proc/nothing/p.png" in done.stderr and "Traceback" not in done.stderr


def test_a_named_model_is_found_again_by_its_name(tmp_path):
    data, path = tmp_path / "data", tmp_path / "p.png"
    model = tiny.folder(tmp_path / "some-folder")
    assert webapp("models", "add", "mine", model, "--data", data).returncode == 0
    drawn(PROMPT, "--model", "mine", "--data", data, "--steps", "2", "--out", path)
    done = webapp("again", path, "--data", data)
    assert done.returncode == 0, done.stdout + done.stderr
    elsewhere = webapp("again", path, "--data", tmp_path / "other")
    assert elsewhere.returncode == 2 and "some-folder" in elsewhere.stderr and "--model" in elsewhere.stderr
    shutil.rmtree(model)
    gone = webapp("again", path, "--data", data)
    assert gone.returncode == 2 and "Traceback" not in gone.stderr

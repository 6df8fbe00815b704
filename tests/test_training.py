"""The training package: a toy model from nothing in seconds, and a scorer that can say no."""

import functools
import itertools
import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_training
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, EulerAncestralDiscreteScheduler, StableDiffusionPipeline
from PIL import ImageFilter
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTokenizer

from training import (
    autoencoder,
    card,
    contact,
    decoder,
    diffusion,
    export,
    judge,
    muon,
    outline,
    parallel,
    pen,
    pictures,
    reader,
    recipe,
    redraw,
    scenes,
    score,
    styles,
    tokenizer,
)
from training.judge import Share
from training.plan import NUMBERS, Plan

UNET = "unet/diffusion_pytorch_model.safetensors"
WORDS = scenes.vocabulary()


@pytest.fixture(scope="module")
def words() -> CLIPTokenizer:
    return tokenizer.build(WORDS)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A plan with every number small, not run yet."""
    return tiny_training.plan(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def made(toy: Plan) -> Plan:
    """The same plan, run to its end."""
    recipe.run(toy)
    return toy


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """A few prompts instead of dozens; one thread, since models this small only wait for a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contact, "PROMPTS", contact.PROMPTS[:3])
        patch.setattr(contact, "STRANGERS", contact.STRANGERS[:1])
        yield
    torch.set_num_threads(threads)


# -- the renderer's promises -----------------------------------------------------------------------------------------------


def combination(facts: dict) -> tuple:
    """What of a caption is held out or trained on as a whole."""
    kind = facts["kind"]
    if kind == "scene":
        around = facts["time"] if facts["things"] else (facts["time"], facts["weather"])
        return facts["subject"], facts["place"], around, facts["colour"], facts["style"]
    if kind == "duo":
        return tuple((thing["subject"], thing["colour"]) for thing in facts["things"])
    if kind == "item":
        return facts["subject"], facts["colour"], facts["background"], facts["style"]
    if kind == "count":
        return facts["thing"], facts["colour"], facts["number"]
    spot = facts["objects"][0].get("spot")
    return (*((thing["shape"], thing["colour"]) for thing in facts["objects"]), facts["background"], facts.get("relation"), spot)


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_held_out_combinations_are_never_trained_on(kind: str) -> None:
    rng = random.Random(0)
    invent = scenes.INVENT[kind]
    trained, kept = set(), set()
    for _ in range(4000):
        facts = invent(rng)
        (kept if facts["held_out"] else trained).add(combination(facts))
    assert kept and trained and not kept & trained
    assert scenes.sample(rng, held_out=True, kind=kind).facts["held_out"] is True
    assert scenes.sample(rng, held_out=False, kind=kind).facts["held_out"] is False


def test_nothing_is_wholly_held_out() -> None:
    """Each word, subject, place and style is trained on, most of its combinations are."""
    rng = random.Random(1)
    seen = [scenes.invent_scene(rng) for _ in range(20_000)]
    trained = [facts for facts in seen if not facts["held_out"]]
    assert len(trained) > 0.6 * len(seen)
    for name in ("subject", "place", "time", "weather", "season", "style"):
        assert {facts[name] for facts in trained} == {facts[name] for facts in seen}
    plain = {facts["subject"] for facts in trained if not facts["style"]}
    assert plain >= set(scenes.SUBJECTS)


@pytest.mark.parametrize("form", scenes.FORMS)
@pytest.mark.parametrize("kind", scenes.KINDS)
def test_every_kind_fills_every_form_of_page(kind: str, form: str) -> None:
    rng = random.Random(3)
    for _ in range(6):
        image = scenes.sample(rng, kind=kind, form=form).image
        assert image.size == scenes.FORMS[form]
        pixels = np.asarray(image)
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert (edge == 0).all(axis=1).mean() < 0.5, "blank paper is black"


def cells(one: np.ndarray, other: np.ndarray | tuple[int, ...], more_than: int) -> np.ndarray:
    """Which squares of CELL pixels hold a pixel, of (H, W, 3), in which the two differ by more than so many levels."""
    differs = (np.abs(one.astype(int) - other) > more_than).any(2)
    height, width = (side // pen.CELL for side in differs.shape)
    return differs.reshape(height, pen.CELL, width, pen.CELL).any((1, 3))


@pytest.mark.parametrize("form", scenes.FORMS)
@pytest.mark.parametrize("kind", scenes.KINDS)
def test_it_is_known_where_the_things_are(kind: str, form: str) -> None:
    """A square may be missed of which a thing has a hundredth, and no other."""
    rng = random.Random(4)
    for seed in range(8):
        facts = {**scenes.sample(rng, kind=kind, form=form).facts, "style": ""}
        if kind in ("duo", "scene"):  # in another colour, where nothing else is another
            things = facts["things"] or [{"subject": "cat", "size": "", "facing": "left"}]
            (red, where), (blue, same) = (
                scenes.paint({**facts, "things": [{**thing, "colour": colour} for thing in things]}, random.Random(seed))
                for colour in ("red", "blue")
            )
            assert (where != same).sum() <= 0.1 * where.sum()
            differs = cells(np.asarray(red), np.asarray(blue), 64)
            assert not (differs & ~where).any() and differs.sum() > 0
            assert kind == "duo" or not scenes.paint({**facts, "things": []}, random.Random(seed))[1].any()
        else:
            image, where = scenes.paint(facts, random.Random(seed))
            ground, seen = pen.COLOURS[facts["background"]], np.asarray(image)
            assert not (where & ~cells(seen, ground, 0)).any() and not (cells(seen, ground, 64) & ~where).any()


def test_a_place_that_is_not_named_is_not_asked_for() -> None:
    rng = random.Random(3)
    drawn = [scenes.sample(rng, kind=kind) for kind in ("scene", "duo") * 300]
    unsaid = [scene for scene in drawn if len(scene.facts["places"]) > 1]
    assert 20 < len(unsaid) < 120 and all(scene.facts["place"] in scene.facts["places"] for scene in drawn)
    for scene in unsaid:
        assert scene.facts["kind"] == "scene" and "place" not in judge.labels(scene.facts)
        assert not any(way in scene.caption for way in scenes.WHERE[scene.facts["place"]])
    assert all(judge.labels(scene.facts)["place"] == scene.facts["place"] for scene in drawn if scene not in unsaid)


def test_captions_hold_no_word_outside_the_vocabulary() -> None:
    rng = random.Random(5)
    known = set(WORDS)
    assert len(known) >= 200
    for _ in range(3000):
        facts = scenes.INVENT[rng.choice(list(scenes.KINDS))](rng)
        caption = scenes.say(facts, rng)
        words = "".join(letter if letter.isalpha() else " " for letter in caption).split()
        assert set(words) <= known, caption


def test_the_apps_own_styles_are_taught() -> None:
    """What the app adds for these styles stands in captions, and the pictures follow."""
    facts = {**scenes.invent_item(random.Random(0)), "style": "pencil"}
    said = {scenes.say(facts, random.Random(seed)) for seed in range(40)}
    assert any("graphite on paper" in caption for caption in said)
    plain = scenes.draw({**facts, "style": ""}, random.Random(0))
    for style in styles.STYLES:
        drawn = scenes.draw({**facts, "style": style}, random.Random(0))
        assert np.abs(np.asarray(drawn, float) - np.asarray(plain, float)).mean() > 8, style
    pencil = np.asarray(scenes.draw(facts, random.Random(0)), float)
    assert np.ptp(pencil, axis=2).mean() < 15, "no colour"


def test_pictures_do_not_depend_on_the_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BLOCK", 3)
    for workers in (1, 2):
        pictures.render(tmp_path / str(workers), "few", 10, seed=5, workers=workers)
    for form, count in (("square", 8), ("wide", 1), ("tall", 1)):
        one, two = (pictures.pixels(tmp_path / str(workers), "few", form) for workers in (1, 2))
        said, again = (pictures.words(tmp_path / str(workers), "few", form) for workers in (1, 2))
        assert said == again and len(said[0]) == len(said[1]) == count and set(said[1]) <= set(scenes.KINDS)
        assert np.array_equal(one, two) and one.std() > 10


# -- the tokenizer ---------------------------------------------------------------------------------------------------------


def test_every_word_is_one_token(words: CLIPTokenizer) -> None:
    assert [word for word in WORDS if len(words(word).input_ids) != 3] == []
    assert words("A RED Circle").input_ids == words("a red circle").input_ids


def test_padding_is_that_of_sd21(words: CLIPTokenizer) -> None:
    ids = tokenizer.encode(words, ["a red circle"])[0]
    assert len(ids) == tokenizer.POSITIONS == words.model_max_length
    assert ids[0] == words.bos_token_id and ids[4] == words.eos_token_id and set(ids[5:]) == {0}
    assert words.convert_ids_to_tokens(0) == "!"


@pytest.mark.parametrize("text", ["xylophone quartz", "(8) #nofilter: 50%!", "crème brûlée", "東京"])
def test_unknown_words_become_pieces(words: CLIPTokenizer, text: str) -> None:
    ids = words(text).input_ids[1:-1]
    assert words.unk_token_id not in ids
    assert words.decode(ids).replace(" ", "") == text.replace(" ", "")


def test_old_and_new_files_load_alike(words: CLIPTokenizer, tmp_path: Path) -> None:
    tokenizer.save(words, tmp_path)
    assert list(json.loads((tmp_path / "vocab.json").read_text("utf-8")).values()) == list(range(len(words))), "the same bytes each time"
    text = "a stormy island, quite xylophonic"
    assert CLIPTokenizer.from_pretrained(tmp_path)(text).input_ids == words(text).input_ids
    (tmp_path / "tokenizer.json").unlink()
    old = CLIPTokenizer.from_pretrained(tmp_path)
    assert old(text).input_ids == words(text).input_ids and old.model_max_length == tokenizer.POSITIONS


# -- the optimiser and the processes ---------------------------------------------------------------------------------------


def test_muon_makes_all_directions_equally_long() -> None:
    torch.manual_seed(0)
    for shape in ((20, 64), (64, 20)):
        lengths = torch.linalg.svdvals(muon.orthogonal(torch.randn(shape)))
        assert lengths.min() > 0.5 and lengths.max() < 1.5


class Line:
    """Learn y = W x from examples; can be told to break off."""

    def __init__(self, break_off: int | None = None) -> None:
        torch.manual_seed(1)
        self.model, self.truth, self.left = nn.Linear(8, 8), torch.randn(8, 8), break_off

    def loss(self, progress: float) -> Tensor:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        x = torch.randn(32, 8)
        return (self.model(x) - x @ self.truth.T).square().mean()


def settings(folder: Path, **changes: object) -> parallel.Settings:
    return replace(parallel.Settings("line", folder / "line.pt", seconds=1.0, rate=0.03, workers=1, save_seconds=0), **changes)


def test_two_processes_learn_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(parallel, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 500, sleep=time.sleep))  # 2 s are 1,000 steps
    parallel.train(Line, settings(tmp_path, workers=2, seconds=2.0, save_seconds=100))
    learned = parallel.restore(nn.Linear(8, 8), tmp_path / "line.pt")
    assert (learned.weight - Line().truth).abs().max() < 0.1


def test_a_run_continues_where_it_was_stopped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        parallel.train(functools.partial(Line, 12), settings(tmp_path, seconds=600))
    before = parallel.load(tmp_path / "line.pt")
    assert before["step"] == 12 and not before["done"] and before["elapsed"] > 0
    with pytest.raises(KeyboardInterrupt):
        parallel.train(functools.partial(Line, 5), settings(tmp_path, seconds=600))
    after = parallel.load(tmp_path / "line.pt")
    assert after["step"] == 17 and after["elapsed"] > before["elapsed"]
    assert not torch.equal(after["values"], before["values"])


def test_a_stage_starts_from_the_averaged_weights_of_another(tmp_path: Path) -> None:
    first = settings(tmp_path, seconds=0.2)
    parallel.train(Line, first)
    second = settings(tmp_path, name="next", checkpoint=tmp_path / "next.pt", start=first.checkpoint, rate=0.0, seconds=0.1)
    parallel.train(Line, second)  # its clock is its own, else it would be over before it began
    assert torch.equal(parallel.load(second.checkpoint)["values"], parallel.load(first.checkpoint)["average"])


def test_a_finished_stage_is_left_alone(tmp_path: Path) -> None:
    parallel.train(Line, settings(tmp_path, seconds=0.05))
    parallel.train(functools.partial(Line, 0), settings(tmp_path))  # would break off at once if it ran
    assert parallel.load(tmp_path / "line.pt")["done"]


def test_no_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"line\.pt"):
        parallel.restore(nn.Linear(8, 8), tmp_path / "line.pt")


# -- autoencoder and diffusion ---------------------------------------------------------------------------------------------


def test_whitening_changes_the_latents_and_no_picture(toy: Plan) -> None:
    torch.manual_seed(0)
    model = autoencoder.make(toy).eval()
    pixels = np.stack([np.asarray(scenes.sample(random.Random(seed)).image) for seed in range(6)])
    x = autoencoder.to_tensor(pixels)
    with torch.no_grad():
        model.quant_conv.weight *= 7
        before, wide = model.decode(model.encode(x).latent_dist.mean).sample, model.encode(x).latent_dist.std
        autoencoder.whiten(model, pixels, "cpu")
        after, z = model.decode(model.encode(x).latent_dist.mean).sample, model.encode(x).latent_dist
    latents = z.mean * autoencoder.SCALING
    assert torch.allclose(before, after, atol=2e-3)
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.1
    assert (latents.std(dim=(0, 2, 3)) - 1).abs().max() < 0.05
    assert not torch.allclose(wide, z.std, rtol=0.1)


def test_the_noise_schedule_is_the_one_that_is_exported() -> None:
    signal, noise = diffusion.signal_and_noise()
    assert 0.004 < signal[-1] < 0.008
    clean, added, times = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2), torch.tensor([0, 500, 999])
    stock = DDPMScheduler.from_config(diffusion.make_scheduler().config)
    s, n = signal[times][:, None, None, None], noise[times][:, None, None, None]
    assert torch.allclose(stock.add_noise(clean, added, times), s * clean + n * added, atol=1e-6)
    assert torch.allclose(stock.get_velocity(clean, added, times), s * added - n * clean, atol=1e-6)


def test_times_are_drawn_at_all_levels_and_most_where_things_get_their_forms() -> None:
    times = diffusion.draw_times(50_000)
    assert 0 <= times.min() < 10 and 970 < times.max() <= 999
    middle = float(times.float().median())
    assert abs(middle - 415) < 8, "of a normal about 400, cut off at 0 and 1000"
    share = torch.histc(times.float(), 10, 0, 1000) / 50_000
    assert 0.16 < share[4] < 0.172 and 0.06 < share[0] < 0.069 and 0.013 < share[9] < 0.018
    few = diffusion.draw_times(24)
    assert int((few < middle).sum()) in (11, 12, 13), "each batch has its share of all levels"


def test_a_map_is_learnt_mostly_where_it_is_decided_what_stands_where() -> None:
    times = diffusion.draw_early_times(50_000)
    assert 0 <= times.min() < 5 and times.max() == 999
    assert all(float((times >= time).float().mean()) == pytest.approx((1 - time / 1000) ** (1 / 3), abs=0.005) for time in (100, 500, 900))
    assert int((diffusion.draw_early_times(24) >= 500).sum()) in (19, 20)  # 24 cube roots of a half are 19.05


def test_an_error_counts_more_where_the_things_are() -> None:
    clean, where = torch.zeros(2, 4, 8, 8), torch.zeros(2, 8, 8)
    where[:, :2] = 1  # a quarter

    def loss(top: float, rest: float, *given: torch.Tensor) -> float:
        torch.manual_seed(0)
        wrong = torch.full((8, 8), rest)
        wrong[:2] = top
        signal, noise = diffusion.signal_and_noise()
        # the picture is all zeros, so that v is the noise alone, and what is noisy is that times its level
        return float(
            diffusion.velocity_loss(
                lambda noisy, times: noisy / noise[times][:, None, None, None] * signal[times][:, None, None, None] + wrong, clean, *given
            )
        )

    plain, top, rest = loss(1, 1), loss(1, 0, where), loss(0, 1, where)
    assert loss(1, 1, where) == pytest.approx(plain, rel=1e-5) and top + rest == pytest.approx(plain, rel=1e-5)
    assert top / rest == pytest.approx(diffusion.THINGS / 3, rel=1e-4)
    assert loss(1, 0) / loss(0, 1) == pytest.approx(1 / 3, rel=1e-4)


def test_what_is_learnt_last_is_shown_more_often() -> None:
    captions = ["a red circle", "an abstract painting of a cat", "a cat, neon, on a hill", "pixel art of a dog", "a dog"]
    assert sorted(diffusion.hard_rows(captions, ["shape", "item", "scene", "duo", "item"])) == [1] * 4 + [2] * 4 + [3] * 4 + [4]


def test_captions_are_padded_as_the_pipeline_pads_them(words: CLIPTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a red circle on a blue background", "edinburgh castle at night"]
    captions = diffusion.Captions(words, texts, WORDS)
    many = captions.draw([0, 1] * 200)
    empty = tokenizer.encode(words, [""])[0]
    left_out = sum(row == empty for row in many.tolist()) / 400
    assert 0.05 < left_out < 0.16
    for name in ("EMPTY", "TERSE", "STRANGE"):
        monkeypatch.setattr(diffusion, name, 0.0)
    assert captions.draw([0, 1]).tolist() == tokenizer.encode(words, texts)


# -- the whole, small ------------------------------------------------------------------------------------------------------


def test_the_toy_survives_an_interruption(toy: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped inside the first diffusion stage; the model so far can be exported; the next run does not begin again."""
    whole, calls = diffusion.Denoising.loss, []

    def breaking(self: diffusion.Denoising, progress: float) -> Tensor:
        calls.append(progress)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return whole(self, progress)

    monkeypatch.setattr(diffusion.Denoising, "loss", breaking)
    with pytest.raises(KeyboardInterrupt):
        recipe.run(toy)
    finished = (toy.work / "autoencoder.pt").stat().st_mtime
    export.write(replace(toy, size=128))
    assert json.loads((toy.out / "defaults.json").read_text())["width"] == 128
    monkeypatch.undo()
    recipe.run(toy)
    assert (toy.work / "autoencoder.pt").stat().st_mtime == finished
    assert parallel.load(toy.checkpoint("diffusion-128"))["step"] >= len(calls)


def test_the_folder_is_a_stable_diffusion_model(made: Plan) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(made.out, local_files_only=True)
    assert {part.dtype for part in (pipe.unet, pipe.vae, pipe.text_encoder)} == {torch.float32}
    assert pipe.safety_checker is None and pipe.feature_extractor is None and not pipe.config.requires_safety_checker
    assert pipe.scheduler.config.prediction_type == "v_prediction" and pipe.vae.config.scaling_factor == 0.18215
    assert pipe.unet.config.sample_size * pipe.vae_scale_factor == 256
    stored = torch.load(made.checkpoint("diffusion-256"), weights_only=True)["average"]
    assert torch.isfinite(stored).all()
    original = pipe.scheduler.config
    for kind in (type(pipe.scheduler), DDIMScheduler, EulerAncestralDiscreteScheduler):
        pipe.scheduler = kind.from_config(original)
        image = pipe("a red circle", num_inference_steps=3, generator=torch.Generator().manual_seed(0)).images[0]
        assert image.size == (256, 256) and np.isfinite(np.asarray(image)).all()


def test_the_folder_is_half_precision_with_a_card_and_a_sheet(made: Plan) -> None:
    for part in ("unet", "vae", "text_encoder"):
        (weights,) = (made.out / part).glob("*.safetensors")
        assert {value.dtype for value in load_file(weights).values() if value.is_floating_point()} == {torch.float16}
    for sheet in ("contact.webp", "strangers.webp"):
        assert 1000 < (made.out / sheet).stat().st_size < 400_000
    assert (made.out / "defaults.json").read_text().startswith("{")
    offered = [phrase for phrases in json.loads((made.out / "words.json").read_text()).values() for phrase in phrases]
    taught = set(scenes.vocabulary())
    assert len(offered) > 120 and {phrase for phrase in offered if not taught.issuperset(phrase.split())} == set()
    card.write_table(made.out / "README.md", "| a table |")
    card.write_table(made.out / "README.md", "| another |")
    text = (made.out / "README.md").read_text()
    assert "| another |" in text and "| a table |" not in text


def test_the_decoder_is_shown_what_the_unet_makes_of_latents(made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one that knows the picture they come back as they were; by one that knows nothing, changed."""
    task, (signal, noise) = decoder.DecoderOnly(made), diffusion.signal_and_noise()
    clean, ids = torch.randn(5, 4, 32, 32), task.ids["square"][:5]

    def told(x: Tensor, times: Tensor, given: Tensor) -> Tensor:
        assert torch.equal(given, ids) and times.min() > 0 and times.max() < decoder.LATEST
        s, n = (level[times][:, None, None, None] for level in (signal, noise))
        return s * (x - s * clean) / n - n * clean

    monkeypatch.setattr(task, "both", told)
    assert torch.allclose(task.redraw(clean, ids), clean, atol=1e-4)
    monkeypatch.setattr(task, "both", lambda x, times, given: torch.zeros_like(x))
    assert 0.01 < float((task.redraw(clean, ids) - clean).square().mean()) < 1


def test_the_decoder_stage_leaves_the_latents_alone(made: Plan) -> None:
    before, after = AutoencoderKL.from_pretrained(made.work / "autoencoder").eval(), export.load_autoencoder(made)
    pixels = pictures.pixels(made.work, "held_out")
    assert torch.equal(autoencoder.encode(before, pixels, "cpu"), autoencoder.encode(after, pixels, "cpu"))
    assert not torch.equal(before.decoder.conv_out.weight, after.decoder.conv_out.weight)
    cached = torch.from_numpy(np.array(autoencoder.latents(made.work, 256, "square"))).float()
    assert (cached.std(dim=(0, 2, 3)) - 1).abs().max() < 0.1
    assert autoencoder.latents(made.work, 256, "wide").shape[1:] == (4, 24, 40)
    assert autoencoder.latents(made.work, 128, "wide").shape[1:] == (4, 12, 20)


def test_a_model_is_trained_on(made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on = tiny_training.plan(tmp_path, begun=made.out, size=128)
    recipe.run(on)
    assert not on.checkpoint("autoencoder").exists()
    old, begun, new = load_file(made.out / UNET), export.load_both(on, "begun").unet.state_dict(), export.load_both(on).unet.state_dict()
    assert all(torch.equal(old[name].float(), begun[name]) for name in old)
    assert not torch.equal(begun["conv_in.weight"], new["conv_in.weight"])
    before, after = (json.loads((folder / NUMBERS).read_text()) for folder in (made.out, on.out))
    assert after["autoencoder_db"] == before["autoencoder_db"] and after["minutes"] > before["minutes"] > 0
    monkeypatch.setattr(pictures.scenes, "vocabulary", lambda: [*WORDS, "xylophone"])
    with pytest.raises(ValueError, match="without the words xylophone"):
        recipe.run(tiny_training.plan(tmp_path / "other", begun=made.out))


# -- the scorer ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flat() -> list[scenes.Scene]:
    """Held-out shapes, pairs and counts."""
    rng = random.Random(2)
    return [scenes.sample(rng, held_out=True, kind=kind) for kind in ("shape", "pair", "count") * 40]


@pytest.fixture(scope="module")
def seen(flat: list[scenes.Scene]) -> list[judge.Seen | None]:
    """What is read of their renders."""
    return [judge.look(scene.facts["kind"], scene.image) for scene in flat]


def test_real_renders_are_read_right(flat: list[scenes.Scene], seen: list[judge.Seen | None]) -> None:
    found = score.judged(flat, seen)
    assert {name: share.rate for name, share in found.items() if share.rate < 0.95} == {}


def test_other_captions_labels_score_low(flat: list[scenes.Scene], seen: list[judge.Seen | None]) -> None:
    found = score.judged(score.others(flat), seen)
    assert found["shape: all of it"].rate < 0.1 and found["pair: all of it"].rate < 0.1
    assert found["shape: background"].rate < 0.4 and found["shape: shape"].rate < 0.4


def test_swapped_relations_are_wrong_and_nothing_else(flat: list[scenes.Scene], seen: list[judge.Seen | None]) -> None:
    found = score.judged(*score.swapped(flat, seen))
    assert found["pair: relation"].rate == 0 and found["pair: both there"].rate > 0.95


def test_swapped_colours_are_told(flat: list[scenes.Scene], seen: list[judge.Seen | None]) -> None:
    pairs = [both for both in zip(flat, seen) if both[0].facts["kind"] == "pair"]

    def exchanged(facts: dict) -> dict:
        one, other = facts["objects"]
        return {**facts, "objects": [{**one, "colour": other["colour"]}, {**other, "colour": one["colour"]}]}

    found = judge.tally(judge.verdict(exchanged(scene.facts), read) for scene, read in pairs)
    assert found["pair: both there"].rate > 0.95 and found["pair: colours not swapped"].rate == 0


def test_noise_has_no_shape() -> None:
    """None of its patches that are as large as shapes are; a speck may look like anything."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        coarse = rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)
        picture = outline.Image.fromarray(coarse).resize((256, 256), outline.Image.Resampling.BICUBIC)
        large = [blob.shape for blob in outline.read(picture).blobs if blob.area > 500]
        assert len(large) >= 5 and not any(large)


def test_wilsons_interval() -> None:
    low, high = Share(8, 10).interval()  # the textbook's 0.49 to 0.94
    assert (round(low, 2), round(high, 2)) == (0.49, 0.94)
    assert Share(0, 0).interval() == (0.0, 1.0) and Share(10, 10).interval()[1] == 1.0


def test_faults_are_found_and_only_those() -> None:
    points = {*score.GOALS, *score.DECISIVE}
    good, bad = ({point: Share(right, 100) for point in points} for right in (99, 5))
    sure = {"subject": Share(999, 1000)}
    columns = {"model": good, "real": good, "second judge": good, **dict.fromkeys(score.CONTROLS, bad)}

    def faults(**changed: dict) -> list[str]:
        return score.faults({**columns, **{name.replace("_", " "): column for name, column in changed.items()}}, score.GOALS, sure)

    assert faults() == []
    assert any("below 0.970" in fault for fault in faults(model={**good, "shape: shape": Share(80, 100)}))
    assert any("judges differ on scene: time" in fault for fault in faults(second_judge={**good, "scene: time": Share(90, 100)}))
    for control in score.CONTROLS:
        assert any(
            control in fault for fault in score.faults({**columns, control: {**bad, "pair: relation": Share(60, 100)}}, score.GOALS, sure)
        )
    assert any("real renders" in fault for fault in faults(real=bad))
    assert any("reader is right" in fault for fault in score.faults(columns, score.GOALS, {"subject": Share(98, 100)}))


@pytest.fixture(scope="module")
def plain() -> list[scenes.Scene]:
    """Scenes and items."""
    rng = random.Random(4)
    return [scenes.sample(rng, kind=kind) for kind in ("scene", "item", "scene") * 6]


def test_the_second_judge_knows_real_renders_and_refuses_others(plain: list[scenes.Scene]) -> None:
    """Each is shown its own render and another's, as two models' pictures are."""
    of_kind = [[one for one in plain if one.facts["kind"] == kind] for kind in ("item", "scene")]
    pairs = [(one, other) for some in of_kind for one, other in zip(some, some[1:] + some[:1])]
    asked, shown = zip(*pairs)
    own, others = score.redrawn(list(asked), [[scene.image for scene in asked], [scene.image for scene in shown]])
    assert {name: share.rate for name, share in own.items() if share.rate < 0.85} == {}
    assert others["scene: subject"].rate < 0.4 and others["scene: time"].rate < 0.7


def test_twos_are_told_apart_where_they_stand() -> None:
    rng = random.Random(6)
    asked = [scenes.sample(rng, kind="duo") for _ in range(12)]
    mirrored = [replace(scene, image=scenes.draw({**scene.facts, "things": scene.facts["things"][::-1]}, rng)) for scene in asked]
    own, other = score.redrawn(asked, [[scene.image for scene in some] for some in (asked, mirrored)])
    assert own["duo: left"].rate > 0.85 < own["duo: right"].rate and own["duo: left colour"].rate > 0.85
    assert other["duo: left"].rate < 0.4 > other["duo: right"].rate and other["duo: style"].rate > 0.85


def test_the_second_judge_knows_soft_squares_and_facets_and_asks_for_them(plain: list[scenes.Scene]) -> None:
    """Of each style a picture as soft as a model's is known for what it is, and with neither squares nor facets it passes for no such style."""
    rng, soft = random.Random(7), ImageFilter.GaussianBlur(1.5)
    drawn = {
        style: [scenes.draw({**scene.facts, "style": style}, rng).filter(soft) for scene in plain[:3]] for style in ("", *styles.STYLES)
    }
    for style, right in drawn.items():
        for scene, *both in zip(plain, right, drawn["" if style else "pixel art"]):
            own, other = redraw.verdicts({**scene.facts, "style": style}, both)
            point = f"{scene.facts['kind']}: style"
            assert own[point] and not other[point], (style, scene.caption)


def test_the_reader_looks_at_every_pixel_of_the_middle(plain: list[scenes.Scene]) -> None:
    pixels, seen = np.asarray(plain[0].image), reader.look(plain[0].image)
    assert seen.shape == (reader.SIDE, reader.SIDE, reader.CHANNELS)
    middle = seen[..., 3:].reshape(80, 80, 2, 2, 3).swapaxes(1, 2).reshape(160, 160, 3)
    assert np.array_equal(middle, pixels[80:240, 48:208])


def test_the_reader_learns_and_the_warp_destroys_things_not_colours(
    plain: list[scenes.Scene], made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.stack([reader.look(scene.image) for scene in plain[:10]])
    clear = autoencoder.to_tensor(pixels)
    bent = reader.warp(clear)
    assert (bent - clear).abs().mean() > 0.1
    assert (bent.mean(dim=(2, 3)) - clear.mean(dim=(2, 3))).abs().mean() < 0.1

    reader.prepare(tmp_path, export.load_autoencoder(made), renders=150)
    task = reader.Reading(tmp_path, width=8)
    assert len(task.looks) == len(task.answers) == 150 + 19
    every_second(monkeypatch, 1)
    parallel.train(lambda: task, parallel.Settings("reader", tmp_path / "it.pt", seconds=90, workers=1))
    right = reader.accuracy(task.model, pictures.some(60, "to be tested by", reader.KINDS))
    assert right["time"].rate > 0.6  # the commonest answer alone gives 0.46


def every_second(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """A clock by which each step of training takes so many seconds."""
    monkeypatch.setattr(parallel, "time", SimpleNamespace(monotonic=itertools.count(step=seconds).__next__, sleep=time.sleep))


def test_a_reader_goes_on_from_where_it_was_stopped(tmp_path: Path, made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BATCH", 4)
    every_second(monkeypatch, 60)
    whole, calls = reader.Reading.loss, []

    def breaking(task: reader.Reading, progress: float) -> Tensor:
        calls.append(progress)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return whole(task, progress)

    monkeypatch.setattr(reader.Reading, "loss", breaking)
    get = functools.partial(reader.get, tmp_path / "reader.pt", export.load_autoencoder(made), minutes=9, renders=20, workers=1)
    with pytest.raises(KeyboardInterrupt):
        get()
    once = get()
    assert 0 < calls[6] < calls[5] and len(calls) == 6 + 9 - calls.index(calls[6])
    again = get()
    assert len(calls) == 15 - calls.index(calls[6]) and all(
        torch.equal(value, again.state_dict()[name]) for name, value in once.state_dict().items()
    )


def test_drawn_pictures_are_kept_until_the_weights_change(made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "BLOCK", 4)
    asked = score.questions(1)

    def kept() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "drawn").iterdir()}

    first = score.draw(made.out, asked, tmp_path)
    blocks = kept()
    assert len(blocks) == 2 and len(first) == len(asked) == len(scenes.KINDS)
    alone = score._draw(contact.load(made.out), made.out, [asked[4].caption], 4)[0]
    assert (
        np.abs(np.asarray(alone, int) - np.asarray(first[4], int)).mean()
        < 1
        < np.abs(np.asarray(alone, int) - np.asarray(first[5], int)).mean()
    )
    again = score.draw(made.out, asked, tmp_path)
    assert kept() == blocks and all(np.array_equal(one, two) for one, two in zip(first, again))
    defaults = made.out / "defaults.json"
    before = defaults.read_text()
    defaults.write_text(before.replace('"steps": 20', '"steps": 2'))
    other = score.draw(made.out, asked, tmp_path)
    assert len(kept()) == 4 and not np.array_equal(first[0], other[0])
    defaults.write_text(before)

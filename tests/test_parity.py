"""The promise at the heart of it, as a table: drawn alone, a picture equals diffusers' own pipeline on the same seed; drawn in
company, whatever the others are, it equals it too. Where we differ on purpose, the table says why and the test sees that we do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
import tiny
import tiny_addons
import torch
from PIL import Image
from reference import Reference
from studio import Studio, distance, ends, events_of, name_of, photo, wish

from webapp.craft import SAMPLERS
from webapp.engine import checkpoint
from webapp.engine.checkpoint import Checkpoint
from webapp.engine.drawing import Drawing
from webapp.engine.events import Cancelled, Finished
from webapp.library import Library
from webapp.schema import Control, GenerationRequest

pytestmark = [
    pytest.mark.filterwarnings("ignore:Should have t[ab]"),  # torchsde's rounding
    pytest.mark.filterwarnings("ignore:Already found a `peft_config`"),  # two LoRAs are
]
ALONE, IN_COMPANY = 1e-6, 1e-5  # of the largest latent
LORA = 3.0  # its weight goes between its two matrices, and peft's behind them
EULER_A = 3.0  # its sigmas are in double precision here, in single there: 1.55 was seen
NETS = 2.0  # what two ControlNets say is added up, which CPUs without AVX-512 round otherwise: 1.35 was seen


def _mask(*box: int) -> Image.Image:
    mask = Image.new("L", (64, 64))
    mask.paste(255, box)
    return mask


PHOTO, OTHER, MASK = photo(1), photo(2, 50, 70), _mask(13, 8, 52, 40)
IMAGES = {name_of(image): image for image in (PHOTO, OTHER, MASK)}
FROM_PHOTO = {"image": name_of(PHOTO), "strength": 0.6}
PAINTED = {"image": name_of(PHOTO), "mask": name_of(MASK), "mask_blur": 0, "strength": 0.75}
CONTROLS = (
    Control(model="one", image=name_of(OTHER), weight=0.5, end=0.6),
    Control(model="two", image=name_of(PHOTO), weight=1.2, start=0.2),
)


@dataclass(frozen=True)
class Case:
    """`why` we are not what diffusers makes of the request, if so; then we are what its pipeline makes of it with our scheduler."""

    name: str
    request: GenerationRequest
    model: str = "epsilon"
    why: str = ""
    more: tuple[tuple[str, object], ...] = ()  # what the pipeline is to be told besides, to do as we do
    rounding: float = 1.0  # how much more of it than usual shows

    def __str__(self) -> str:
        return f"{self.name}, {self.model}"


def _texts() -> Iterator[Case]:
    """Every sampler on every kind of checkpoint; sizes, numbers of steps and guidance vary along the way."""
    wrong = {
        "DPM++ 3M SDE": "diffusers has a sign of its third-order term wrong, and pictures stay noisy",
        "TCD": "the pipeline sets eta to 0 for every sampler; without a wish TCD keeps its own, 0.3",
    }
    for model in ("epsilon", "v_prediction", "builtin"):
        for place, sampler in enumerate(SAMPLERS):
            request = wish(
                prompt=f"a {sampler}",
                sampler=sampler,
                seed=place,
                steps=5 + place % 4,
                guidance=1.0 if place % 5 == 2 else 2.0 + place % 5,
                width=128 if place % 6 == 3 else 64,
            )
            more = (("eta", 0.3),) if sampler == "TCD" else ()
            yield Case(sampler, request, model, wrong.get(sampler, ""), more, EULER_A if sampler == "Euler a" else 1.0)


def _images() -> Iterator[Case]:
    for sampler in ("Euler", "Euler a", "DPM++ 2M", "DPM++ SDE", "DDIM", "UniPC", "Heun"):
        for strength in (0.3, 0.6, 1.0):
            request = wish(sampler=sampler, image=name_of(PHOTO), strength=strength, seed=int(10 * strength))
            yield Case(f"{sampler} from an image at {strength}", request, rounding=EULER_A if sampler == "Euler a" else 1.0)
    late = {
        "LMS": "diffusers takes coefficients for steps that were not made",
        "PNDM": "diffusers loses a step, so that those after it are one behind the noise they should take away",
    }
    for sampler, why in late.items():
        yield Case(f"{sampler} from an image", wish(sampler=sampler, **FROM_PHOTO), why=why)


def _masks() -> Iterator[Case]:
    for model in ("epsilon", "inpainting"):
        for sampler in ("DDIM", "Euler a", "DPM++ 2M", "Heun"):
            for strength in (0.75, 1.0):
                request = wish(sampler=sampler, **PAINTED | {"strength": strength})
                rounding = EULER_A if sampler == "Euler a" else 1.0
                yield Case(f"{sampler} under a mask at {strength}", request, model, rounding=rounding)
    yield Case("unguided under a mask", wish(guidance=1.0, **PAINTED))
    yield Case("unguided under a mask", wish(guidance=1.0, **PAINTED), "inpainting")


def _schedules() -> Iterator[Case]:
    for sampler, schedule in (("DPM++ 2M", "karras"), ("Euler", "exponential"), ("DPM++ 2M SDE", "karras"), ("Heun", "beta")):
        yield Case(f"{sampler} {schedule}", wish(sampler=sampler, schedule=schedule))
    yield Case("Euler a karras", wish(sampler="Euler a", schedule="karras"), why="diffusers' Euler a knows no schedule by noise level")
    pure = "diffusers' class does not know rescale_betas_zero_snr, with which the model was trained"
    for sampler, why in (("DPM++ 2M", ""), ("Euler", ""), ("DDIM", ""), ("UniPC", ""), ("Heun", pure), ("DEIS", pure)):
        rounding = 50.0 if sampler == "Heun" else 1.0  # it takes differences of latents at the noisiest level, where sigma is 4096
        yield Case(sampler, wish(sampler=sampler), "zero terminal SNR", why, rounding=rounding)


def _add_ons() -> Iterator[Case]:
    two = "a cat <lora:a:0.3> <lora:b:0.9>"
    yield Case("two ControlNets", wish(controls=CONTROLS), rounding=NETS)
    yield Case("two ControlNets, Euler a", wish(controls=CONTROLS, sampler="Euler a"), "v_prediction", rounding=NETS)
    yield Case("ControlNets from an image", wish(controls=CONTROLS, **FROM_PHOTO), rounding=NETS)
    yield Case("ControlNets under a mask", wish(controls=CONTROLS, **PAINTED), rounding=NETS)
    yield Case("ControlNets and LoRAs", wish(controls=CONTROLS, prompt=two), rounding=LORA)
    yield Case("two LoRAs", wish(prompt=two), rounding=LORA)
    yield Case("a LoRA", wish(prompt="a cat <lora:b:1.0>", sampler="Euler"), rounding=LORA)
    yield Case("LoRAs from an image", wish(prompt=two, **FROM_PHOTO), rounding=LORA)
    yield Case("LoRAs under a mask", wish(prompt=two, **PAINTED), rounding=LORA)
    yield Case("LoRAs under a mask", wish(prompt=two, **PAINTED), "inpainting", rounding=LORA)
    yield Case("an embedding", wish(prompt="a cat in mystyle"))
    yield Case("an embedding and a LoRA", wish(prompt="mystyle <lora:a:0.7>"), rounding=LORA)
    yield Case("another autoencoder", wish(vae="other"))
    yield Case("another autoencoder from an image", wish(vae="other", **FROM_PHOTO))


def _settings() -> Iterator[Case]:
    yield Case("clip skip", wish(clip_skip=2))
    yield Case("guidance rescale", wish(guidance_rescale=0.7))
    yield Case("guidance rescale, unguided", wish(guidance_rescale=0.7, guidance=1.0))
    yield Case("guidance rescale", wish(guidance_rescale=0.4, sampler="Euler"), "v_prediction")
    yield Case("eta", wish(eta=0.5))
    yield Case("eta from an image", wish(eta=0.5, **FROM_PHOTO))
    yield Case("eta where there is none", wish(eta=0.5, sampler="Euler"))
    yield Case("TCD without noise", wish(eta=0.0, sampler="TCD"))
    yield Case("a variation of strength 0", wish(subseed=5, subseed_strength=0.0))
    yield Case("another shape", wish(width=72, height=136))


CASES = [*_texts(), *_images(), *_masks(), *_schedules(), *_add_ons(), *_settings()]
MODELS = list(dict.fromkeys(case.model for case in CASES))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("library")
    for kind in ("loras", "embeddings", "controlnets", "vaes"):
        (folder / kind).mkdir()
    for seed, name in enumerate("ab"):
        tiny_addons.kohya(folder / f"loras/{name}.safetensors", tiny_addons.pairs(seed))
    for seed, name in enumerate(("one", "two")):
        tiny_addons.controlnet(folder / "controlnets" / name, seed)
    tiny_addons.embedding(folder / "embeddings/mystyle.safetensors", vectors=3)
    tiny_addons.vae(folder / "vaes/other")
    return Library(folder)


class Side:
    """One model, drawn with here and by diffusers; each only once."""

    def __init__(self, model: str, folder: Path, library: Library) -> None:
        self.model, self.folder, self.library = model, folder, library
        if model == "inpainting":
            tiny.save(tiny.inpainting(tiny.schedule("epsilon")), folder)
        else:
            tiny.folder(folder, model)
        self.checkpoint: Checkpoint = checkpoint.load(folder, "cpu", torch.float32)
        self.reference = Reference(folder, library, IMAGES)
        self.wanted = cache(self._wanted)
        self.in_company = cache(self._in_company)
        self.alone = Studio(self.checkpoint, library=library)

    def _wanted(self, case: Case, stock: bool = False) -> torch.Tensor:
        return self.reference.latents(case.request, bool(case.why) and not stock, **({} if stock else dict(case.more)))

    def _in_company(self) -> Studio:
        """All the model's cases in one engine, joining at different steps, and one leaves halfway."""
        studio = Studio(self.checkpoint, library=self.library)
        requests = [case.request for case in CASES if case.model == self.model]
        drawings: list[Drawing] = []
        left: list[Drawing] = []
        joined = threading.Event()
        for place, request in enumerate(requests):
            studio.at[1 + place] = lambda request=request: drawings.append(studio.engine.submit(request, images=IMAGES))
        submit, studio.at[3] = studio.at[3], lambda: (submit(), left.append(studio.engine.submit(wish(seed=99, steps=100))))
        cancel, studio.at[6] = studio.at[6], lambda: (cancel(), left[0].cancel())
        studio.at[len(requests) + 1] = joined.set
        host = studio.draw(wish(seed=100, steps=150, guidance=1.0))
        assert joined.wait(30)
        results = [ends(events_of(drawing))[-1] for drawing in drawings]
        assert isinstance(host[-1], Finished)
        assert all(isinstance(result, Finished) for result in results), results
        assert isinstance(ends(events_of(left[0]))[-1], Cancelled)
        studio.close()
        return studio


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, library: Library) -> Iterator[dict[str, Side]]:
    sides = {model: Side(model, tmp_path_factory.mktemp("models") / model.replace(" ", "-"), library) for model in MODELS}
    yield sides
    for side in sides.values():
        side.alone.close()


def test_the_table_names_each_case_once() -> None:
    assert len({str(case) for case in CASES}) == len({(case.request, case.model) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_alone_it_equals_the_pipeline(sides: dict[str, Side], case: Case) -> None:
    side = sides[case.model]
    (end,) = ends(side.alone.draw(case.request, images=IMAGES))
    assert isinstance(end, Finished), end
    apart = distance(side.alone.latents[case.request], side.wanted(case))
    print(f"{case}: {apart:.1e}")
    assert apart < ALONE * case.rounding


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_company_it_equals_the_pipeline(sides: dict[str, Side], case: Case) -> None:
    side = sides[case.model]
    apart = distance(side.in_company().latents[case.request], side.wanted(case))
    print(f"{case}: {apart:.1e}")
    assert apart < IN_COMPANY * case.rounding


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_company_it_is_what_it_is_alone_to_the_bit(sides: dict[str, Side], case: Case) -> None:
    side = sides[case.model]
    side.alone.draw(case.request, images=IMAGES)
    assert torch.equal(side.in_company().latents[case.request], side.alone.latents[case.request])


@pytest.mark.parametrize("case", [case for case in CASES if case.why], ids=str)
def test_where_we_differ_we_do(sides: dict[str, Side], case: Case) -> None:
    """Should diffusers put it right, this fails, and what we do about it can go."""
    side = sides[case.model]
    assert distance(side.wanted(case), side.wanted(case, stock=True)) > 1e-3, case.why


def test_what_a_case_is_about_changes_the_picture(sides: dict[str, Side]) -> None:
    """For diffusers too: else the case would prove nothing."""
    wanted = {case: sides[case.model].wanted(case) for case in (*_masks(), *_add_ons(), *_settings())}
    alike = [
        {one.name, other.name}
        for one, other in combinations(wanted, 2)
        if one.model == other.model and wanted[one].shape == wanted[other].shape and distance(wanted[one], wanted[other]) < 1e-3
    ]
    assert alike == [{"another autoencoder", "a variation of strength 0"}]  # as if nothing had been asked for, until it is decoded


def test_company_shares_steps(sides: dict[str, Side]) -> None:
    for side in sides.values():
        shared = [call for call in side.in_company().calls if call.shape[0] > 2]
        assert max(call.shape[0] for call in shared) >= 8
        assert any(len(call.timesteps.unique()) > 2 for call in shared)
    assert {call.shape[-1] for call in sides["epsilon"].in_company().calls} == {8, 9, 16}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_in_half_precision_it_equals_the_pipeline_to_the_bit(halves: tuple[Studio, Reference], sampler: str) -> None:
    studio, reference = halves
    request = wish(sampler=sampler, **{"eta": 0.0} if sampler == "TCD" else {})
    studio.draw(request)
    assert studio.latents[request].dtype == torch.bfloat16
    ours = sampler in ("DPM++ 3M SDE", "DPM++ SDE")  # the second's noise, as all noise, we draw in fp32
    assert torch.equal(studio.latents[request], reference.latents(request, corrected=ours))


@pytest.fixture(scope="module")
def halves(sides: dict[str, Side], library: Library) -> Iterator[tuple[Studio, Reference]]:
    folder = sides["builtin"].folder
    studio = Studio(checkpoint.load(folder, "cpu", torch.bfloat16))
    yield studio, Reference(folder, library, IMAGES, torch.bfloat16)
    studio.close()


@pytest.fixture
def side(sides: dict[str, Side]) -> Side:
    return sides["epsilon"]


@pytest.fixture
def studio(side: Side) -> Iterator[Studio]:
    studio = Studio(side.checkpoint, library=side.library)
    yield studio
    studio.close()


def test_all_kinds_share_their_steps(side: Side, studio: Studio) -> None:
    """Plain, from an image, under a mask, with two mixes of LoRAs, with ControlNets: in one call of the UNet."""
    kinds = [
        wish(seed=1),
        wish(seed=2, sampler="Euler a"),
        wish(seed=3, steps=10, **FROM_PHOTO | {"strength": 0.8}),
        wish(seed=4, sampler="UniPC", **PAINTED | {"strength": 1.0}),
        wish(seed=5, prompt="a cat <lora:a:0.3> <lora:b:0.9>", sampler="DPM++ 2M"),
        wish(seed=6, prompt="a dog <lora:b:0.5>"),
        wish(seed=7, controls=CONTROLS, guidance=1.0),
    ]
    assert all(isinstance(end, Finished) for end in ends(studio.draw(kinds, images=IMAGES)))
    assert max(call.shape[0] for call in studio.calls) == 2 * len(kinds) - 1
    for request in kinds:
        assert distance(studio.latents[request], side.reference.latents(request)) < IN_COMPANY, request


@pytest.mark.parametrize("sampler", ["DDIM", "Euler a"])
def test_the_second_pass_is_image_to_image_from_the_first(side: Side, studio: Studio, sampler: str) -> None:
    plain = wish(sampler=sampler)
    request = wish(sampler=sampler, hires_scale=1.5, hires_strength=0.6, hires_steps=10)
    (first,), (end,) = ends(studio.draw(plain)), ends(studio.draw(request))
    larger = first.image.resize((96, 96), Image.Resampling.LANCZOS)
    asked = wish(sampler=sampler, image="larger", strength=0.6, steps=10, width=96, height=96)
    wanted = Reference(side.folder, side.library, {"larger": larger}).latents(asked)
    assert torch.equal(studio.passes[request][0], studio.latents[plain])
    assert distance(studio.latents[request], wanted) < ALONE
    assert end.image.size == (96, 96)


def test_the_second_pass_may_begin_from_the_latents(side: Side, studio: Studio) -> None:
    """diffusers' pipeline takes latents for an image, too."""
    request = wish(sampler="Euler", hires_scale=2, hires_strength=0.5, hires_upscaler="latent")
    studio.draw(request)
    first, last = studio.passes[request]
    larger = torch.nn.functional.interpolate(first, (16, 16), mode="bilinear")
    asked = wish(sampler="Euler", image=name_of(PHOTO), strength=0.5, width=128, height=128)
    assert distance(last, side.reference.latents(asked, image=larger)) < ALONE


def test_a_long_prompt_shares_no_call_with_a_short_one(side: Side, studio: Studio) -> None:
    chunks = ["words " * 15, "other " * 15, "ends here"]
    long, short = wish(prompt=" ".join(chunks), negative_prompt="red"), wish(seed=8)
    assert all(isinstance(end, Finished) for end in ends(studio.draw([long, short])))
    calls = [(call.shape[0], call.words.shape[1]) for call in studio.calls]
    assert sorted(calls) == [(2, 77)] * 8 + [(2, 3 * 77)] * 8
    assert calls[4:8] in ([(2, 77), (2, 3 * 77)] * 2, [(2, 3 * 77), (2, 77)] * 2)  # in turns
    words = {"prompt": None, "prompt_embeds": torch.cat([side.reference.embeddings(text) for text in chunks], dim=1)}
    negative = torch.cat([side.reference.embeddings(text) for text in ("red", "", "")], dim=1)
    wanted = side.reference.latents(long, **words, negative_prompt=None, negative_prompt_embeds=negative)
    assert distance(studio.latents[long], wanted) < ALONE
    assert distance(studio.latents[short], side.reference.latents(short)) < ALONE


def test_an_edited_prompt_changes_at_its_step(side: Side, studio: Studio) -> None:
    """As diffusers' pipeline does when its callback exchanges the embeddings."""
    request, other = wish(prompt="a [cat:dog:0.5]"), wish(seed=8)

    def exchange(pipe: object, step: int, timestep: object, now: dict) -> dict:
        return {"prompt_embeds": torch.cat([now["prompt_embeds"][:1], side.reference.embeddings("a dog")])} if step == 3 else {}

    names = {"callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"]}
    wanted = side.reference.latents(wish(prompt="a cat"), callback_on_step_end=exchange, **names)
    studio.draw([request, other])
    assert distance(studio.latents[request], wanted) < IN_COMPANY
    cat, dog = (side.reference.embeddings(text)[0] for text in ("a cat", "a dog"))
    assert [torch.equal(call.words[1], cat) for call in studio.calls[:8]] == [True] * 4 + [False] * 4
    assert [torch.equal(call.words[1], dog) for call in studio.calls[:8]] == [False] * 4 + [True] * 4
    assert max(call.shape[0] for call in studio.calls) == 4


def test_a_variation_goes_from_the_seed_to_the_subseed(studio: Studio) -> None:
    def latents(**changes: object) -> torch.Tensor:
        studio.draw(wish(**changes))
        return studio.latents[wish(**changes)]

    seed, subseed = latents(seed=1), latents(seed=2)
    assert torch.equal(latents(seed=1, subseed=2, subseed_strength=0.0), seed)
    assert torch.equal(latents(seed=1, subseed=2, subseed_strength=1.0), subseed)
    between = [distance(latents(seed=1, subseed=2, subseed_strength=share), seed) for share in (0.05, 0.3, 0.9)]
    assert 0 < between[0] < between[1] < between[2]

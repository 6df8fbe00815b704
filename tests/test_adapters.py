"""LoRAs laid over the model row by row: as diffusers draws with them, in any company, and without a trace."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import tiny_addons
import torch
from safetensors.torch import load_file, save_file

from webapp.engine.adapters import Adapters, Signature
from webapp.engine.checkpoint import Checkpoint
from webapp.errors import ModelError

Files = dict[str, Path]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny_addons.checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("loras")
    lora = tiny_addons.pairs(1)
    return {
        "a": tiny_addons.kohya(folder / "a.safetensors", lora),
        "b": tiny_addons.kohya(folder / "b.safetensors", tiny_addons.pairs(2)),
        "varied": tiny_addons.kohya(folder / "varied.safetensors", tiny_addons.pairs(3, varied=True)),
        "a in diffusers' layout": tiny_addons.diffusers(folder / "a2.safetensors", lora),
        "a in diffusers' old layout": tiny_addons.old_diffusers(folder / "a3.safetensors", lora),
    }


@pytest.fixture
def adapters(checkpoint: Checkpoint) -> Adapters:
    return Adapters(checkpoint)


def inputs(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    timesteps = torch.arange(rows) * 100 + 1
    return torch.randn(rows, 4, 8, 8, generator=generator), timesteps, torch.randn(rows, 77, 32, generator=generator)


IDS = torch.tensor([[512, 70, 71, 300, 513], [512, 5, 6, 7, 513]])


@torch.inference_mode()
def predict(model, rows: int) -> torch.Tensor:
    sample, timesteps, words = (x.to(model.unet.dtype) if x.is_floating_point() else x for x in inputs(rows))
    return model.unet(sample, timesteps, words, return_dict=False)[0]


@torch.inference_mode()
def read(model) -> torch.Tensor:
    return model.text_encoder(IDS)[0]


def predict_with(adapters: Adapters, checkpoint: Checkpoint, signatures: list[Signature]) -> torch.Tensor:
    with adapters.rows(signatures, range(len(signatures))):
        return predict(checkpoint, len(signatures))


@pytest.mark.parametrize("signature", [[("a", 1.0)], [("a", 0.3), ("b", 0.9)], [("b", -0.5)]])
def test_it_draws_as_the_librarys_pipeline_does(adapters: Adapters, checkpoint: Checkpoint, files: Files, signature: list) -> None:
    pipe = tiny.pipeline()
    try:
        for name, _ in signature:
            pipe.load_lora_weights(files[name], adapter_name=name)
    except IndexError:
        pytest.skip("this version of diffusers cannot read LoRAs of this version of transformers' text encoders")  # as 0.39 with 5.13
    pipe.set_adapters(*map(list, zip(*signature, strict=True)))
    ours = tuple((files[name], weight) for name, weight in signature)
    adapters.load(ours)

    got = predict_with(adapters, checkpoint, [ours, ours])
    assert (got - predict(checkpoint, 2)).abs().max() > 0.05
    torch.testing.assert_close(got, predict(pipe, 2), atol=1e-6, rtol=1e-5)

    with adapters.text(ours):
        got = read(checkpoint)
    assert (got - read(checkpoint)).abs().max() > 0.05
    torch.testing.assert_close(got, read(pipe), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("seed, varied", [(1, False), (3, True)])
def test_each_layer_has_its_own_strength(adapters: Adapters, checkpoint: Checkpoint, files: Files, seed: int, varied: bool) -> None:
    """By the definition of LoRA, where diffusers 0.42 gives some layers of a "varied" file another layer's alpha."""
    pipe = tiny.pipeline()
    tiny_addons.merged(pipe, tiny_addons.pairs(seed, varied), 0.7)
    signature = ((files["varied" if varied else "a"], 0.7),)
    torch.testing.assert_close(predict_with(adapters, checkpoint, [signature]), predict(pipe, 1), atol=2e-6, rtol=1e-5)
    with adapters.text(signature):
        torch.testing.assert_close(read(checkpoint), read(pipe), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("layout", ["a in diffusers' layout", "a in diffusers' old layout"])
def test_layouts_are_alike(adapters: Adapters, checkpoint: Checkpoint, files: Files, layout: str) -> None:
    one, other = ((files["a"], 1.0),), ((files[layout], 1.0),)
    assert adapters.load(one) == adapters.load(other) == []
    torch.testing.assert_close(predict_with(adapters, checkpoint, [one]), predict_with(adapters, checkpoint, [other]), atol=1e-6, rtol=1e-5)
    with adapters.text(one):
        wanted = read(checkpoint)
    with adapters.text(other):
        torch.testing.assert_close(read(checkpoint), wanted, atol=1e-6, rtol=1e-5)


def test_rows_of_one_call_equal_each_alone(checkpoint: Checkpoint, files: Files) -> None:
    """In fp64, so that nothing hides behind rounding: in fp32 the largest difference is 1.3e-6."""
    exact = tiny_addons.upcast(checkpoint, torch.float64)
    adapters = Adapters(exact)
    a, b, c = files["a"], files["b"], files["varied"]
    signatures: list[Signature] = [(), ((a, 0.5),), ((a, 1.0), (b, 0.3)), ((b, 0.3), (a, 1.0)), ((c, 0.8),), ((a, 0.0),), ()]
    together = predict_with(adapters, exact, signatures)
    for row, signature in enumerate(signatures):
        alone = predict_with(adapters, exact, [signature] * len(signatures))
        torch.testing.assert_close(together[row], alone[row], atol=1e-13, rtol=0)
    plain = predict(exact, len(signatures))
    for row in (0, 5, 6):
        assert torch.equal(together[row], plain[row])  # to the last bit
    for row in (1, 2, 3, 4):
        assert (together[row] - plain[row]).abs().max() > 0.05


def test_rows_without_are_the_plain_models_to_the_bit(adapters: Adapters, checkpoint: Checkpoint, files: Files) -> None:
    together = predict_with(adapters, checkpoint, [(), ((files["a"], 1.0),), ((files["b"], 0.0),)])
    plain = predict(checkpoint, 3)
    assert torch.equal(together[[0, 2]], plain[[0, 2]])
    assert not torch.equal(together[1], plain[1])


def test_a_file_named_twice_has_the_sum_of_its_weights(adapters: Adapters, checkpoint: Checkpoint, files: Files) -> None:
    a = files["a"]
    twice, once = ((a, 0.25), (a, 0.5)), ((a, 0.75),)
    assert torch.equal(predict_with(adapters, checkpoint, [twice]), predict_with(adapters, checkpoint, [once]))
    with adapters.text(twice):
        wanted = read(checkpoint)
    with adapters.text(once):
        assert torch.equal(read(checkpoint), wanted)


def test_it_leaves_no_trace(adapters: Adapters, checkpoint: Checkpoint, files: Files) -> None:
    before = predict(checkpoint, 2), read(checkpoint)
    modules = [type(module) for part in (checkpoint.unet, checkpoint.text_encoder) for module in part.modules()]
    signature = ((files["a"], 1.0),)
    with adapters.rows([signature, ()], [0, 1]), adapters.text(signature):
        assert not torch.equal(predict(checkpoint, 2), before[0])
    with pytest.raises(ZeroDivisionError), adapters.rows([signature], [0]):
        _ = 1 / 0
    after = [module for part in (checkpoint.unet, checkpoint.text_encoder) for module in part.modules()]
    assert [type(module) for module in after] == modules
    assert not any(module._forward_hooks for module in after)
    assert torch.equal(predict(checkpoint, 2), before[0])
    assert torch.equal(read(checkpoint), before[1])


def test_nothing_wanted_costs_nothing(adapters: Adapters, checkpoint: Checkpoint, files: Files) -> None:
    adapters.load(((files["a"], 1.0),))
    with adapters.rows([(), ((files["a"], 0.0),)], [0, 1]), adapters.text(()):
        assert not any(module._forward_hooks for module in checkpoint.unet.modules())


def test_it_works_in_half_precision(tmp_path: Path, files: Files) -> None:
    half = tiny_addons.upcast(tiny_addons.checkpoint(tmp_path / "tiny"), torch.bfloat16)
    got = predict_with(Adapters(half), half, [(), ((files["a"], 0.3),)])
    pipe = tiny.pipeline()
    tiny_addons.merged(pipe, tiny_addons.pairs(1), 0.3)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got[1].float(), predict(pipe, 2)[1], atol=0.05, rtol=0.05)


def test_only_the_latest_stay_in_memory(checkpoint: Checkpoint, files: Files) -> None:
    adapters = Adapters(checkpoint, keep=2)
    for name in ("a", "b", "varied"):
        adapters.load(((files[name], 1.0),))
    assert list(adapters._held) == [files["b"], files["varied"]]
    everyone = [((path, 1.0),) for path in files.values()]
    assert predict_with(adapters, checkpoint, everyone).isfinite().all()  # what one call needs may be more, for as long
    adapters.load(((files["a"], 1.0),))
    assert len(adapters._held) == 2


def test_a_changed_file_is_read_again(adapters: Adapters, checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tiny_addons.kohya(tmp_path / "mine.safetensors", tiny_addons.pairs(1))
    signature = ((path, 1.0),)
    before, digest = predict_with(adapters, checkpoint, [signature]), adapters.hash(path)
    tiny_addons.kohya(path, tiny_addons.pairs(2, varied=True))
    adapters.load(signature)
    assert not torch.equal(predict_with(adapters, checkpoint, [signature]), before)
    assert adapters.hash(path) != digest
    assert len(digest) == 64


def wide(width: int, layer: str = "attn2_to_k") -> Callable[[Path], None]:
    """A LoRA for a model of another width."""
    beginning = (
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_"
        if "attn1" in layer or "attn2" in layer
        else "lora_te_text_model_encoder_layers_0_"
    )
    key = beginning + layer
    return lambda path: save_file({f"{key}.lora_down.weight": torch.ones(4, width), f"{key}.lora_up.weight": torch.ones(32, 4)}, path)


def renamed(old: str, new: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        tiny_addons.kohya(path, tiny_addons.pairs())
        save_file({name.replace(old, new): tensor for name, tensor in load_file(path).items()}, path)

    return write


def cut(path: Path) -> None:
    tiny_addons.kohya(path, tiny_addons.pairs())
    path.write_bytes(path.read_bytes()[:-100])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"lora": 1})), "pickle"),
    "cut": (cut, "cut off or damaged"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "embedding": (tiny_addons.embedding, "not a LoRA"),
    "loha": (renamed("lora_down", "hada_w1_a"), "kind"),
    "dora": (renamed(".alpha", ".dora_scale"), "DoRA"),
    "half": (renamed(".lora_up.weight", ".lora_up.weight".replace("up", "down")), "lacks"),
    "wide": (wide(768), "for models of width 768; this model's width is 32"),
    "wide text": (wide(1024, "self_attn_q_proj"), "width 1024"),
    "xl": (renamed("lora_te_", "lora_te2_"), "width 2048"),
    "other layers": (renamed("lora_unet_", "lora_unet_double_"), ""),
    "other shape": (wide(48, "attn1_to_q"), "do not fit"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_does_not_do_is_told_apart(adapters: Adapters, checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    write, words = BROKEN[name]
    path = tmp_path / f"{name}.safetensors"
    write(path)
    before = predict(checkpoint, 1)
    if not words:  # the text encoder's half fits
        assert "are not in this model" in adapters.load(((path, 1.0),))[0]
        return
    with pytest.raises(ModelError, match=words) as caught:
        adapters.load(((path, 1.0),))
    assert path.stem in caught.value.sentence
    assert str(tmp_path) not in caught.value.sentence
    assert torch.equal(predict(checkpoint, 1), before)


def test_models_are_called_by_their_names(adapters: Adapters, checkpoint: Checkpoint, tmp_path: Path) -> None:
    wide(768)(tmp_path / "ink.safetensors")
    config = checkpoint.unet.config
    checkpoint.unet.register_to_config(cross_attention_dim=1024)
    try:
        with pytest.raises(ModelError, match=r"^ink is a LoRA for Stable Diffusion 1; this model is of Stable Diffusion 2\.$"):
            adapters.load(((tmp_path / "ink.safetensors", 1.0),))
    finally:
        checkpoint.unet.register_to_config(**config)


@pytest.mark.parametrize("name", ["lora.pt", "lora.ckpt", "lora.bin", "gone.safetensors"])
def test_other_files_are_not_opened(adapters: Adapters, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.stem == "lora":
        path.write_bytes(pickle.dumps({}))
    with pytest.raises(ModelError, match=r"not a \.safetensors file|no LoRA gone"):
        adapters.load(((path, 1.0),))

"""A PNG carries its whole receipt; other programs' files are read as far as they go; no file whatever raises."""

from __future__ import annotations

import io
import json
import random
import struct
import time
import zlib

import pytest
from PIL import Image, ImageChops, PngImagePlugin

from webapp import infotext, metadata
from webapp.schema import GenerationRequest, Receipt

REQUEST = GenerationRequest(
    prompt='"quotes", 🦄 and\n</script>', negative_prompt="é", seed=7, width=64, height=72, steps=3, guidance=1.5, sampler="LMS"
)
RECEIPT = Receipt(
    request=REQUEST,
    model="my/model",
    model_hash="ab" * 32,
    dtype="bfloat16",
    device="cuda",
    scheduler={"_class_name": "LMSDiscreteScheduler", "beta_end": 0.012, "lambda_min_clipped": float("-inf"), "trained_betas": [0.1, 0.2]},
    versions={"torch": "2.6.0", "diffusers": "0.39.0"},
    add_ons={"ink": "cd" * 32},
    notes=("The word “é” is cut.",),
)
IMAGE = Image.radial_gradient("L").convert("RGB")
TEXT = "a fox, 猫 “é”\nNegative prompt: dogs\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 512x768, Model hash: 31e35c80fc, Model: fae"
PLAIN = "a fox\nSteps: 20, Seed: 1, Model: fae"


def png(pnginfo=None, **more) -> bytes:
    out = io.BytesIO()
    IMAGE.save(out, "PNG", pnginfo=pnginfo, **more)
    return out.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(name: bytes, body: bytes, behind: bool = False) -> bytes:
    """A PNG with one chunk more, before its pixels or behind them."""
    data = png()
    at = data.index(b"IEND" if behind else b"IDAT") - 4
    return data[:at] + chunk(name, body) + data[at:]


def itxt(key: str, text: str, behind: bool = False) -> bytes:
    return with_chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode(), behind)


def ours(**fields) -> bytes:
    return itxt("generation", json.dumps(fields))


def with_exif(kind: str, comment: bytes | str) -> bytes:
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x8769] = {0x9286: comment}
    IMAGE.save(out, kind, exif=exif.tobytes())
    return out.getvalue()


def test_what_goes_in_comes_out():
    data = metadata.to_png(IMAGE, RECEIPT)
    assert metadata.read(data) == RECEIPT
    assert Image.open(io.BytesIO(data)).tobytes() == IMAGE.tobytes()


def test_same_image_and_receipt_same_bytes():
    other = RECEIPT.model_copy(update={"scheduler": dict(reversed(RECEIPT.scheduler.items()))})
    assert metadata.to_png(IMAGE, RECEIPT) == metadata.to_png(IMAGE, other)


@pytest.mark.parametrize(("prompt", "kind"), [("a café", b"tEXt"), ("猫 🦄", b"iTXt")])
def test_others_find_it_as_a1111_writes_it(prompt, kind):
    data = metadata.to_png(IMAGE, RECEIPT.model_copy(update={"request": GenerationRequest(prompt=prompt, steps=3, seed=7)}))
    assert kind + b"parameters\0" in data
    text = Image.open(io.BytesIO(data)).info["parameters"]
    assert text.startswith(f"{prompt}\nSteps: 3, Seed: 7, Model hash: abababab")


def test_our_text_is_strict_json():
    def refuse(name):
        raise AssertionError(name)

    text = Image.open(io.BytesIO(metadata.to_png(IMAGE, RECEIPT))).info["generation"]
    assert json.loads(text, parse_constant=refuse)["software"].startswith("Text-to-Image Generator ")


def test_the_older_form():
    data = ours(request={"prompt": "a", "seed": 3, "sampler": "DPM++ 2M Karras"}, model="builtin", software="Text-to-Image Generator 0.1.0")
    assert metadata.read(data) == Receipt(
        request=GenerationRequest(prompt="a", seed=3, sampler="DPM++ 2M", schedule="karras"), model="builtin"
    )


def test_what_is_wrong_is_left_out():
    request = '{"prompt": "a", "steps": -1, "guidance": NaN, "seed": %s, "width": 72, "controls": [{"model": ""}], "nonsense": 1}' % (
        "9" * 5000
    )
    rest = '"model": 3, "versions": ["torch"], "dtype": "float16", "scheduler": {"deep": [[1]], "beta": 1}, "notes": {}'
    read = metadata.read(itxt("generation", f'{{"request": {request}, {rest}}}'))
    assert read == Receipt(request=GenerationRequest(prompt="a", width=72), model="", dtype="float16", scheduler={"beta": 1})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"request": 3}',
        '{"request": {"prompt": ""}}',
        '{"request": {"steps": 3}}',
        "[" * 10_000,
        '{"a":' * 10_000,
    ],
)
def test_text_that_is_no_receipt_is_none(text):
    assert metadata.read(itxt("generation", text)) is None


def test_other_programs_text_counts_where_ours_is_broken():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("generation", "{")
    info.add_text("parameters", PLAIN)
    assert metadata.read(png(info)).request.prompt == "a fox"


LATIN = "un café\nSteps: 20, Seed: 1, Model: fae"
FOREIGN = {
    "png iTXt": (itxt("parameters", TEXT), TEXT),
    "png iTXt behind the pixels": (itxt("parameters", TEXT, behind=True), TEXT),
    "png iTXt, compressed": (with_chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(TEXT.encode())), TEXT),
    "png tEXt": (with_chunk(b"tEXt", b"parameters\0" + LATIN.encode("latin-1")), LATIN),
    "png zTXt": (with_chunk(b"zTXt", b"parameters\0\0" + zlib.compress(PLAIN.encode())), PLAIN),
    "png Exif": (with_exif("PNG", b"UNICODE\0" + TEXT.encode("utf-16-be")), TEXT),
    "jpeg big-endian": (with_exif("JPEG", b"UNICODE\0" + TEXT.encode("utf-16-be")), TEXT),
    "jpeg little-endian": (with_exif("JPEG", b"UNICODE\0" + TEXT.encode("utf-16-le")), TEXT),
    "jpeg byte order mark": (with_exif("JPEG", b"UNICODE\0" + TEXT.encode("utf-16")), TEXT),
    "jpeg ascii": (with_exif("JPEG", b"ASCII\0\0\0" + PLAIN.encode()), PLAIN),
    "jpeg unnamed": (with_exif("JPEG", bytes(8) + TEXT.encode()), TEXT),
    "jpeg without the eight bytes": (with_exif("JPEG", TEXT.encode()), TEXT),
    "webp": (with_exif("WEBP", b"UNICODE\0" + TEXT.encode("utf-16-be")), TEXT),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_programs_files(name):
    data, text = FOREIGN[name]
    read = metadata.read(data)
    assert read is not None
    assert read.request == GenerationRequest.read(infotext.read(text))
    assert read.model == "fae"
    assert read.request.prompt == text.split("\n")[0]


def test_jpeg_comment():
    out = io.BytesIO()
    IMAGE.save(out, "JPEG", comment=TEXT.encode())
    read = metadata.read(out.getvalue())
    assert (read.request.prompt, read.request.schedule, read.model_hash) == ("a fox, 猫 “é”", "karras", "31e35c80fc")


def test_a_long_prompt_is_cut_and_says_so():
    read = metadata.read(itxt("parameters", "x" * 5000 + "\nSteps: 20, Seed: 1"))
    assert len(read.request.prompt) == 4000
    assert "4,000 characters" in read.notes[0]


def test_hashes_of_another_kind_are_no_hashes():
    assert metadata.read(itxt("parameters", PLAIN + ", Model hash: 45dee52b")).model_hash == ""


@pytest.mark.parametrize("comment", ["Created with a camera", "", "a fox", "{}"])
def test_ordinary_comments_are_no_receipts(comment):
    out = io.BytesIO()
    IMAGE.save(out, "JPEG", comment=comment.encode())
    assert metadata.read(out.getvalue()) is None
    assert metadata.read(itxt("parameters", comment)) is None


HOSTILE = {
    "nothing": b"",
    "another format": b"GIF89a" + bytes(50),
    "signature alone": metadata.SIGNATURE,
    "no text": png(),
    "a bomb": with_chunk(b"zTXt", b"parameters\0\0" + zlib.compress(bytes(300_000_000))),
    "a bomb in iTXt": with_chunk(b"iTXt", b"generation\0\1\0\0\0" + zlib.compress(b"[" * 50_000_000)),
    "a huge text": itxt("generation", json.dumps({"request": {"prompt": "a"}, "dtype": "x" * 2_000_000})),
    "a huge picture": png().replace(png()[8:33], chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))),
    "many chunks": png()[:33] + chunk(b"tEXt", b"a\0b") * 500_000 + itxt("parameters", PLAIN)[33:],
    "a long chunk": png()[:33] + struct.pack(">I", 2**32 - 1) + b"tEXt",
    "a wrong checksum": itxt("parameters", PLAIN).replace(b"a fox", b"a cat"),
    "Exif that is none": with_exif("JPEG", b"UNICODE\0ab").replace(b"UNICODE", b"UNIC\xff\xff\xff"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_none(name):
    begin = time.process_time()
    assert metadata.read(HOSTILE[name]) is None
    assert time.process_time() - begin < 2


def test_too_large_a_file_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(metadata, "MAX_BYTES", 100)
    assert metadata.read(metadata.to_png(IMAGE, RECEIPT)) is None


def test_no_truncated_or_altered_file_raises():
    dice = random.Random(0)
    for data, _ in [(metadata.to_png(IMAGE, RECEIPT), ""), *FOREIGN.values()]:
        for _ in range(60):
            broken = bytearray(data[: dice.randrange(len(data))] if dice.random() < 0.5 else data)
            for _ in range(dice.randrange(20)):
                if broken:
                    broken[dice.randrange(min(len(broken), 1500))] = dice.randrange(256)
            read = metadata.read(bytes(broken))
            assert read is None or isinstance(read, Receipt)


def test_a_file_cut_in_its_pixels_still_tells():
    assert metadata.read(metadata.to_png(IMAGE, RECEIPT)[:-40]) == RECEIPT


def test_strip_takes_the_texts_and_leaves_the_rest():
    data = metadata.to_png(IMAGE.convert("P"), RECEIPT)
    bare = metadata.strip(data)
    assert metadata.read(bare) is None
    for secret in (b"generation", b"parameters", b"quotes", b"my/model", b"software"):
        assert secret in data
        assert secret not in bare
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(bare)) as after:
        assert after.mode == before.mode == "P"
        assert ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox() is None
        assert not after.info
    assert bare == metadata.strip(bare)


def changed(**fields) -> Receipt:
    return RECEIPT.model_copy(update=fields)


def asked(**fields) -> Receipt:
    return changed(request=REQUEST.model_copy(update=fields))


def test_no_difference_after_a_round_trip():
    assert metadata.differences(metadata.read(metadata.to_png(IMAGE, RECEIPT)), RECEIPT) == []
    database = Receipt.model_validate_json(RECEIPT.model_dump_json())
    assert metadata.differences(database, RECEIPT) == metadata.differences(RECEIPT, database) == []


@pytest.mark.parametrize(
    ("now", "phrases"),
    [
        (changed(model_hash="cd" * 32), ["the model's weights are others"]),
        (changed(model="renamed"), []),
        (changed(model="other", model_hash=""), ["drawn with the model my/model then, other now"]),
        (changed(dtype="float32", device="cpu"), ["drawn in bfloat16 then, float32 now", "on cuda then, on cpu now"]),
        (changed(versions={"torch": "2.13.0", "diffusers": "0.39.0", "new": "1"}), ["torch 2.6.0 then, 2.13.0 now"]),
        (changed(scheduler={**RECEIPT.scheduler, "beta_end": 0.025}), ["sampler setting beta_end was 0.012, is 0.025"]),
        (changed(scheduler={**RECEIPT.scheduler, "trained_betas": None, "_v": 1}), ["sampler setting trained_betas changed"]),
        (changed(scheduler={"_class_name": "DDIMScheduler"}), ["drawn by LMSDiscreteScheduler then, DDIMScheduler now"]),
        (changed(add_ons={}), ["the add-on ink is missing"]),
        (changed(add_ons={"ink": "ef" * 32, "oil": ""}), ["the add-on ink is another file", "the add-on oil is new"]),
        (asked(seed=8, guidance=2.0, eta=0.5), ["seed 7 then, 8 now", "guidance 1.5 then, 2 now", "eta unset then, 0.5 now"]),
        (asked(prompt="b", image="ab" * 32), ["the prompt changed", "the image changed"]),
        (changed(prompt_read="quotes"), ["the text encoder reads other words of the prompt"]),
    ],
)
def test_differences(now, phrases):
    assert metadata.differences(RECEIPT, now) == phrases


def test_what_another_program_does_not_say_is_no_difference():
    then = metadata.read(itxt("parameters", "a fox\nSteps: 3, Seed: 7, Model: elsewhere, Model hash: ababababab"))
    now = changed(
        request=GenerationRequest(prompt="a fox", steps=3, seed=7, width=64, height=64, guidance=2, sampler="LMS"), prompt_read="a"
    )
    assert metadata.differences(then, now) == []
    assert metadata.differences(then, now.model_copy(update={"model_hash": "cd" * 32})) == ["the model's weights are others"]

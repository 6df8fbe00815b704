"""What the inline notebook shows of a model's inside: rows of labelled pictures, charts and maps. All of them are pictures, which any
notebook shows."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from IPython.display import Image as Shown
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from webapp import sheet

if TYPE_CHECKING:
    from webapp.engine.inside import Words

HEIGHT = 192  # pixels of a picture in a row


def row(pictures: Sequence[Image.Image], labels: Sequence[object] = (), height: int = HEIGHT) -> Image.Image:
    """The pictures side by side, all `height` pixels high, with a label above each; eight to a line."""
    return _stacked(
        [grid(pictures[i : i + 8], [*labels[i : i + 8]] or [""] * len(pictures[i : i + 8]), (), height) for i in range(0, len(pictures), 8)]
    )


def grid(pictures: Sequence[Image.Image], columns: Sequence[object], rows: Sequence[object], height: int = HEIGHT) -> Image.Image:
    """The pictures row by row, all `height` pixels high, with words above the columns and beside the rows."""
    same = [picture.resize((round(height * picture.width / picture.height), height), Image.Resampling.BICUBIC) for picture in pictures]
    return sheet.compose(same, [str(column) for column in columns], [str(row) for row in rows])


def strip(previews: Sequence[Image.Image], picture: Image.Image, frames: int = 8) -> Image.Image:
    """Up to `frames` - 1 previews evenly chosen from first to last, with the step each was taken after, and the picture."""
    places = sorted({round(i * (len(previews) - 1) / max(1, frames - 2)) for i in range(min(frames - 1, len(previews)))})
    return row([*(previews[place] for place in places), picture], [*(f"step {place + 2}" for place in places), "picture"])


def words(read: Words, columns: int = 64) -> Image.Image:
    """The first `columns` numbers of each of the embeddings (77 in SD), and how alike the text's own tokens are to one another."""
    vectors = read.embeddings[0].float().cpu().numpy()  # (77, width)
    own = vectors[1 : len(read.tokens) + 1]
    unit = own / np.linalg.norm(own, axis=1, keepdims=True)
    names = [text for _, text, _ in read.tokens]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    left.imshow(vectors[:, :columns], aspect="auto", cmap="coolwarm", vmin=-2, vmax=2)
    left.set(
        title=f"{len(vectors)} embeddings, one a line",
        xlabel=f"the first {min(columns, vectors.shape[1])} of {vectors.shape[1]} numbers",
        ylabel="place",
    )
    shown = right.imshow(unit @ unit.T, cmap="viridis", vmin=0, vmax=1)
    right.set(title="how alike the tokens are (cosine)")
    right.set_xticks(range(len(names)), names, rotation=60, ha="right")
    right.set_yticks(range(len(names)), names)
    figure.colorbar(shown, ax=right, shrink=0.8)
    return _picture(figure)


def chart(x: Sequence[Any], lines: Mapping[str, Sequence[float]], across: str, up: str) -> Image.Image:
    """Lines over `x`, named; `across` and `up` say what the axes are."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    for name, values in lines.items():
        axes.plot(x, values, marker="o" if len(x) < 50 else "", label=name)
    axes.set(xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    if len(lines) > 1:
        axes.legend()
    return _picture(figure)


def channels(latents: Any) -> list[Image.Image]:
    """Each channel of latents (1, channels, h, w) in grey, from -3 (black) to 3 (white), enlarged without smoothing."""
    grey = ((latents[0].float().cpu().numpy() / 6 + 0.5).clip(0, 1) * 255).astype(np.uint8)
    return [_enlarged(Image.fromarray(channel)) for channel in grey]


def overlay(picture: Image.Image, seen: np.ndarray, strength: float = 0.75) -> Image.Image:
    """The picture in grey with a map (h, w) laid over it: bright where the map is at its highest, dark where at its lowest."""
    spread = seen.max() - seen.min()
    heat = colormaps["inferno"]((seen - seen.min()) / (spread or 1))[..., :3] * 255
    laid = Image.fromarray(heat.astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    return Image.blend(picture.convert("L").convert("RGB"), laid, strength)


def difference(one: Image.Image, other: Image.Image, times: float = 4) -> Image.Image:
    """Where two pictures differ, so many times as strong; black where they do not."""
    gap = np.abs(np.asarray(one.convert("RGB"), float) - np.asarray(other.convert("RGB"), float)) * times
    return Image.fromarray(gap.clip(0, 255).astype(np.uint8))


def likeness(one: Image.Image, other: Image.Image) -> float:
    """The peak signal-to-noise ratio in dB: the higher, the more alike; 20 differs plainly, from 40 on the eye sees nothing, equal is inf."""
    gap = np.asarray(one.convert("RGB"), float) - np.asarray(other.convert("RGB"), float)
    return 20 * math.log10(255 / error) if (error := math.sqrt(np.mean(gap**2))) else math.inf


def film(frames: Iterable[Image.Image], seconds: float = 0.25, height: int = 256) -> Shown:
    """The frames one after the other, there and back, for ever."""
    frames = [frame.resize((round(height * frame.width / frame.height), height), Image.Resampling.BICUBIC) for frame in frames]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=[*frames[1:], *frames[-2:0:-1]], duration=round(seconds * 1000), loop=0)
    return Shown(data=out.getvalue(), format="gif")


def _enlarged(image: Image.Image) -> Image.Image:
    factor = max(1, HEIGHT // image.height)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _stacked(lines: Sequence[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (max(line.width for line in lines), sum(line.height for line in lines)), "white")
    top = 0
    for line in lines:
        whole.paste(line, (0, top))
        top += line.height
    return whole


def _picture(figure: Figure) -> Image.Image:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100, bbox_inches="tight")
    return Image.open(out)

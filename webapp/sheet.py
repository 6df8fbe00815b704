"""Contact sheets: finished pictures side by side, with the words of their grid at the sides. Pillow alone; which pictures and which
words, `plan.sheets` says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

LONGEST = 8192  # pixels a side; a larger sheet is scaled down
GAP = 8  # pixels around each picture
_LINES = 4  # of a label; what is longer ends in an ellipsis
_PAPER, _INK, _EMPTY, _MARK = "white", "#1a1a1a", "#eeeeee", "#b0b0b0"
_FONTS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf",
          "arial.ttf", "msyh.ttc", "Hiragino Sans GB.ttc")  # fmt: skip

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def compose(pictures: Sequence[Image.Image | None], columns: Sequence[str] = (), rows: Sequence[str] = (), title: str = "") -> Image.Image:
    """One RGB image of all pictures, row by row; None leaves an empty cell with a cross, for a picture that failed.

    `columns` label the columns and `rows` the rows; without them the sheet is about as wide as high. Pictures of different sizes are
    centred in their cells. No side is longer than LONGEST; the pictures are scaled down for that, the words are not.
    """
    across = len(columns) or math.ceil(len(pictures) / len(rows) if rows else math.sqrt(len(pictures))) or 1
    down = math.ceil(len(pictures) / across) or 1
    widths, heights = _cells(pictures, across, down)
    scale = min(1.0, _room(across) / sum(widths), _room(down) / sum(heights))
    widths, heights = [max(1, int(w * scale)) for w in widths], [max(1, int(h * scale)) for h in heights]

    size = max(13, min(48, sum(widths) // across // 14, sum(heights) // down // 5))
    font = _font(size, "".join((*columns, *rows, title)))
    beside = [_wrapped(row, font, min(900, max(8 * size, widths[0] // 2))) for row in rows]
    above = [_wrapped(column, font, max(width, 4 * size)) for column, width in zip(columns, widths)]
    margin = max((_extent(text, font)[0] for text in beside), default=0)
    widths = [max(width, _extent(text, font)[0]) for width, text in zip(widths, above)] or widths
    heights = [max(height, _extent(text, font)[1]) for height, text in zip(heights, beside)] or heights
    left = margin + GAP * (2 if margin else 1)
    headline = _wrapped(title, font, max(left + sum(widths) + GAP * (across - 1) - GAP, 12 * size))
    head = _extent(headline, font)[1]
    labels = max((_extent(text, font)[1] for text in above), default=0)
    top = GAP + (head + 2 * GAP if head else 0) + (labels + GAP if labels else 0)
    total = max(left + sum(widths) + GAP * across, _extent(headline, font)[0] + 2 * GAP), top + sum(heights) + GAP * down

    sheet = Image.new("RGB", total, _PAPER)
    draw = ImageDraw.Draw(sheet)
    lefts, tops = _starts(left, widths), _starts(top, heights)
    draw.multiline_text((GAP, GAP), headline, _INK, font)
    for text, x, width in zip(above, lefts, widths):
        draw.multiline_text((x + width / 2, top - GAP), text, _INK, font, anchor="md", align="center")
    for text, y, height in zip(beside, tops, heights):
        draw.multiline_text((left - GAP, y + height / 2), text, _INK, font, anchor="rm", align="right")
    for place, picture in enumerate(pictures):
        column, row = place % across, place // across
        box = (lefts[column], tops[row], widths[column], heights[row])
        if picture is None:
            _cross(draw, box)
        else:
            _put(sheet, picture, box, scale)
    sheet.thumbnail((LONGEST, LONGEST))  # for labels that outgrow their cells
    return sheet


def _cells(pictures: Sequence[Image.Image | None], across: int, down: int) -> tuple[list[int], list[int]]:
    """The columns' widths and the rows' heights, in pixels; where nothing is there to measure, the largest picture's."""
    there = [(place % across, place // across, picture.size) for place, picture in enumerate(pictures) if picture is not None]
    widest = max((size[0] for *_, size in there), default=256)
    highest = max((size[1] for *_, size in there), default=256)
    widths = [max((size[0] for x, _, size in there if x == column), default=widest) for column in range(across)]
    heights = [max((size[1] for _, y, size in there if y == row), default=highest) for row in range(down)]
    return widths, heights


def _room(cells: int) -> float:
    """Pixels of a side that the pictures may take: what their gaps and the labels, at their largest, leave."""
    return LONGEST - GAP * (cells + 3) - 1000


def _starts(first: int, sizes: Sequence[int]) -> list[int]:
    return [first + sum(sizes[:place]) + GAP * place for place in range(len(sizes))]


def _put(sheet: Image.Image, picture: Image.Image, box: tuple[int, int, int, int], scale: float) -> None:
    x, y, width, height = box
    picture = picture.convert("RGBA") if picture.has_transparency_data else picture.convert("RGB")
    if scale < 1:
        picture = picture.resize([max(1, int(side * scale)) for side in picture.size], Image.Resampling.LANCZOS, reducing_gap=2.0)
    where = x + (width - picture.width) // 2, y + (height - picture.height) // 2
    sheet.paste(picture, where, picture if picture.mode == "RGBA" else None)


def _cross(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
    x, y, width, height = box
    draw.rectangle((x, y, x + width - 1, y + height - 1), _EMPTY)
    arm = max(4, min(width, height) // 8)
    middle_x, middle_y = x + width // 2, y + height // 2
    for way in (-1, 1):
        draw.line((middle_x - arm, middle_y - way * arm, middle_x + arm, middle_y + way * arm), _MARK, max(2, arm // 5))


def _font(size: int, text: str) -> Font:
    """Pillow's own font, or a common one of the system's if that has more of the text's letters: Pillow's has the English ones only."""
    best = ImageFont.load_default(size)
    unknown = _unknown(best, text)
    for name in _FONTS if unknown else ():
        try:
            font = ImageFont.truetype(name, size)
        except OSError:
            continue
        if (left := _unknown(font, text)) < unknown:
            best, unknown = font, left
    return best


def _unknown(font: Font, text: str) -> int:
    """How many of the text's letters the font shows as a box."""
    box = bytes(font.getmask("\uffff"))
    return sum(bytes(font.getmask(letter)) == box for letter in set(text) if not letter.isspace())


def _extent(text: str, font: Font) -> tuple[int, int]:
    """Width and height of lines of text, in pixels."""
    if not text:
        return 0, 0
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    return math.ceil(box[2]), math.ceil(box[3])


def _wrapped(text: str, font: Font, width: float) -> str:
    """The text in at most _LINES lines that fit `width` pixels, broken between words, or within a word that is longer than a line."""
    lines: list[str] = []
    rest = " ".join(text.split())[:1000]  # more fits no sheet
    while rest and len(lines) < _LINES:
        fits = _fitting(rest, font, width)
        space = rest.rfind(" ", 0, fits + 1) if fits < len(rest) else -1
        cut = space if space > 0 else fits
        lines.append(rest[:cut])
        rest = rest[cut:].lstrip()
    if rest:
        lines[-1] = lines[-1][: _fitting(lines[-1], font, width - font.getlength("…"))].rstrip(" ,") + "…"
    return "\n".join(lines)


def _fitting(text: str, font: Font, width: float) -> int:
    """How many characters from the left fit into `width` pixels; at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    return low

"""AUTOMATIC1111's prompt grammar: `<lora:..>` tags, prompt editing over the steps, and weights. A file of its own because it is plain
text handling that the page, the plan and the engine share. Follows modules/prompt_parser.py of AUTOMATIC1111/stable-diffusion-webui."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from webapp.errors import InvalidRequest

MAX_WEIGHT = 100.0  # beyond that embeddings overflow
TOO_OFTEN = "These prompts change too often while they are drawn. Please use fewer square brackets."
_LORA = re.compile(r"<lora:\s*([^<>:\s][^<>:]*)((?::[^<>]*)?)>")
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_WHEN = re.compile(rf"\s*({_NUMBER})\s*")
_EDITS = re.compile(r"\\.|[^\\\[\]()|:]+|.", re.S)
_WEIGHTS = re.compile(rf"\\[()\[\]\\]|:\s*({_NUMBER})\s*\)|[^()\[\]:\\]+|.", re.S)
_BREAK = re.compile(r"\s*\b(BREAK)\b\s*")
_OPENER = {")": "(", "]": "["}


class Span(NamedTuple):
    """A run of text and how strongly it counts; 1 is as written."""

    text: str
    weight: float


def loras(text: str) -> tuple[str, tuple[tuple[str, float], ...]]:
    """The text without its `<lora:name:weight>` tags, and each tag's name and weight, in order: 1 if it says none, the first of
    several. A name may come twice.

    Raises InvalidRequest when a weight is no number.
    """
    tags = tuple((match[1].strip(), _lora_weight(match)) for match in _LORA.finditer(text))
    return (_LORA.sub("", text).strip() if tags else text), tags


def taught(tags: Iterable[tuple[str, float]]) -> frozenset[str]:
    """The words, in lower case, that LoRAs are taken to teach: the names they go by in `tags`, as `loras` gives them, without folders."""
    return frozenset(name.rsplit("/", 1)[-1].casefold() for name, _ in tags)


def _lora_weight(tag: re.Match[str]) -> float:
    if not tag[2]:
        return 1.0
    said = tag[2].split(":")[1]
    try:
        weight = float(said)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise InvalidRequest({"prompt": f"The weight of {tag[0]} is not a number. Write it like <lora:{tag[1].strip()}:0.8>."})
    return weight


def schedule(text: str, steps: int) -> list[tuple[int, str]]:
    """What the prompt says at each of the `steps`: pieces `(end, text)`, in order, each from the end of the one before up to but
    without step `end`, counted from 0; the last `end` is `steps`. Neighbours differ.

    `[from:to:when]`, `[to:when]` and `[from::when]` change after `when` steps, or after that share of them if `when` is below 1 or
    has a dot; `[a|b|c]` changes every step. Brackets that are none of these, or do not match, are text. No steps count as one.
    """
    steps = max(1, steps)
    tokens = _EDITS.findall(text)
    matched = _matched(tokens)
    if not any(tokens[i] == "[" for i in matched):
        return [(steps, text)]
    pieces: list[tuple[int, str]] = []
    for step in range(steps):
        now = _at(tokens, matched, step, steps, [])
        if pieces and pieces[-1][1] == now:
            pieces.pop()
        pieces.append((step + 1, now))
    return pieces


def texts(text: str, most: int, looks: int) -> set[str]:
    """All that `schedule` gives for any number of steps up to `most`. Raises InvalidRequest where that takes more than so many `looks`
    at the prompt: `most`, and as many more as its changes after a share of the steps come apart."""
    tokens = _EDITS.findall(text)
    matched = _matched(tokens)
    if not any(tokens[i] == "[" for i in matched):
        return {text}
    found: set[str] = set()
    for step in range(most):
        steps = step + 1
        while steps <= most:
            looks -= 1
            if looks < 0:
                raise InvalidRequest({"prompt": TOO_OFTEN})
            over: list[float] = []
            found.add(_at(tokens, matched, step, steps, over))
            # of more steps the text at this one is the same, until one of the shares that are over here is not
            steps = max(steps + 1, int((step + 1) / max(over))) if over else most + 1
    return found


def _matched(tokens: list[str]) -> set[int]:
    """Which tokens are brackets of a pair that holds only pairs; a bracket of the wrong kind spoils all that are open."""
    pairs: set[int] = set()
    opened: list[int] = []
    for i, token in enumerate(tokens):
        if token in ("(", "["):
            opened.append(i)
        elif token in _OPENER and opened:
            if tokens[opened[-1]] == _OPENER[token]:
                pairs |= {opened.pop(), i}
            else:
                opened.clear()
    return pairs


def _at(tokens: list[str], matched: set[int], step: int, steps: int, over: list[float]) -> str:
    """The text at one step; the shares of the steps after which something has changed by then are put into `over`. Without recursion:
    a prompt may nest deeper than Python does."""
    frames: list[list[str]] = [[]]  # the open brackets' contents so far; ":" and "|" are items of their own
    for i, token in enumerate(tokens):
        if i not in matched:
            frames[-1].append(token)
        elif token in ("(", "["):
            frames.append([])
        else:
            items = frames.pop()
            frames[-1].append(_edited(items, step, steps, over) if token == "]" else f"({''.join(items)})")
    return "".join(frames[0])


def _edited(items: list[str], step: int, steps: int, over: list[float]) -> str:
    """What a pair of square brackets with these items says at a step; `over` as for `_at`."""
    alternatives, stages = _split(items, "|"), _split(items, ":")
    if len(alternatives) > 1 and len(stages) == 1:
        return alternatives[step % len(alternatives)]
    if len(alternatives) == 1 and len(stages) in (2, 3) and (when := _WHEN.fullmatch(stages[-1])):
        before, after = stages[:-1] if len(stages) == 3 else ("", stages[0])
        if step < _change(when[1], steps):
            return before
        if 0 < (share := float(when[1])) < 1:
            over.append(share)
        return after
    return f"[{''.join(items)}]"


def _split(items: list[str], separator: str) -> list[str]:
    parts = [""]
    for item in items:
        if item == separator:
            parts.append("")
        else:
            parts[-1] += item
    return parts


def _change(when: str, steps: int) -> int:
    value = float(when)
    return int(min(value * steps if value < 1 or "." in when else value, steps))


def spans(text: str) -> list[list[Span]]:
    """The text in parts, divided by the word BREAK, and each part in spans of one weight; a part may be empty.

    `(word)` counts 1.1 times, `[word]` 1 / 1.1 times, `(word:1.3)` 1.3 times; nested ones multiply. A backslash makes a bracket, or
    itself, text. A bracket that nothing closes reaches to the end; one that nothing opened is text. Weights stay within
    -MAX_WEIGHT..MAX_WEIGHT.
    """
    pieces: list[str] = []
    weights: list[float] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}  # where in `pieces` each begins; the two kinds may cross
    factor = {"(": 1.1, "[": 1 / 1.1}

    def close(kind: str, times: float) -> None:
        start = opened[kind].pop()
        weights[start:] = [weight * times for weight in weights[start:]]

    for match in _WEIGHTS.finditer(text):
        token = match[0]
        if token in opened:
            opened[token].append(len(pieces))
        elif match[1] and opened["("]:
            close("(", _bounded(float(match[1])))
        elif (kind := _OPENER.get(token)) and opened[kind]:
            close(kind, factor[kind])
        else:
            escaped = token[0] == "\\" and len(token) == 2
            pieces += [token[1]] if escaped else _BREAK.split(token)
            weights += [1.0] * (len(pieces) - len(weights))
    for kind, starts in opened.items():
        while starts:
            close(kind, factor[kind])
    return _parts(map(Span, pieces, weights))


def _bounded(weight: float) -> float:
    return max(-MAX_WEIGHT, min(weight, MAX_WEIGHT))


def _parts(pieces: Iterable[Span]) -> list[list[Span]]:
    parts: list[list[Span]] = [[]]
    for text, weight in pieces:
        weight = round(_bounded(weight), 6)  # so that ([word]) is 1 again
        if text == "BREAK":
            parts.append([])
        elif parts[-1] and parts[-1][-1].weight == weight:
            parts[-1][-1] = Span(parts[-1][-1].text + text, weight)
        elif text:
            parts[-1].append(Span(text, weight))
    return parts

"""How one text becomes the texts it stands for: a list of prompts by its lines, `{red|blue}` by its alternatives, `__colour__` by a
line of a wildcard's file, and a style's words around it. Plain functions of text; `plan` says which pictures they make."""

from __future__ import annotations

import itertools
import operator
import random
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from webapp.errors import InvalidRequest

T = TypeVar("T")
DEPTH = 10  # how often a wildcard's line may lead to another wildcard
_LONGEST = 100_000  # characters; wildcards that grow a text beyond are refused
_TOKEN = re.compile(r"\\.|[{|}\[\]]|[^\\{|}\[\]]+|\\", re.DOTALL)
_WILDCARD = re.compile(r"<\w+:[^<>]*>|(?<!\\)__(?!_)([\w./-]+?)__")  # but not within <lora:a__b__c:1>


def prompts(text: str) -> list[str]:
    """The prompts of a list: each line that is not empty is one.

    A line goes on in the next if it ends in a comma, a `|`, a `{` or the word BREAK, or if the next begins with `|`, `}` or BREAK; so a
    long prompt may be set in lines, as long as commas stand at their ends. What a prompt was set in is joined by spaces.
    """
    found: list[list[str]] = []
    for line in filter(None, map(str.strip, text.split("\n"))):
        before = found[-1][-1] if found else ""
        if (
            before.endswith((",", "|", "{"))
            or before.split()[-1:] == ["BREAK"]
            or line.startswith(("|", "}"))
            or line.split()[0] == "BREAK"
        ):
            found = found or [[]]
            found[-1].append(line)
        else:
            found.append([line])
    return [" ".join(lines) for lines in found]


def combinations(text: str) -> int:
    """How many texts `matrix` makes of it, without making them."""
    return _fold(text, lambda _: 1, operator.mul, sum)


def matrix(text: str) -> list[str]:
    """Every text that comes of taking one alternative of each `{red|blue}`, the last group changing fastest.

    Groups may hold groups, and alternatives may be empty. Braces without a `|` between them or without their other half stay as they
    are, as does `\\{`, of which the prompt's parser later drops the backslash.
    """
    return _fold(text, lambda token: [token], lambda a, b: [x + y for x in a for y in b], lambda options: [*itertools.chain(*options)])


def draw(text: str, wildcard: Callable[[str], tuple[str, ...]], chance: random.Random) -> str:
    """The text with a line drawn for each `__name__`, and with one alternative drawn of each `{a|b}` that is in it or in a line.

    `wildcard` gives the lines of a name, which may hold wildcards again. Raises InvalidRequest if they lead round in a circle.
    """
    for _ in range(DEPTH):
        text = _fold(text, str, operator.add, lambda options: _choice(options, chance))
        names = [match[1] for match in _WILDCARD.finditer(text) if match[1]]
        if not names:
            return text
        text = _WILDCARD.sub(lambda match: _choice(wildcard(match[1]), chance) if match[1] else match[0], text)
        if len(text) > _LONGEST:
            raise InvalidRequest({"prompt": "The wildcards make this prompt far too long. Please use fewer."})
    raise InvalidRequest({"prompt": f"The wildcard {names[0]} leads back to itself, or through too many others. Please correct its file."})


def styled(text: str, templates: Iterable[str]) -> str:
    """The text within the styles' words, one style after the other; AUTOMATIC1111's rule: `{prompt}` in a template stands for
    the text, and a template without it follows the text after a comma."""
    for template in map(str.strip, templates):
        text = template.replace("{prompt}", text) if "{prompt}" in template else ", ".join(filter(None, (text, template)))
    return text


def _choice(options: tuple[str, ...] | list[str], chance: random.Random) -> str:
    """Drawn by `random()` alone, which is the one method that Python promises to keep the same from version to version."""
    return options[int(chance.random() * len(options))]


def _fold(text: str, leaf: Callable[[str], T], join: Callable[[T, T], T], either: Callable[[list[T]], T]) -> T:
    """The value of a text with groups in it: `leaf` of plain text, `join` of neighbours, `either` of a group's alternatives.

    Without recursion, since braces may be nested thousands deep.
    """
    now, outside = leaf(""), []
    for token, counts in _tokens(text):
        if not counts:
            now = join(now, leaf(token))
        elif token == "{":
            outside.append((now, []))
            now = leaf("")
        elif token == "|":
            outside[-1][1].append(now)
            now = leaf("")
        else:
            before, options = outside.pop()
            now = join(before, either([*options, now]))
    return now


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is a brace or bar of a group: one that is closed and holds a bar of its own."""
    tokens = _TOKEN.findall(text)
    groups: set[int] = set()
    opened: list[list[int]] = []  # of each open brace or bracket: where it is, and its bars
    braces = 0  # of the open ones
    for place, token in enumerate(tokens):
        if token in ("{", "["):
            opened.append([place])
            braces += token == "{"
        elif token == "|" and opened:
            opened[-1].append(place)
        elif token == "]" and opened and tokens[opened[-1][0]] == "[":
            opened.pop()  # its bars alternate from step to step, and are the prompt parser's
        elif token == "}" and braces:
            bars: list[int] = []
            while tokens[opened[-1][0]] == "[":  # a bracket without its other half is text
                bars += opened.pop()[1:]
            group = opened.pop() + bars
            braces -= 1
            if len(group) > 1:
                groups.update(group, [place])
    return ((token, place in groups) for place, token in enumerate(tokens))

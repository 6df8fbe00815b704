"""The app's words in its reader's language. English is written where it is used; other languages stand in `locales/`, one gettext PO
file each, which Babel reads.

A text may have places, `Step {step} of {steps}`. Sentences that come from within the house, made whole in English, are recognised by
such texts too, so only this wing knows of languages.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po
from flask import Flask, g, has_request_context, request

LANGUAGES = {"en": "English", "es": "Español"}
FOLDER = Path(__file__).resolve().parents[2] / "locales"
COOKIE = "language"
SENTENCE = 12  # letters besides its places; what has fewer, such as "{used} of {total}", would be found in every sentence


@cache
def texts(language: str) -> dict[str, str]:
    """English to `language`; nothing for English itself."""
    path = FOLDER / f"{language}.po"
    if language not in LANGUAGES or not path.is_file():
        return {}
    with path.open("rb") as file:
        return {entry.id: entry.string for entry in read_po(file, locale=language) if entry.id and entry.string and not entry.fuzzy}


def language() -> str:
    """That of whoever asks: their choice, or else what their browser says; English where nobody asks."""
    if not has_request_context():
        return "en"
    if "language" not in g:
        chosen = request.cookies.get(COOKIE, "")
        g.language = chosen if chosen in LANGUAGES else request.accept_languages.best_match(LANGUAGES, "en")
    return g.language


def translate(text: str, **places: object) -> str:
    """`text`, which is written out where this is called, in the language of whoever asks, its places filled."""
    found = texts(language()).get(text, text)
    return found.format(**places) if places else found


def told(sentence: str) -> str:
    """A sentence that was made elsewhere in English, in the language of whoever asks; English if that has no words for it."""
    into = language()
    if not sentence or not (known := texts(into)):
        return sentence
    if sentence in known:
        return known[sentence]
    for pattern, text in _patterns(into):
        if match := pattern.fullmatch(sentence):
            return text.format(**{place: known.get(words, words) for place, words in match.groupdict().items()})
    parts = re.split(r"(?<=[.!?]) (?=[A-Z])", sentence)
    return " ".join(told(part) for part in parts) if len(parts) > 1 else sentence


@cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """The sentences that have places, those with the most words of their own first."""
    own = {text: len(re.sub(r"{\w+}", "", text)) for text in texts(language) if "{" in text}
    sentences = sorted((text for text in own if own[text] >= SENTENCE), key=lambda text: -own[text])
    return [(re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(text)), re.DOTALL), texts(language)[text]) for text in sentences]


def teach(app: Flask) -> None:
    """Gives the templates `_` for what they write out themselves, and the filter `told` for what they are given."""
    app.jinja_env.globals.update(_=translate, language=language, LANGUAGES=LANGUAGES)
    app.jinja_env.filters["told"] = told

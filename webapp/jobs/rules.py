"""What the host has decided for guests: by which link they come, whether they may come now, and which words are not drawn for them.
It lasts in the database."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Collection

from sqlalchemy import Column, String, Table, Text, delete, insert, select

from webapp import prompt as grammar
from webapp.errors import InvalidRequest
from webapp.jobs.store import TABLES, Store
from webapp.schema import RANGES

MOST_WORDS = 20_000  # characters of the list
MOST_CALLS = 2 * int(RANGES["steps"][1])  # of the model in one pass: some samplers ask it twice a step
MOST_CHANGES = 3_000_000  # brackets and their signs, times looks, of what is looked through at once: a second or two
MOST_READ = 5_000_000  # characters that all this comes to: some seconds
FAINT = 0.1  # the weight below which a word is hardly seen
RULES = Table("rules", TABLES, Column("name", String(32), primary_key=True), Column("value", Text, nullable=False))


class Rules:
    """Read once, and kept in step with the table."""

    def __init__(self, store: Store) -> None:
        self._database = store.database
        with self._database.connect() as db:
            self._known: dict[str, str] = dict(db.execute(select(RULES.c.name, RULES.c.value)).tuples().all())
        self._blocked = _pattern(self.words)

    # -- the link

    @property
    def link(self) -> str:
        """The token of the guests' link; empty before `open_with`."""
        return self._known.get("link", "")

    def open_with(self, token: str) -> str:
        """The link's token for a run that was told this one, or ("") none: the one of the last run that was told the same, else a new
        one. So a link lasts, and one that was changed stays changed."""
        told = hashlib.sha256(token.encode()).hexdigest() if token else ""
        if not self.link or told != self._known.get("told", ""):
            self._set(link=token or secrets.token_urlsafe(32), told=told)
        return self.link

    def rotate(self) -> str:
        """Another link; the old one opens nothing any more."""
        self._set(link=secrets.token_urlsafe(32))
        return self.link

    # -- the pause

    @property
    def paused(self) -> bool:
        return bool(self._known.get("paused"))

    def pause(self, on: bool) -> None:
        self._set(paused="yes" if on else "")

    # -- the words

    @property
    def words(self) -> str:
        """The blocked words and phrases, one a line."""
        return self._known.get("words", "")

    def block(self, words: str) -> None:
        """Blocks these words and phrases, one a line, in place of those before. Raises InvalidRequest."""
        if len(words) > MOST_WORDS:
            raise InvalidRequest({"words": f"The list is longer than {MOST_WORDS:,} characters. Please shorten it."})
        lines = dict.fromkeys(line for each in words.splitlines() if (line := " ".join(each.split())))
        self._set(words="\n".join(lines))
        self._blocked = _pattern(self.words)

    def check(self, prompts: Collection[str]) -> None:
        """Raises InvalidRequest if a prompt holds what is blocked, in however many steps it is drawn. The sentence gives no hint of the
        list."""
        if not self._blocked:
            return
        looks = MOST_CHANGES // max(1, sum(sum(map(prompt.count, "[]|:()")) for prompt in prompts if "[" in prompt))
        read = 0
        for prompt in prompts:
            texts = _as_read(prompt, looks)
            read += sum(map(len, texts))
            if read > MOST_READ:
                raise InvalidRequest({"prompt": grammar.TOO_OFTEN})
            if any(self._blocked.search(_folded(text)) for text in texts):
                raise InvalidRequest(
                    {"prompt": "Something in this prompt is not drawn here, by the host's wish. Please say it in other words."}
                )

    def _set(self, **values: str) -> None:
        with self._database.begin() as db:
            db.execute(delete(RULES).where(RULES.c.name.in_(values)))
            db.execute(insert(RULES), [{"name": name, "value": value} for name, value in values.items()])
        self._known |= values


def _as_read(prompt: str, looks: int) -> set[str]:
    """The prompt as it is written, and all that the model may read of it at a step: without tags and weights, and without words that
    count next to nothing. Raises InvalidRequest where that takes more than so many `looks`."""
    try:
        words, _ = grammar.loras(prompt)
    except InvalidRequest:
        return {prompt}
    found = {prompt}
    for text in grammar.texts(words, MOST_CALLS, looks):
        parts = grammar.spans(text)
        found.add(" ".join("".join(span.text for span in part if abs(span.weight) >= FAINT) for part in parts))
    return found


def _folded(text: str) -> str:
    """Without accents and case, wide and other odd letters made plain."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def _pattern(words: str) -> re.Pattern[str] | None:
    """Finds each line of `words` as whole words: also with signs between its letters (n_u-d.e), or spelled out (n u d e)."""
    phrases = []
    for line in words.splitlines():
        parts = re.findall(r"[^\W_]+", _folded(line))
        if parts:
            phrases.append(r"[\W_]*".join(r"(?:[^\w\s]|_)*".join(part) for part in parts))
            phrases.append(r"[\W_]+".join("".join(parts)))
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(phrases)})(?![^\W_])") if phrases else None

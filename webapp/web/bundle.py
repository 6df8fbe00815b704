"""Pictures as files that people keep: what they are called, and many of them in one zip that is made while it is sent."""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from urllib.parse import quote

from webapp.jobs.store import Picture

LENGTH = 60  # characters of the prompt in a name


def name(picture: Picture, seed: bool = True) -> str:
    """The prompt's first words and the seed, as every system takes it for a file's name; without the seed for who is not to know it."""
    made = picture.receipt.request
    words = re.findall(r"\w+", unicodedata.normalize("NFC", made.prompt.casefold()))
    return f"{'-'.join(words)[:LENGTH].strip('-_') or 'picture'}{f'-{made.seed}' if seed else ''}.png"


def header(picture: Picture, seed: bool = True) -> dict[str, str]:
    """That name for Content-Disposition: as it is, and in ASCII for whoever cannot read that."""
    whole = name(picture, seed)
    plain = unicodedata.normalize("NFKD", whole).encode("ascii", "ignore").decode()
    return {"filename": plain} if plain == whole else {"filename": plain, "filename*": f"UTF-8''{quote(whole)}"}


class _Drained(io.BytesIO):
    """A file that is emptied while it grows; only what was written since can still be changed."""

    sent = 0

    def tell(self) -> int:
        return self.sent + super().tell()

    def seek(self, place: int, whence: int = 0) -> int:
        assert whence == 0
        return self.sent + super().seek(place - self.sent)

    def drain(self) -> bytes:
        data = self.getvalue()
        self.sent += len(data)
        super().seek(0)
        self.truncate()
        return data


def zipped(pictures: Iterable[Picture], png: Callable[[Picture], bytes | None]) -> Iterator[bytes]:
    """The bytes of a zip of these pictures, stored as they are, one after the other; without those whose `png` is None."""
    out, names = _Drained(), Counter[str]()
    with zipfile.ZipFile(out, "w") as file:
        for picture in pictures:
            if (data := png(picture)) is None:
                continue
            whole = name(picture)
            names[whole] += 1
            if names[whole] > 1:
                whole = f"{whole[:-4]} ({names[whole]}).png"  # no other name has brackets
            made = datetime.fromtimestamp(max(picture.created, 86400 * 3653))  # a zip knows no time before 1980
            file.writestr(zipfile.ZipInfo(whole, made.timetuple()[:6]), data)
            yield out.drain()
    yield out.drain()

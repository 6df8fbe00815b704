"""The app's words: every text has its Spanish, with the same places; sentences from within the house are recognised; the reader chooses."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from flask import Flask

from webapp.catalogue import SHIPPED
from webapp.errors import InvalidRequest
from webapp.schema import GenerationRequest
from webapp.settings import Settings
from webapp.web import frame, language
from webapp.web.app import create_app
from webapp.web.create import KNOWN
from webapp.web.language import LANGUAGES, texts, told, translate

ROOT = Path(__file__).parent.parent
TEXT = r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
CALLS = {  # where texts are written out, and how
    "templates/*.html": rf"\b_\(\s*{TEXT}|\babout\(\s*{TEXT}",
    "static/*.js": rf"\bt\(\s*{TEXT}|\babout\([^,()]+,\s*{TEXT}",
    "webapp/web/*.py": rf"\btranslate\(\s*{TEXT}",
}


def used() -> dict[str, str]:
    """Every text that pages, scripts and the web wing write out, and a file that does."""
    found: dict[str, str] = {}
    for files, call in CALLS.items():
        for path in sorted(ROOT.glob(files)):
            for match in re.finditer(call, path.read_text()):
                quoted = next(group for group in match.groups() if group)
                found.setdefault(re.sub(r"\\(.)", r"\1", quoted[1:-1]), path.name)
    return found | {entry.note: "catalogue.py" for entry in SHIPPED} | {kind: "words.json" for kind in KNOWN}


def places(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_texts_are_found_where_they_are_written():
    assert {"Gallery", "Cancel", "Step {step} of {steps}", ", ready in about {time}", "The server did not answer."} <= used().keys()


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != "en"])
def test_every_text_is_there_in_every_language(code: str):
    missing = {text: file for text, file in used().items() if text not in texts(code)}
    assert not missing


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != "en"])
def test_what_a_text_has_places_for_its_translation_has_too(code: str):
    assert len(texts(code)) > 50
    assert {text: into for text, into in texts(code).items() if places(text) != places(into)} == {}


@pytest.fixture
def spanish(app: Flask):
    with app.test_request_context("/", headers={"Accept-Language": "es-MX,es;q=0.9"}):
        yield


def test_a_text_with_places(spanish):
    assert translate("Step {step} of {steps}", step=3, steps=20) == "Paso 3 de 20"


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": ""},
        {"prompt": "a" * 100_000},
        {"prompt": "a", "steps": 0},
        {"prompt": "a", "width": "wide"},
        {"prompt": "a", "guidance": "nan"},
        {"prompt": "a", "count": 10**6},
        {"prompt": "a", "seed": "1.5"},
        {"prompt": "a", "sampler": "none such"},
        {"prompt": "a", "width": 257},
    ],
)
def test_what_is_wrong_with_a_request_is_told_in_spanish(spanish, wrong: dict):
    with pytest.raises(InvalidRequest) as caught:
        GenerationRequest.read(wrong)
    for sentence in caught.value.fields.values():
        assert told(sentence) != sentence, sentence
        assert not re.search(r"\b(must|The|be|is)\b", told(sentence)), told(sentence)


def test_several_sentences_are_told_one_by_one(spanish):
    both = "There is no such request of yours. There is nothing at this address."
    assert told(both) == f"{told('There is no such request of yours.')} {told('There is nothing at this address.')}"
    assert told(both) != both


def test_what_nobody_knows_stays_as_it_is(spanish):
    assert told("A sentence of its own.") == "A sentence of its own."
    assert told("") == ""


def test_the_reader_chooses_and_it_is_remembered(app: Flask):
    client = app.test_client()
    assert '<html lang="en"' in client.get("/").text
    assert '<html lang="es"' in client.get("/", headers={"Accept-Language": "es"}).text
    answer = client.post("/preferences", data={"language": "es", "theme": "dark", "next": "/gallery?q=x"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/gallery?q=x")
    page = client.get("/").text
    assert '<html lang="es" data-theme="dark"' in page and "Galería" in page
    assert client.get("/jobs/none", headers={"Accept": "application/json"}).json == {"error": "No hay tal pedido tuyo."}
    client.post("/preferences", data={"language": "en", "theme": ""})
    assert '<html lang="en">' in client.get("/").text


@pytest.mark.parametrize(("host", "kept"), [("localhost", True), ("cats.example", False)])
def test_in_colabs_frame_the_choice_is_kept_as_the_person_is(tmp_path, host: str, kept: bool):
    app = create_app(Settings(data=tmp_path, model=str(tmp_path / "none"), token="a-token"))
    frame.allow(app)
    client = app.test_client()
    for theme in ("dark", ""):  # kept, and forgotten
        answer = client.post("/preferences", data={"theme": theme}, headers={"Host": host, "Accept": "application/json"})
        cookie = answer.headers["Set-Cookie"]
        assert answer.status_code == 200 and ("Max-Age=0" in cookie) == (theme == "")
        assert all((word in cookie) == kept for word in ("SameSite=None", "Secure", "Partitioned")), cookie
    app.extensions["house"].close()


@pytest.mark.parametrize(
    "next", ["//evil.example", "/\\evil.example", "https:evil.example", "https://evil.example", "", "/\n/evil", "javascript:1"]
)
def test_the_way_back_leads_nowhere_else(app: Flask, next: str):
    assert app.test_client().post("/preferences", data={"next": next}).headers["Location"] == "/"


def test_nonsense_is_not_remembered(app: Flask):
    client = app.test_client()
    client.post("/preferences", data={"language": "../xx", "theme": "<b>"})
    assert '<html lang="en">' in client.get("/").text
    assert client.get("/words/../../x.json").status_code == 404
    known = language.texts.cache_info().currsize
    assert {client.get(f"/words/x{number}.json").status_code for number in range(20)} == {404}
    assert language.texts.cache_info().currsize == known, "nothing is remembered of names that anybody may make up"
    assert client.get("/words/en.json").json == {}
    assert client.get("/words/es.json").json["Gallery"] == language.texts("es")["Gallery"]


# These sentences are for whoever has the terminal or the notebook, so they stay English.
FOR_THE_HOST = {
    "cells", "drawing_commands", "models_command", "notebook", "own_list", "panel", "place", "plots", "served", "settings", "server", "tunnel", "cache",
}  # fmt: skip
PARTS = {  # of sentences that are put together, and found whole above; and what only `models` and `styles` in a terminal say
    "It can use: X.", "This model does not know the wordX: XX.", "X Please try a smaller size, such as X x X.", "X A smaller model may fit.",
    "Choose another name.", "It cannot be taken off the list.", "There is no library to keep styles in.", "There is no style of your own called X.",
    "A model's name is made of letters, digits, spaces and . + - _, and begins with one of the first.", "There is no model of your own called X.",
    "The prediction must be v or epsilon, not X.", "Say where the model is: a folder, a .safetensors file, or an id on the hub.",
}  # fmt: skip


def said() -> dict[str, str]:
    """Every whole sentence that the program may tell a visitor, X where it fills something in, and the file it stands in."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "webapp").rglob("*.py")):
        if path.stem.strip("_") in FOR_THE_HOST | {"main"}:
            continue
        tree = ast.parse(path.read_text())
        comments = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            if id(node) in comments or not all(isinstance(part, ast.FormattedValue | ast.Constant) for part in parts):
                continue
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)
            if re.fullmatch(r"[A-Z“].{11,}\S[.?!]", text) and " " in text:
                found.setdefault(text, path.name)
    return found


def test_every_sentence_a_visitor_may_be_told_is_there_in_spanish(spanish):
    sentences = said()
    assert len(sentences) > 120 and sentences["X is not a LoRA."] == "adapters.py"
    assert {text: file for text, file in sentences.items() if told(text) == text and text not in PARTS} == {}
    assert sentences.keys() >= PARTS

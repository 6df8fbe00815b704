"""The form into a request's fields and back: files, boxes that belong together, and whatever else may be sent."""

from __future__ import annotations

import hashlib
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image
from werkzeug.datastructures import FileStorage, MultiDict

from webapp.library import Style
from webapp.schema import GenerationRequest
from webapp.web import forms

NAME, OTHER = "a" * 64, "b" * 64


def picture(kind: str = "PNG", side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(out, kind)
    return out.getvalue()


def read(form: dict | None = None, **files: bytes) -> tuple[dict, dict[str, str], list[bytes]]:
    """What the form gives, its errors, and what was kept."""
    kept: list[bytes] = []

    def take_in(data: bytes) -> str:
        kept.append(data)
        return hashlib.sha256(data).hexdigest()

    sent = MultiDict({name: FileStorage(io.BytesIO(data), "cat.png") for name, data in files.items()})
    fields, errors = forms.read(MultiDict({"prompt": "a cat", **(form or {})}), sent, take_in)
    return fields, errors, kept


def test_a_file_goes_before_the_one_handed_in_before():
    data = picture()
    fields, errors, kept = read({"image": NAME}, image=data)
    assert not errors and kept == [data]
    assert GenerationRequest.read(fields).image == hashlib.sha256(data).hexdigest()
    assert read({"image": NAME})[0]["image"] == NAME


def test_a_box_without_a_file_changes_nothing():
    sent = MultiDict({"image": FileStorage(io.BytesIO(b""), "")})  # as browsers send it
    fields, errors = forms.read(MultiDict({"prompt": "a", "image": NAME}), sent, lambda data: OTHER)
    assert fields["image"] == NAME and not errors


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_kinds_of_pictures(kind):
    assert not read(image=picture(kind))[1]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "not a picture"),
        (b"words", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not a picture"),
        (picture("TIFF"), "not a picture"),
        (picture(side=400)[:300], "damaged"),
        (picture("JPEG", 400)[:-500], "damaged"),
    ],
)
@pytest.mark.parametrize("name", ["image", "mask", "control_image"])
def test_what_is_no_picture_is_told_at_its_box_and_not_kept(name, data, word):
    _, errors, kept = read(**{name: data})
    assert list(errors) == [name] and word in errors[name] and errors[name].startswith("The ")
    assert not kept


def test_the_good_one_is_kept_beside_a_bad_one():
    data = picture()
    fields, errors, kept = read({"prompt": "the sea", "seed": "7"}, image=data, mask=b"no", control_image=b"no")
    assert list(errors) == ["mask", "control_image"] and kept == [data]
    assert (fields["image"], fields["prompt"], fields["seed"]) == (hashlib.sha256(data).hexdigest(), "the sea", "7")


def test_boxes_that_belong_together_are_one_field():
    control = {"control_model": "edges", "control_image": NAME, "control_map": "canny", "control_weight": "0.5", "control_start": ""}
    grid = {"x_field": "steps", "x_values": "1-3", "y_field": "", "y_values": "4"}
    request = GenerationRequest.read(read(control | grid)[0])
    [only] = request.controls
    assert (only.model, only.image, only.map, only.weight, only.start, only.end) == ("edges", NAME, "canny", 0.5, 0, 1)
    assert request.x.field == "steps" and request.x.values == ("1-3",) and request.y is None


def test_a_control_picture_without_a_controlnet_is_none():
    assert read({"control_image": NAME, "control_weight": "2"})[0]["controls"] == []


@pytest.mark.parametrize("field", ["controls", "x", "y"])
def test_fields_of_several_boxes_cannot_be_sent_past_them(field):
    assert not GenerationRequest.read(read({field: "anything"})[0]).model_dump()[field]


WHOLE = {
    "prompt": "a {red|blue} cat,\nin ink", "negative_prompt": "blur", "styles": ["Ink", "Night, dark"], "seed": 0, "width": 512, "height": 256,
    "steps": 7, "guidance": 0.0, "sampler": "Euler a", "count": 3, "model": "sd-turbo", "vae": "other", "schedule": "karras", "eta": 0.5,
    "guidance_rescale": 0.7, "clip_skip": 2, "subseed": 9, "subseed_strength": 0.25, "image": NAME, "strength": 0.0, "mask": OTHER,
    "mask_blur": 0, "only_masked": True, "padding": 0, "outpaint_left": 8, "outpaint_right": 16, "outpaint_up": 24, "outpaint_down": 32,
    "controls": [{"model": "edges", "image": OTHER, "map": "scribble", "weight": 0.0, "start": 0.1, "end": 0.9}],
    "hires_scale": 1.5, "hires_strength": 0.25, "hires_steps": 5, "hires_upscaler": "latent", "upscale": 2.0, "upscaler": "x4",
    "x": {"field": "prompt_replace", "values": ["red", "green, dark", 'so "called"', ""]}, "y": {"field": "styles", "values": [""]},
}  # fmt: skip


class Browser(HTMLParser):
    """`sent` is what a browser sends of a page's form as it stands there; files cannot be chosen beforehand."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sent: MultiDict[str, str] = MultiDict()
        self._field: dict[str, str | None] = {}  # the select or textarea that is open
        self._options: list[tuple[bool, str]] = []
        self._text: str | None = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        told = dict(attributes)
        if tag == "input" and "name" in told and (told.get("type") not in ("file", "checkbox") or "checked" in told):
            self.sent.add(told["name"], told.get("value") or "")
        elif tag in ("select", "textarea"):
            self._field, self._options, self._text = told, [], "" if tag == "textarea" else None
        elif tag == "option":
            self._options.append(("selected" in told, told.get("value")))
            self._text = ""

    def handle_data(self, data):
        if self._text is not None:
            self._text += data

    def handle_endtag(self, tag):
        if tag == "textarea":
            self.sent.add(self._field["name"], self._text)
        elif tag == "option":
            chosen, value = self._options[-1]
            self._options[-1] = chosen, self._text if value is None else value
        elif tag == "select":
            chosen = [value for chosen, value in self._options if chosen]
            if "multiple" not in self._field:
                chosen = [*(value for _, value in self._options[:1]), *chosen][-1:]
            for value in chosen:
                self.sent.add(self._field["name"], value)
        if tag in ("textarea", "option"):
            self._text = None


def test_every_field_can_be_told_and_has_a_place_for_its_sentence(app):
    page = app.test_client().get("/").get_data(as_text=True)
    told = set(re.findall(r'data-for="(\w+)"', page))
    assert set(GenerationRequest.model_fields) <= told
    for name in told:
        assert page.count(f'id="error-{name}"') == 1
        tied = page.count(f'aria-describedby="error-{name}"')
        assert tied or name in ("controls", "vae"), "tied to its box, where there are any to choose"


def test_a_request_written_into_the_form_and_read_again_is_the_same(app):
    """Through the real page, so that a field without a box is found."""
    house = app.extensions["house"]
    for kind, name in (("vaes", "other"), ("controlnets", "edges"), ("upscalers", "x4")):
        place = house.library.folder(kind) / name
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}")
    request = GenerationRequest.read({**WHOLE, "styles": ["Ink", "Night"]})
    for style in ("Ink", "Night"):
        house.library.add_style(Style(name=style, prompt="{prompt}, " + style))
    client = app.test_client()
    client.get("/")
    with client.session_transaction() as session:
        owner = session["person"]
    job = house.store.add(owner, request, (request,), "k")
    page = client.get(f"/?again={job.id}").get_data(as_text=True)
    fields, errors = forms.read(Browser(page).sent, MultiDict(), lambda data: "")
    assert not errors
    assert GenerationRequest.read(fields).model_dump() == request.model_dump()
    assert client.get("/").get_data(as_text=True).count(" selected") <= 3, "an empty form chooses nothing"
    assert app.test_client().get(f"/?again={job.id}").status_code == 404, "somebody else's"


@pytest.mark.parametrize(
    "values", [("1", "2"), ("a, b", "c"), ('"', "x"), ("",), ("", "b"), ("it's", 'he said "a, b"'), ("  spaces",), ("#", "💡,")]
)
def test_a_grids_values_come_back_as_they_were(values):
    shown = forms.write({"x": {"field": "prompt_replace", "values": values}})
    back = GenerationRequest.read(read(shown)[0])
    assert back.x.values == tuple(value.strip() for value in values)

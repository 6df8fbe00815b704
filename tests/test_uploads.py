"""Pictures handed in at the door: drawn from, refused with a sentence, kept chosen, and shown to nobody."""

from __future__ import annotations

import hashlib
import http.client
import io
import re
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from conftest import NATIVE, PLACES, Visitor
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from webapp import metadata
from webapp.jobs import queue
from webapp.schema import GenerationRequest, Receipt
from webapp.settings import Settings
from webapp.web import forms
from webapp.web.app import create_app

QUICK = {"steps": "4", "seed": "5", "width": "128", "height": "128"}


def house(side: int = 128) -> Image.Image:
    """Something to start from: two colours and an edge."""
    image = Image.new("RGB", (side, side), "#3060c0")
    ImageDraw.Draw(image).rectangle((0, side * 5 // 8, side, side), fill="#30a040")
    return image


def saved(image: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def bomb() -> bytes:
    """A PNG of 30,000 by 30,000 pixels in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


@pytest.fixture
def ann(site) -> Visitor:
    return Visitor(site.address)


def drawn(visitor: Visitor, files: dict[str, bytes], **form: str) -> tuple[Image.Image, Receipt]:
    """The picture that came of the form."""
    told = visitor.json("/generate", {"prompt": "a house by the sea", **QUICK, **form}, files)
    assert told["status"] == 202, told
    [picture] = visitor.wait_for(told["id"])["pictures"]
    data = visitor.ask(f"/pictures/{picture['id']}.png")[1]
    return Image.open(io.BytesIO(data)).convert("RGB"), metadata.read(data)


def difference(one: Image.Image, other: Image.Image, box: tuple[int, int, int, int] | None = None) -> float:
    """Mean of the absolute differences in the box, or everywhere, of 255."""
    return float(np.abs(np.asarray(one.crop(box), float) - np.asarray(other.crop(box), float)).mean())


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_image_to_image_keeps_what_its_strength_leaves(ann, kind):
    plain = house(NATIVE)
    start, native = saved(plain, kind), {"width": str(NATIVE), "height": str(NATIVE)}
    near, receipt = drawn(ann, {"image": start}, strength="0.25", **native)
    far, _ = drawn(ann, {"image": start}, strength="1", **native)
    none, _ = drawn(ann, {}, **native)
    assert difference(near, plain) < 30 < difference(far, plain)
    assert difference(near, none) > 5, "the picture had its say"
    assert (receipt.request.image, receipt.request.strength) == (sha(start), 0.25)


def test_only_what_the_mask_leaves_white_is_drawn_anew(ann):
    mask = Image.new("L", (128, 128))
    ImageDraw.Draw(mask).rectangle((0, 0, 63, 127), fill=255)
    picture, receipt = drawn(ann, {"image": saved(house()), "mask": saved(mask)}, strength="1", mask_blur="0", prompt="a red flag")
    assert difference(picture, house(), (72, 0, 128, 128)) == 0
    assert difference(picture, house(), (0, 0, 56, 128)) > 10
    assert receipt.request.mask == sha(saved(mask))


def test_growing_a_picture_keeps_it_in_the_middle(ann):
    picture, _ = drawn(ann, {"image": saved(house())}, outpaint_left="64", outpaint_right="64", mask_blur="0")
    assert picture.size == (256, 128)
    assert difference(picture.crop((80, 0, 176, 128)), house().crop((16, 0, 112, 128)), (0, 0, 96, 128)) < 1


def test_the_picture_handed_in_once_is_named_after_that(ann):
    start = saved(house())
    one, _ = drawn(ann, {"image": start}, strength="0.5")
    two, _ = drawn(ann, {}, image=sha(start), strength="0.5")
    assert one.tobytes() == two.tobytes()


BAD = {
    "words": (b"not a picture at all", "not a picture"),
    "empty": (b"", "not a picture"),
    "svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "not a picture"),
    "html": (b"<!doctype html><script>alert(1)</script>", "not a picture"),
    "truncated": (saved(house(512))[:700], "damaged"),
    "truncated JPEG": (saved(house(512), "JPEG")[:2000], "damaged"),
    "bomb": (bomb(), "megapixels"),
    "too many pixels": (saved(Image.new("1", (8000, 6000))), "megapixels"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_picture_gets_its_sentence_and_the_rest_stays(ann, kind):
    data, word = BAD[kind]
    words = {"prompt": "a <b>house</b> & the sea", "negative_prompt": "fog", "steps": "4", "strength": "0.5", "sampler": "DDIM"}
    status, page, _ = ann.ask("/generate", words, files={"image": data})
    page = page.decode()
    assert status == 400
    told = re.search(r'data-for="image">([^<]+)</span>', page)[1]
    assert word in told and told.endswith(".") and "Traceback" not in page
    assert "a &lt;b&gt;house&lt;/b&gt; &amp; the sea</textarea>" in page and "fog</textarea>" in page
    assert "<option selected>DDIM</option>" in page and re.search(r'name="strength"[^>]*value="0.5"', page)
    assert 'aria-invalid="true" aria-describedby="error-image"' in page and "<details open" in page
    told = ann.json("/generate", words, {"image": data})
    assert told["status"] == 400 and list(told["fields"]) == ["image"]


def test_a_picture_already_handed_in_stays_chosen_and_can_be_taken_away(ann):
    start = saved(house())
    page = ann.ask("/generate", {"prompt": "a house", "steps": "0"}, files={"image": start, "mask": b"no"})[1].decode()
    kept = re.search(r'<input type="checkbox" name="image" value="(\w+)" checked>', page)[1]
    assert kept == sha(start) and 'name="mask" value' not in page
    assert re.search(r'data-for="mask">[^<]+not a picture', page)
    page = ann.ask("/generate", {"prompt": "", "image": kept}, files={"mask": b""})[1].decode()
    assert f'value="{kept}" checked' in page, "after a second mistake too"
    assert drawn(ann, {}, image=kept)[1].request.image == kept
    assert drawn(ann, {})[1].request.image == "", "the tick taken away"


def test_a_mask_alone_is_told_at_the_picture_it_needs(ann):
    told = ann.json("/generate", {"prompt": "a house"}, {"mask": saved(house())})
    assert told["status"] == 400 and list(told["fields"]) == ["image"]


@pytest.mark.parametrize(
    "name", ["0" * 64, "../cookie.key", "..%2Fcookie.key", "/etc/passwd", "a" * 63, "A" * 64, "x.png", "\0" * 64, "pictures.db"]
)
def test_a_name_of_nothing_that_was_handed_in_gets_a_sentence(ann, name):
    for field in ("image", "mask"):
        told = ann.json("/generate", {"prompt": "a house", **({"image": sha(saved(house()))} if field == "mask" else {}), field: name})
        assert told["status"] == 400 and field in told["fields"]
        assert told["fields"][field].endswith(("handed in before.", "hand it in again."))


def test_nobody_draws_from_anothers_picture_by_its_hash(ann, site):
    """The hash is no secret: it stands in every picture that was drawn from that one."""
    private = saved(house().rotate(90))
    _, receipt = drawn(ann, {"image": private}, strength="0.5")
    bob = Visitor(site.address)
    told = bob.json("/generate", {"prompt": "anything", "image": receipt.request.image, "strength": "0", **QUICK})
    nothing = bob.json("/generate", {"prompt": "anything", "image": "0" * 64, "strength": "0", **QUICK})
    assert told["status"] == 400
    assert told == nothing, "nor does he learn that it is there"


def test_what_was_handed_in_is_served_to_nobody(ann, site):
    start = saved(house().rotate(180))
    drawn(ann, {"image": start}, strength="0.5")
    for visitor in (ann, Visitor(site.address)):
        for path in (
            "pictures/{}.png",
            "pictures/{}.webp",
            "pictures/{}",
            "static/../data/pictures/{}",
            "data/pictures/{}",
            "static/{}",
            "{}",
        ):
            status, body, _ = visitor.ask("/" + path.format(sha(start)))
            assert status == 404 and start not in body


def test_start_from_ones_own_picture_and_from_nobody_elses(ann, site):
    told = ann.json("/generate", {"prompt": "the first picture", **QUICK})
    picture = ann.wait_for(told["id"])["pictures"][0]["id"]
    status, page, _ = ann.ask(f"/?start={picture}")
    page = page.decode()
    name = re.search(r'<input type="checkbox" name="image" value="(\w+)" checked>', page)[1]
    assert status == 200 and "the first picture</textarea>" in page and "<details open" in page
    assert name == sha(ann.ask(f"/pictures/{picture}.png")[1])
    assert drawn(ann, {}, image=name, strength="0.5")[1].request.image == name
    bob = Visitor(site.address)
    assert bob.ask(f"/?start={picture}")[0] == 404 and bob.ask(f"/?again={told['id']}")[0] == 404
    assert bob.json("/generate", {"prompt": "a", "image": name})["status"] == 400


@pytest.mark.parametrize("query", ["start=../cookie.key", "start=%00", "start=" + "a" * 64, "again=..", "again=%ff", "start=x&start=y"])
def test_there_is_nothing_to_start_from_at_odd_names(ann, query):
    status, page, _ = ann.ask(f"/?{query}")
    assert status == 404 and b"Traceback" not in page


def test_a_picture_whose_file_is_gone_is_told(app):
    client = app.test_client()
    client.get("/")
    with client.session_transaction() as session:
        owner = session["person"]
    jobs = app.extensions["house"].queue
    job = jobs.submit(owner, GenerationRequest.read({"prompt": "a", "x": {"field": "steps", "values": "1-2"}}))
    jobs.keep(job, 0, house(), Receipt(request=job.plan[0], model="m"))
    [kept] = jobs.store.pictures_of([job.id])[job.id]
    assert client.get(f"/?start={kept.id}").status_code == client.get(f"/jobs/{job.id}/sheet-1.png").status_code == 200
    for file in (app.extensions["house"].settings.data / "pictures").iterdir():
        file.unlink()
    assert client.get(f"/?start={kept.id}").status_code == client.get(f"/pictures/{kept.id}.png").status_code == 404
    assert client.get(f"/jobs/{job.id}/sheet-1.png").status_code == 200, "an empty place is left for it"


# -- too much


def test_a_form_of_100_mb_is_refused_in_plain_words_and_the_server_stays(site, ann):
    before = psutil.Process(site.process.pid).memory_info().rss
    status, page, _ = ann.ask("/generate", {"prompt": "a house"}, files={"image": bytes(100 << 20)})
    assert status == 413 and b"<h1>" in page and b"Please send less" in page
    told = ann.json("/generate", {"prompt": "a house"}, {"image": bytes(100 << 20)})
    assert told["status"] == 413 and told["error"].endswith(".")
    assert psutil.Process(site.process.pid).memory_info().rss - before < 60 << 20
    assert ann.ask("/")[0] == 200


def test_nor_is_it_read_when_its_length_is_not_told(site, ann):
    """Chunk by chunk, as programs may send it."""
    before = psutil.Process(site.process.pid).memory_info().rss
    connection = http.client.HTTPConnection(site.address.removeprefix("http://"), timeout=60)
    head = b'--frontier\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    sent = 0

    def body():
        nonlocal sent
        yield head
        for _ in range(100):
            sent += 1
            yield bytes(1 << 20)
        yield b"\r\n--frontier--\r\n"

    try:
        connection.request("POST", "/generate", body(), {"Content-Type": "multipart/form-data; boundary=frontier"}, encode_chunked=True)
        assert connection.getresponse().status in (400, 413)
    except (BrokenPipeError, ConnectionResetError):
        assert sent < 100, "it hung up early"
    assert psutil.Process(site.process.pid).memory_info().rss - before < 100 << 20
    assert ann.ask("/")[0] == 200


def test_just_below_the_limit_is_taken_and_pages_that_take_no_pictures_take_less(ann):
    large = saved(house()) + bytes(forms.MAX_UPLOAD - (1 << 20))  # bytes behind a PNG's end are nobody's business
    assert ann.json("/generate", {"prompt": ""}, {"image": large})["fields"].keys() == {"prompt"}
    job = ann.json("/generate", {"prompt": "a house", "steps": "1"})["id"]
    assert ann.ask(f"/jobs/{job}/cancel", {}, files={"image": bytes(2 << 20)})[0] in (200, 303, 413)


def test_many_pictures_at_once_do_not_pile_up_in_memory(site, ann):
    """Each unpacks to 120 MB from 120 kB."""
    heavy = saved(Image.new("RGB", (6300, 6300)))
    assert len(heavy) < 500_000
    process, peak, going = psutil.Process(site.process.pid), 0, True
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while going:
            peak = max(peak, process.memory_info().rss - before)
            time.sleep(0.01)

    with ThreadPoolExecutor(9) as pool:
        watching = pool.submit(watch)
        answers = list(pool.map(lambda _: Visitor(site.address).json("/generate", {"prompt": ""}, {"image": heavy})["status"], range(8)))
        going = False
        watching.result()
    assert answers == [400] * 8 and peak < 500 << 20, f"{peak >> 20} MB"


# -- what no browser sends


RAW = {
    "fields twice": ("application/x-www-form-urlencoded", b"prompt=a&prompt=b&steps=1&steps=x&image=&image=zz"),
    "nested": ("application/x-www-form-urlencoded", b"prompt=a&x[field]=steps&x[values]=1&controls[0][model]=a&styles[]=a"),
    "not UTF-8": ("application/x-www-form-urlencoded", b"prompt=%ff%fe&negative_prompt=\xff&styles=%ff"),
    "half a letter": ("application/x-www-form-urlencoded", b"prompt=%ed%a0%80"),
    "huge numbers": ("application/x-www-form-urlencoded", b"prompt=a&seed=" + b"9" * 5000 + b"&width=1e999&eta=-1e-999&count=0x10"),
    "odd numbers": ("application/x-www-form-urlencoded", b"prompt=a&width=inf&height=nan&steps=1_0&strength=%E2%88%9E&count=--1"),
    "a grid without end": ("application/x-www-form-urlencoded", b"prompt=a&x_field=seed&x_values=1-999999999999+(%2b0.00000001)"),
    "a grid of quotes": ("application/x-www-form-urlencoded", b"prompt=a&x_field=steps&x_values=%22%22%22,%0a%22,,%22"),
    "a grid of a private field": ("application/x-www-form-urlencoded", b"prompt=a&x_field=__class__&x_values=1&y_field=image&y_values=1"),
    "half a multipart": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n\x89PNG',
    ),
    "multipart without boundary": ("multipart/form-data", b"prompt=a"),
    "an odd boundary": ('multipart/form-data; boundary="\'; <b>\xff"', b"--x"),
    "a part without a name": ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nhello\r\n--x--\r\n"),
    "a prompt as a file": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="prompt"; filename="a"\r\n\r\nhello\r\n--x--\r\n',
    ),
    "a file as words": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n\x89PNG\r\n\0\xff\r\n--x--\r\n',
    ),
    "JSON": ("application/json", b'{"prompt": "a"}'),
    "nothing": ("", b""),
    "parts without end": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 3000 + b"--x--",
    ),
}


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize("kind", RAW)
def test_whatever_is_sent_gets_a_sentence_or_a_job(app, kind, accept):
    type_, body = RAW[kind]
    client = app.test_client()
    answer = client.post("/generate", data=body, headers={"Content-Type": type_, "Accept": accept})
    assert answer.status_code in ((202, 400, 413) if accept != "text/html" else (303, 400, 413))
    if accept != "text/html" and answer.status_code != 202:
        assert answer.get_json()["error"].endswith(".")
    assert client.get("/").status_code == 200, "and the page can still be shown"


def test_too_many_waiting_are_told_and_the_words_stay(app, monkeypatch):
    monkeypatch.setattr(queue, "MOST_WAITING", 1)
    client = app.test_client()
    assert client.post("/generate", data={"prompt": "one"}).status_code == 303
    answer = client.post("/generate", data={"prompt": "the second wish"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 429 and answer.headers["Retry-After"]
    assert "the second wish</textarea>" in page and re.search(r'id="error-form" role="alert">You have 1', page)


# -- settings out of a picture, and the form read along


A1111 = """a castle on a hill
Negative prompt: fog
Steps: 25, Sampler: Euler a, CFG scale: 6.5, Seed: 1234, Size: 512x768, Model hash: 0123456789, Model: someModel, Version: v1.9.4"""


def parameters(text: str) -> bytes:
    words = PngInfo()
    words.add_text("parameters", text)
    return saved(house(), pnginfo=words)


def told_by(client, data: bytes, accept: str = "application/json"):
    form = {"picture": (io.BytesIO(data), "any.png"), "prompt": "typed before"}
    return client.post("/settings", data=form, headers={"Accept": accept})


def test_other_programs_pictures_fill_the_form(app):
    told = told_by(app.test_client(), parameters(A1111)).get_json()
    wanted = {"prompt": "a castle on a hill", "negative_prompt": "fog", "steps": 25, "sampler": "Euler a", "guidance": 6.5, "seed": 1234}
    assert {**told["fields"], **wanted, "width": 512, "height": 768} == told["fields"]
    assert "model" not in told["fields"] and "someModel" in told["notes"][0]
    page = told_by(app.test_client(), parameters(A1111), "text/html").get_data(as_text=True)
    assert "a castle on a hill</textarea>" in page and "typed before" not in page and "someModel" in page


def test_what_it_was_drawn_from_comes_along_only_for_who_handed_that_in(app):
    start = saved(house())
    request = GenerationRequest.read({"prompt": "a house", "image": sha(start), "mask": sha(start), "strength": 0.3, "outpaint_left": 64})
    made = metadata.to_png(house(), Receipt(request=request, model=""))
    ann, bob = app.test_client(), app.test_client()
    ann.post("/generate", data={"prompt": "", "image": (io.BytesIO(start), "a.png")})
    told = told_by(ann, made).get_json()
    assert told["fields"]["image"] == told["fields"]["mask"] == sha(start) and told["notes"] == []
    told = told_by(bob, made).get_json()
    assert not {"image", "mask", "strength"} & told["fields"].keys() and told["fields"]["outpaint_left"] == 0
    assert "does not hold" in told["notes"][0] and told["fields"]["prompt"] == "a house"


@pytest.mark.parametrize("kind", [*BAD, "nothing said", "no settings", "no file"])
def test_a_picture_that_says_nothing_gets_a_sentence_and_the_words_stay(app, kind):
    data = BAD[kind][0] if kind in BAD else saved(house()) if kind == "nothing said" else parameters("")
    client = app.test_client()
    if kind == "no file":
        answer = client.post("/settings", data={"prompt": "typed before"})
    else:
        told = told_by(client, data)
        assert told.status_code == 400 and told.get_json()["fields"].keys() == {"picture"}
        answer = told_by(client, data, "text/html")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400 and "typed before</textarea>" in page
    assert re.search(r'data-for="picture">[^<]+\.</span>', page)


def test_settings_and_reading_are_asked_by_post_from_our_own_page(app):
    client = app.test_client()
    for path in ("/settings", "/reading"):
        assert client.get(path).status_code == 405
        assert client.post(path, headers={"Origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("form", "pictures", "problem"),
    [
        ({"prompt": "a cat"}, 1, ""),
        ({"prompt": "a {red|blue} cat\na dog", "count": "2"}, 6, ""),
        ({"prompt": "a cat", "x_field": "steps", "x_values": "10, 20, 30", "y_field": "sampler", "y_values": "Euler, Heun"}, 6, ""),
        ({"prompt": "a cat", "x_field": "steps", "x_values": "lots"}, None, "lots"),
        ({"prompt": "a {b|c} {d|e} {f|g} {h|i}", "count": "16"}, None, "at most 64"),
        ({"prompt": "a cat", "count": "99"}, None, "1 to 16"),
        ({"prompt": ""}, None, ""),
        ({"prompt": "x" * 100_000}, None, ""),
        ({"prompt": "a cat", "width": "3"}, None, ""),
        ({"prompt": "a cat", "outpaint_left": "64", "mask": "no", "control_model": "x"}, 1, ""),
        ({}, None, ""),
    ],
)
def test_how_many_pictures_a_form_makes_is_told_before_it_is_sent(app, form, pictures, problem):
    told = app.test_client().post("/reading", data=form).get_json()
    assert told["pictures"] == pictures
    assert problem in told["problem"] if problem else told["problem"] == ""
    assert "tokens" not in told, "there is no model to ask"


def test_words_are_read_as_the_model_reads_them(ann, site):
    told = ann.json("/reading", {"prompt": "a (zyzzyva:1.2) {in|on} a hill <lora:none:0.5>"})
    assert told["unknown"] == ["zyzzyva"] and told["limit"] == PLACES and told["pictures"] == 2 and 6 < told["tokens"] < 30
    assert ann.json("/reading", {"prompt": "a castle on a hill"})["tokens"] == 5
    most = 8 * PLACES
    long = ann.json("/reading", {"prompt": "castle " * (most - 40)})
    assert long["tokens"] == most - 40 and long["limit"] == most and long["cut"] == []
    assert 0 < len(ann.json("/reading", {"prompt": "sea " * 990})["cut"]) <= 50
    assert "tokens" not in ann.json("/reading", {"prompt": "a cat", "model": "sd-turbo"}), "that one is not loaded"
    wrong = ann.json("/reading", {"prompt": "a <lora:x:y>"})
    assert wrong["status"] == 400 and "not a number" in wrong["error"]


def test_who_may_not_ask_hands_nothing_in(app, monkeypatch):
    monkeypatch.setattr(queue, "MOST_WAITING", 1)
    client, home = app.test_client(), app.extensions["house"]
    form = {"prompt": "one", "key": "k"}
    assert client.post("/generate", data=form).status_code == 303
    before = set(home.files.system.find(home.files.root))
    answer = client.post("/generate", data={"prompt": "the second wish", "image": (io.BytesIO(saved(house())), "a.png")})
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) >= 1 and "the second wish</textarea>" in answer.text
    assert set(home.files.system.find(home.files.root)) == before
    again = client.post("/generate", data={**form, "image": (io.BytesIO(saved(house())), "a.png")})
    assert again.status_code == 303, "one wish sent twice is still one"


def test_an_invitation_that_is_used_up_hands_nothing_in(tmp_path):
    app = create_app(Settings(host="0.0.0.0", data=tmp_path, model=str(tmp_path / "none")))
    home, client = app.extensions["house"], app.test_client()
    client.get(f"/?token={home.people.invite('friends', 1, 1)}")
    assert client.post("/generate", data={"prompt": "a", "image": (io.BytesIO(saved(house())), "a.png")}).status_code == 303
    before = set(home.files.system.find(home.files.root))
    answer = client.post("/generate", data={"prompt": "b", "image": (io.BytesIO(saved(house(64))), "a.png")})
    assert answer.status_code == 429 and "All pictures of your invitation are drawn" in answer.text
    assert set(home.files.system.find(home.files.root)) == before
    home.close()

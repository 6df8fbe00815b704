"""The server as a process: open before the model is there, killed and started again, closed when shared."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import tiny
from conftest import ROOT, Visitor, eventually
from fake_hub import FakeHub

LONG = {"prompt": "a house in the snow", "seed": "11", "count": "6", "steps": "100"}


def test_kill_9_in_the_middle_of_a_job_loses_and_doubles_nothing(serve):
    first = serve()
    ann = Visitor(first.address)
    before = ann.json("/generate", {"prompt": "a boat", "seed": "1"})["id"]
    kept = ann.wait_for(before)["pictures"][0]["id"]
    job = ann.json("/generate", LONG)["id"]
    begun = eventually(lambda: (view := ann.json(f"/jobs/{job}"))["pictures"][0]["step"] > 3 and view, 60)
    assert begun["state"] == "running"
    first.kill()

    second = serve()
    ann.address = second.address
    view = ann.wait_for(job)
    pictures = [picture["id"] for picture in view["pictures"]]
    assert all(pictures) and len(set(pictures)) == 6
    assert [picture["seed"] for picture in view["pictures"]] == list(range(11, 17))
    table = [picture["id"] for listed in ann.json("/jobs")["jobs"] for picture in listed["pictures"]]
    assert sorted(table) == sorted([*pictures, kept])
    assert all(ann.ask(f"/pictures/{id}.png")[0] == 200 for id in table)


def test_pictures_finished_before_a_kill_are_not_drawn_again(serve):
    first = serve()
    ann = Visitor(first.address)
    job = ann.json("/generate", {**LONG, "count": "16", "steps": "40"})["id"]
    begun = eventually(lambda: (view := ann.json(f"/jobs/{job}"))["pictures"][0]["id"] and view, 300)
    first.kill()
    assert begun["state"] == "running", "killed too late to show anything"
    ann.address = serve().address
    after = ann.wait_for(job)["pictures"]
    for old, new in zip(begun["pictures"], after):
        assert new["id"] and old["id"] in ("", new["id"])


def test_a_stopped_servers_job_goes_on_at_once_in_the_next(serve):
    first = serve()
    ann = Visitor(first.address)
    job = ann.json("/generate", LONG)["id"]
    ann.wait_for(job, "running")
    first.process.terminate()
    assert first.process.wait(timeout=20) is not None
    ann.address = serve().address
    assert all(picture["id"] for picture in ann.wait_for(job)["pictures"])


def test_the_page_answers_before_the_model_is_there(serve):
    started = time.monotonic()
    running = serve()
    ann = Visitor(running.address)
    assert ann.json("/jobs")["model"]["state"] == "loading"
    page = time.monotonic() - started
    job = ann.json("/generate", {"prompt": "a cat", "steps": "2"})
    assert job["state"] == "queued"
    ann.wait_for(job["id"])
    print(f"page after {page:.1f} s, model after {time.monotonic() - started:.1f} s")


def test_a_model_that_is_not_there_is_told_on_the_page_and_the_words_are_kept(serve, tmp_path):
    running = serve(model=str(tmp_path / "no-such-model"))
    ann = Visitor(running.address)
    model = eventually(lambda: (told := ann.json("/jobs")["model"])["state"] == "failed" and told, 60)
    assert "no-such-model" in model["sentence"] and "Traceback" not in model["sentence"]
    job = ann.json("/generate", {"prompt": "a cat"})
    assert job["state"] == "queued"
    assert model["sentence"].replace("'", "&#39;") in ann.ask("/")[1].decode()


def test_it_stops_while_a_model_comes(serve, monkeypatch, tmp_path):
    model = tiny.folder(tmp_path / "model")
    tiny.vocabulary(model / "tokenizer")
    hub = FakeHub({"x/y": model}, endless=("unet/diffusion_pytorch_model.safetensors",))
    for name, value in {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hub"), "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    running = serve(model="x/y")
    eventually(lambda: Visitor(running.address).json("/jobs")["model"]["done"], 100)
    running.process.terminate()
    status = running.process.wait(timeout=100)
    hub.close()
    assert status == 130
    assert not list((tmp_path / "hub").rglob("*.incomplete"))


def test_it_ends_too_when_it_is_interrupted_before_it_serves(tmp_path):
    script = """if True:
        import sys
        from webapp import __main__, served
        def interrupted(server): raise KeyboardInterrupt
        served.follow = interrupted
        sys.exit(__main__.main(["serve", "--port", "0", "--data", sys.argv[1]]))"""
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, timeout=120).returncode == 130


def test_beyond_loopback_only_the_printed_link_opens_it(serve):
    running = serve("--host", "0.0.0.0")
    assert "token=" in running.link
    assert "127.0.0.1" not in running.link and running.link.startswith("http://"), "others need this machine's own address"
    stranger, friend = Visitor(running.address), Visitor(running.address)
    assert stranger.ask("/")[0] == 403
    assert friend.ask(running.link.removeprefix(running.address))[0] == 200
    assert friend.ask("/jobs")[0] == 200 and stranger.ask("/jobs")[0] == 403
    assert running.link.split("token=")[1] not in "".join(running.log[1:])


def test_a_token_of_ones_own_may_have_any_signs(serve):
    running = serve("--token", "tea+cake & 100% #1")
    assert Visitor(running.address).ask(running.link.removeprefix(running.address))[0] == 200


def test_a_taken_port_is_told_in_a_sentence(site, tmp_path):
    port = site.address.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "webapp", "serve", "--port", port, "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"Port {port}" in done.stderr and "Traceback" not in done.stderr


def test_a_head_without_an_end_is_refused(site):
    where = site.address.removeprefix("http://").split(":")
    with socket.create_connection((where[0], int(where[1])), timeout=20) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-Long: " + b"x" * 100_000 + b"\r\n\r\n")
        assert line.recv(100).split()[1] == b"413"
    assert Visitor(site.address).ask("/?prompt=" + "x" * 8000)[0] == 200, "a long address is no crime"

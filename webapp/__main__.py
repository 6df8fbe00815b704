"""The command line: `python -m webapp serve`, `generate` and `models`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from webapp import models_command
from webapp.craft import SAMPLERS
from webapp.errors import AppError
from webapp.schema import GenerationRequest
from webapp.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Returns the exit status: 2 with a sentence on standard error when it cannot be done."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        return command(options)
    except AppError as error:
        print(error.sentence, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m webapp", description="Draws pictures from words.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve the web page")
    serve.set_defaults(command=_serve)
    Settings.add_flags(serve, ("model", "host", "port", "data", "token"))

    generate = commands.add_parser("generate", help="draw without a server")
    generate.set_defaults(command=_generate)
    generate.add_argument("prompt", help="what to draw")
    generate.add_argument("--out", type=Path, default=Path("picture.png"), help="the PNG file to write (picture.png)")
    Settings.add_flags(generate, ("model",))
    given = argparse.SUPPRESS  # an option that is not used leaves the model's own default
    generate.add_argument("--negative", default=given, metavar="TEXT", help="what to keep out of the picture")
    for name, metavar, text in (
        ("seed", "NUMBER", "the same seed draws the same picture again"),
        ("steps", "NUMBER", "denoising steps"),
        ("guidance", "NUMBER", "how closely to follow the prompt"),
        ("width", "PIXELS", "a multiple of 8"),
        ("height", "PIXELS", "a multiple of 8"),
        ("count", "NUMBER", "how many pictures, from seeds that follow each other"),
        ("sampler", "NAME", "one of: " + ", ".join(SAMPLERS)),
    ):
        generate.add_argument(f"--{name}", default=given, metavar=metavar, help=text)

    models_command.add_to(commands)
    return parser


def _serve(options: dict) -> int:
    import signal

    from webapp.web.app import create_app
    from webapp.web.server import Server

    settings = Settings.from_environment(options)
    server = Server(create_app(settings), settings.host, settings.port)
    token = server.app.extensions["house"].settings.token
    print(f"Text-to-Image Generator: {server.address}/{f'?token={token}' if token else ''}", flush=True)
    print("The page is open already; the model loads meanwhile. Ctrl+C stops.", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as with Ctrl+C: unfinished jobs go back into the queue
    server.serve()
    return 0


def _generate(options: dict) -> int:
    out: Path = options.pop("out")
    if "negative" in options:
        options["negative_prompt"] = options.pop("negative")
    wish = GenerationRequest.read(options)  # before the model loads: a typing mistake is told at once

    from tqdm import tqdm

    from webapp import metadata
    from webapp.engine import checkpoint
    from webapp.engine.engine import Engine
    from webapp.engine.events import Failed, Finished, Step

    model = Settings.from_environment({k: v for k, v in options.items() if k == "model"}).model
    loaded = checkpoint.load(model, report=lambda sentence: print(sentence, file=sys.stderr))
    engine, failures = Engine(loaded), 0
    steps: dict[int, int] = {}
    try:
        with tqdm(unit="step") as bar:
            for event in engine.submit(wish):
                match event:
                    case Step(index=number, step=step, steps=total):
                        bar.total, steps[number] = total * wish.count, step
                        bar.update(sum(steps.values()) - bar.n)
                    case Finished(index=number, image=image, request=request):
                        path = out if wish.count == 1 else out.with_stem(f"{out.stem}-{number + 1}")
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(metadata.to_png(image, request, loaded.name))
                        bar.write(f"{path} (seed {request.seed})", file=sys.stdout)
                    case Failed(sentence=sentence):
                        failures += 1
                        bar.write(sentence, file=sys.stderr)
    except OSError as error:
        raise AppError(f"The picture could not be written to {out}: {error.strerror}.") from None
    finally:
        engine.close()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

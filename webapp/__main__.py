"""The command line: `python -m webapp serve`, `generate`, `again` and `models`."""

from __future__ import annotations

import argparse
import sys

from webapp import drawing_commands, models_command
from webapp.errors import AppError
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
    serve.add_argument("--share", action="store_true", help="open a public link too, through ngrok (NGROK_AUTHTOKEN in the environment)")
    Settings.add_flags(serve, ("model", "host", "port", "data", "token"))

    drawing_commands.add_to(commands)
    models_command.add_to(commands)
    return parser


def _serve(options: dict) -> int:
    import signal

    from webapp import served
    from webapp.web.app import create_app
    from webapp.web.server import Server

    authtoken = served.authtoken() if options.pop("share") else ""
    settings = Settings.from_environment(options)
    if authtoken:
        settings = served.closed(settings)
    server = Server(create_app(settings), settings.host, settings.port)
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as with Ctrl+C: unfinished jobs go back into the queue
        house = server.app.extensions["house"]
        print(f"Text-to-Image Generator: {served.links(server)[0]}", flush=True)
        if house.host_key:
            print(f"Host's page: {server.address}/host?token={house.host_key}", flush=True)
        print("The page is open already; the model loads meanwhile. Ctrl+C stops.", flush=True)
        served.follow(server)
        if authtoken:
            served.announce(server, served.share(server, authtoken))
        server.serve()
    finally:
        server.stop()
        served.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

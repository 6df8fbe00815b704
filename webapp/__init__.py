"""Text-to-Image Generator: words go in at a door, wait their fair turn, share the model's steps and come out as pictures."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

__version__ = "0.1.0"


def create_app() -> "Flask":
    """The app with its settings from the environment, for `flask --app webapp run`."""
    from webapp.settings import Settings
    from webapp.web.app import create_app as build

    return build(Settings.from_environment())

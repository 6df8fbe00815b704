"""What a run is told: flags and environment variables, read once and checked, then frozen."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from webapp.errors import InvalidRequest

PREFIX = "T2I_"


@dataclass(frozen=True)
class Settings:
    """One run of the app. Each field is a flag (`--data`) and an environment variable (`T2I_DATA`).

    Raises InvalidRequest for a port outside 0 to 65535.
    """

    model: str = "builtin"  # `builtin`, a folder, or a hub id
    host: str = "127.0.0.1"
    port: int = 7860  # 0: any free one
    data: Path = Path("data")  # pictures, jobs and the key that signs cookies
    token: str = ""  # who knows it may come in; one is made, and kept, when shared without

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", Path(self.data).expanduser().resolve())
        try:
            object.__setattr__(self, "port", int(self.port))
        except ValueError:
            raise InvalidRequest({"port": f"The port must be a number, not {self.port!r}."}) from None
        if not 0 <= self.port <= 65535:
            raise InvalidRequest({"port": "The port must be from 0 to 65535."})

    @property
    def library(self) -> Path:
        """The folder of what is known by name: other models, add-ons, styles, wildcards."""
        return self.data / "library"

    @property
    def shared(self) -> bool:
        """Whether others can reach this run, so that it needs a token."""
        if self.token:
            return True
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

    @classmethod
    def from_environment(cls, given: Mapping[str, object] | None = None) -> Settings:
        """The environment's settings, with what is `given` (flags that were used) before them."""
        found = {f.name: os.environ[PREFIX + f.name.upper()] for f in fields(cls) if os.environ.get(PREFIX + f.name.upper())}
        return cls(**{**found, **(given or {})})  # type: ignore[arg-type]

    @staticmethod
    def add_flags(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
        """One flag for each of `names`; a flag that is not used stays out of the result."""
        for name in names:
            parser.add_argument(f"--{name}", default=argparse.SUPPRESS, metavar=_METAVARS[name], help=_HELP[name])


_METAVARS = {"model": "NAME", "host": "ADDRESS", "port": "NUMBER", "data": "DIR", "token": "WORD"}
_HELP = {
    "model": "the model: builtin, a name of the list (models list), a folder, a .safetensors file, or a hub id",
    "host": "the address to serve on (127.0.0.1: this machine only)",
    "port": "the port to serve on (7860; 0 for any free one)",
    "data": "the folder for pictures and jobs (data)",
    "token": "the word in the link that lets people in; made at random when others can reach the server",
}

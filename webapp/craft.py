"""The names of the craft: samplers and noise schedules as we call them, the other names people know them by, and which of them go
together. A file of its own, and plain Python, so that forms and APIs can ask it without loading a model."""

from __future__ import annotations

import re

SCHEDULES = ("karras", "exponential", "beta", "sgm_uniform", "trailing", "leading", "linspace")

_ANY = frozenset(SCHEDULES)
SUPPORTED: dict[str, frozenset[str]] = {
    "DPM++ 2M": _ANY,
    "DPM++ 2M SDE": _ANY,
    "DPM++ 2M SDE Heun": _ANY - {"beta"},  # unstable there, as the other two: more noise left than there is picture
    "DPM++ 3M": _ANY,
    "DPM++ 3M SDE": _ANY - {"beta"},
    "DPM++ SDE": _ANY,
    "DPM++ 2S": _ANY - {"trailing", "leading"},
    "DPM2": _ANY,
    "DPM2 a": _ANY,
    "Euler": _ANY,
    "Euler a": _ANY,
    "Heun": _ANY,
    "LMS": _ANY,
    "DDIM": frozenset({"trailing", "leading"}),  # steps back a fixed distance: with linspace it would leave noise in the picture
    "DDPM": frozenset({"trailing", "leading", "linspace"}),
    "PNDM": frozenset({"trailing", "leading"}),  # as DDIM
    "UniPC": _ANY,
    "DEIS": _ANY,
    "SA-Solver": _ANY - {"beta"},
    "LCM": frozenset(),
    "TCD": frozenset(),
}
"""The schedules each sampler can use besides its own."""

SAMPLERS = tuple(SUPPORTED)

# Besides our names, which are AUTOMATIC1111's where it has the sampler: k-diffusion's, ComfyUI's and diffusers' classes.
_SAMPLER_ALIASES = {
    "dpmsolver": "DPM++ 2M",
    "dpmsolverpp": "DPM++ 2M",
    "dpmsolversde": "DPM++ SDE",
    "dpmsolversinglestep": "DPM++ 2S",
    "dpm2ancestral": "DPM2 a",
    "eulerancestral": "Euler a",
    "plms": "PNDM",
    "unipcbh2": "UniPC",
}
_SCHEDULE_ALIASES = {
    "automatic": "",
    "default": "",
    "normal": "linspace",
    "uniform": "linspace",
    "simple": "trailing",  # but for the rounding
    "polyexponential": "exponential",  # the same at the exponent everyone uses, 1
    "ddim": "leading",
    "ddimuniform": "leading",
}


def _key(name: str) -> str:
    """What counts of a name: "dpmpp2m" of "DPM++ 2M", "sample_dpmpp_2m" and "dpmpp 2m"."""
    key = re.sub(r"[^a-z0-9]", "", name.casefold().replace("++", "pp")).removeprefix("sample")
    for ending in ("scheduler", "discrete", "multistep", "gpu"):
        key = key.removesuffix(ending)
    return key


_SAMPLERS = {_key(name): name for name in SAMPLERS} | _SAMPLER_ALIASES
_SCHEDULES = {_key(name): name for name in SCHEDULES} | _SCHEDULE_ALIASES
_ENDINGS = {key: name for key, name in _SCHEDULES.items() if name} | {"ka": "karras", "k": "karras", "exp": "exponential"}


def _find(key: str) -> str | None:
    return _SAMPLERS.get(key) or _SAMPLERS.get(key.removeprefix("k"))


def split(name: str) -> tuple[str, str]:
    """A sampler's name and the schedule's that it may end in: ("DPM++ 2M", "karras") of "DPM++ 2M Karras" or "k_dpmpp_2m_ka".
    What is no known sampler with a schedule passes as it is, with an empty schedule."""
    key = _key(name)
    for ending, schedule in _ENDINGS.items():
        sampler = _find(key.removesuffix(ending))
        if key.endswith(ending) and sampler and not _find(key):
            return sampler, schedule
    return name, ""


def sampler(name: str) -> str:
    """Our name for it. Raises ValueError, whose message follows "The sampler"."""
    if not (ours := _find(_key(name))):
        raise ValueError(f"is not one I know. Choose one of: {', '.join(SAMPLERS)}.")
    return ours


def schedule(name: str) -> str:
    """Our name for it, empty for the sampler's own. Raises ValueError, whose message follows "The schedule"."""
    ours = _SCHEDULES.get(_key(name)) if name.strip() else ""
    if ours is None:
        raise ValueError(f"is not one I know. Choose one of: {', '.join(SCHEDULES)}.")
    return ours


def check(sampler: str, schedule: str) -> None:
    """Raises ValueError with a whole sentence if the sampler cannot use the schedule; both by our names."""
    usable = SUPPORTED[sampler]
    if not schedule or schedule in usable:
        return
    rest = f"It can use: {', '.join(s for s in SCHEDULES if s in usable)}." if usable else "It has its own and can use no other."
    raise ValueError(f"{sampler} cannot use the {schedule} schedule. {rest}")

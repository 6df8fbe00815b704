"""The names of the craft: samplers and noise schedules as we call them, and the other names people know them by."""

from __future__ import annotations

SAMPLERS = (
    "DPM++ 2M",
    "Euler",
    "Euler a",
    "DDIM",
    "PNDM",
    "LMS",
    "Heun",
    "UniPC",
)
SCHEDULES = ("karras", "exponential", "beta", "sgm_uniform", "trailing", "leading", "linspace")


def split(name: str) -> tuple[str, str]:
    """A sampler's name and the schedule's that it may end in: ("DPM++ 2M", "karras") of "DPM++ 2M Karras". Unknown names pass."""
    first, _, last = name.strip().rpartition(" ")
    return (first, last.casefold()) if first and last.casefold() in SCHEDULES else (name, "")


def sampler(name: str) -> str:
    """Our name for it. Raises ValueError, whose message follows "The sampler"."""
    known = {ours.casefold(): ours for ours in SAMPLERS}
    try:
        return known[" ".join(name.split()).casefold()]
    except KeyError:
        raise ValueError(f"is not one I know. Choose one of: {', '.join(SAMPLERS)}.") from None


def schedule(name: str) -> str:
    """Our name for it, empty for the sampler's own. Raises ValueError, whose message follows "The schedule"."""
    wanted = "_".join(name.casefold().split())
    if wanted and wanted not in SCHEDULES:
        raise ValueError(f"is not one I know. Choose one of: {', '.join(SCHEDULES)}.")
    return wanted

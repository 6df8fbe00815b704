"""`python -m training`: the built-in model from nothing. Stop it whenever; the same command goes on where it was."""

import argparse
from pathlib import Path

from diffusers.utils import logging

from training import export, recipe, turbo
from training.plan import NUMBERS, SIZES, Plan, pick_device


def main() -> None:
    """Read the command line, then make the model or export the one being made."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--minutes", type=float, default=75, help="wall clock for the trained stages together")
    parser.add_argument("--out", type=Path, default=Path("webapp/builtin"), help="where the finished model goes")
    parser.add_argument(
        "--from",
        dest="begun",
        type=Path,
        metavar="FOLDER",
        help="train a model on that this made before, instead of beginning with nothing",
    )
    parser.add_argument(
        "--turbo",
        type=Path,
        nargs="?",
        const=Path("webapp/builtin-turbo"),
        metavar="PATH",
        help="make also a variant that draws in four steps, there or in webapp/builtin-turbo",
    )
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="pictures, checkpoints, latents")
    parser.add_argument(
        "--size", type=int, choices=SIZES, default=SIZES[-1], help="pixels a side of what it draws; the smaller is learnt in half the time"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=48_000, help="how many to render and learn from")
    parser.add_argument("--export-only", action="store_true", help="write the model as it stands, also while another process trains it")
    asked = parser.parse_args()
    if asked.begun and not (asked.begun / NUMBERS).is_file():
        parser.error(f"{asked.begun} is not a model that this made")
    logging.set_verbosity_error()  # diffusers would warn of every change of precision
    device = pick_device(asked.device)
    on_cpu = device == "cpu"
    plan = Plan(
        work=asked.work,
        size=asked.size,
        begun=asked.begun,
        out=asked.out,
        turbo_out=asked.turbo,
        minutes=asked.minutes,
        pictures=asked.pictures,
        seed=asked.seed,
        device=device,
        workers=2 if on_cpu else 1,
        autoencoder_batch=16 if on_cpu else 128,
        diffusion_batch=48 if on_cpu else 384,
        ways=2_000 if on_cpu else 16_000,  # on two cores a quarter of an hour
    )
    if asked.export_only:
        export.write(plan)
        if plan.turbo_out:
            turbo.write(plan, plan.turbo_out)
    else:
        recipe.run(plan)


if __name__ == "__main__":
    main()

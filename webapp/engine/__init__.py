"""The drawing room: torch and diffusers live here and nowhere else. `checkpoint.load` gives a model, `engine.Engine` draws with it,
and `events`, `drawing` and `batcher` are plain Python, to be imported without paying for torch."""

import os

# before transformers is imported: it would warn newcomers of a torchvision that nothing here needs
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

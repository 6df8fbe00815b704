"""The drawing room: torch and diffusers live here and nowhere else. `checkpoint.load` gives a model, `engine.Engine` draws with it,
and `events`, `drawing` and `batcher` are plain Python, to be imported without paying for torch."""

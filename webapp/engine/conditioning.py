"""Words to embeddings: what the UNet reads of a prompt."""

from __future__ import annotations

from functools import lru_cache

import torch
from transformers import CLIPTextModel, CLIPTokenizer


class Conditioner:
    """Encodes as StableDiffusionPipeline does, and remembers the latest prompts: a request's pictures share theirs, and nearly
    all requests share the empty negative one."""

    def __init__(self, tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel) -> None:
        self._tokenizer = tokenizer
        self._text_encoder = text_encoder
        self.embed = lru_cache(maxsize=64)(self._embed)

    def rows(self, prompt: str, negative_prompt: str, guided: bool) -> torch.Tensor:
        """The embeddings for one picture: (2, 77, width), the negative prompt's first, or (1, 77, width) when not guided."""
        prompts = [negative_prompt, prompt] if guided else [prompt]
        return torch.cat([self.embed(text) for text in prompts])

    def _embed(self, prompt: str) -> torch.Tensor:
        tokens = self._tokenizer(
            prompt,
            padding="max_length",
            max_length=self._tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids  # (1, 77)
        return self._text_encoder(tokens.to(self._text_encoder.device))[0]  # (1, 77, width)

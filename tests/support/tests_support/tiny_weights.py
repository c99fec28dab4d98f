"""Random weights for tiny models in CTranslate2's format."""

from __future__ import annotations

from typing import Any

import numpy as np


class TinyWeights:
    """Fills the parts of a specification of CTranslate2 with small random numbers, always the same."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._random = np.random.default_rng(7)

    def draw(self, *shape: int) -> Any:
        return (self._random.standard_normal(shape) / 10).astype(np.float32)

    def norm(self, part: Any) -> None:
        part.gamma, part.beta = np.ones(self._width, np.float32), np.zeros(self._width, np.float32)

    def dense(self, part: Any, outputs: int, inputs: int) -> None:
        part.weight, part.bias = self.draw(outputs, inputs), np.zeros(outputs, np.float32)

    def attention(self, part: Any) -> None:
        # Attention to itself has query, key and value in one matrix; attention to the encoder has the last two in another.
        sizes = {2: (3, 1), 3: (1, 2, 1)}[len(part.linear)]
        for linear, size in zip(part.linear, sizes, strict=True):
            self.dense(linear, size * self._width, self._width)
        self.norm(part.layer_norm)

    def layer(self, part: Any) -> None:
        self.attention(part.self_attention)
        if hasattr(part, "attention"):
            self.attention(part.attention)
        self.norm(part.ffn.layer_norm)
        self.dense(part.ffn.linear_0, 2 * self._width, self._width)
        self.dense(part.ffn.linear_1, self._width, 2 * self._width)

    def convolution(self, part: Any, inputs: int) -> None:
        part.weight, part.bias = self.draw(self._width, inputs, 3), np.zeros(self._width, np.float32)

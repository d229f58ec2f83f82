"""The `cost` kind: a training loss; at inference it hands its input on."""

from __future__ import annotations

from accelsim.layers.base import Identity, Layer

LAYER: Layer = Identity("cost")

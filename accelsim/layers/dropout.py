"""The `dropout` kind: random zeros in training; at inference it hands its input on."""

from __future__ import annotations

from accelsim.layers.base import Identity, Layer

LAYER: Layer = Identity("dropout")

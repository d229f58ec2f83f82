"""The `yolo` kind: a detection head; the raw head is the network's output, boxes are not decoded."""

from __future__ import annotations

from accelsim.layers.base import Identity, Layer

LAYER: Layer = Identity("yolo")

"""Train the digits network from scratch and write what accelsim runs: digits.weights and ten test images.

    python configs/network/digits/train.py

Data:    the 1797 handwritten digits (8 x 8, grey, 0..16) that scikit-learn bundles; a fixed fifth, 360 images, is held out.
Network: digits.cfg, the same folder. Plain numpy: convolutions as matrix products of patches, Adam, cross entropy, weight decay, and a
         price on activity (L1), for which some accuracy is paid: without it 356 of the 360 are right and hardly a channel is zero.
Result:  deterministic on one machine; another machine's matrix library may round otherwise and end in slightly other weights.
"""

from __future__ import annotations

import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

SEED = 1812
HELD_OUT = 360
EPOCHS, BATCH, RATE, DECAY = 40, 32, 2e-3, 1e-4
QUIET = 2e-3
"""Price of every unit of activity behind a ReLU: an image then leaves channels silent that do not matter to it."""

Tensor = NDArray[np.float32]
Parameters = list[tuple[Tensor, Tensor]]


def pixels() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All digits as 8-bit images, and their labels. Shapes: [1797, 8, 8], [1797]."""
    digits = load_digits()
    return ((digits.images.astype(np.int64) * 255 + 8) // 16).astype(np.uint8), digits.target.astype(np.int64)


def split() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the images to train with and of those held out; always the same."""
    order = np.random.default_rng(SEED).permutation(1797)
    return order[HELD_OUT:], order[:HELD_OUT]


def patches(maps: Tensor, size: int) -> Tensor:
    """Neighbourhood of every pixel, zeros outside. Shapes: [N, C, H, W] -> [N, H*W, C*size*size]."""
    around = size // 2
    padded = np.pad(maps, ((0, 0), (0, 0), (around, around), (around, around)))
    view = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    count, channels, height, width = maps.shape
    return view.transpose(0, 2, 3, 1, 4, 5).reshape(count, height * width, channels * size * size)


def unpatched(gradient: Tensor, shape: tuple[int, ...], size: int) -> Tensor:
    """Add the patches' gradients up where the patches came from: the transpose of `patches`."""
    count, channels, height, width = shape
    around = size // 2
    total = np.zeros((count, channels, height + 2 * around, width + 2 * around), dtype=np.float32)
    pieces = gradient.reshape(count, height, width, channels, size, size)
    for row in range(size):
        for column in range(size):
            total[:, :, row : row + height, column : column + width] += pieces[..., row, column].transpose(0, 3, 1, 2)
    return total[:, :, around : around + height, around : around + width]


class Convolution:
    """Convolution with "same" padding and ReLU."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.bias = weight, bias

    def forward(self, maps: Tensor) -> Tensor:
        """Shapes: [N, C, H, W] -> [N, K, H, W]."""
        self.shape, size = maps.shape, self.weight.shape[2]
        self.columns = patches(maps, size)
        flat = self.columns @ self.weight.reshape(len(self.weight), -1).T + self.bias
        self.live = flat > 0
        return (flat * self.live).transpose(0, 2, 1).reshape(len(maps), -1, *maps.shape[2:])

    def backward(self, gradient: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return gradients of the input and of (weight, bias), the price of activity included."""
        flat = (gradient.reshape(len(gradient), gradient.shape[1], -1).transpose(0, 2, 1) + QUIET / len(gradient)) * self.live
        weight = np.tensordot(flat, self.columns, axes=((0, 1), (0, 1))).reshape(self.weight.shape)
        back = flat @ self.weight.reshape(len(self.weight), -1)
        return unpatched(back, self.shape, self.weight.shape[2]), (weight, flat.sum(axis=(0, 1)))


class Halving:
    """The largest of each 2 x 2 pixels."""

    def forward(self, maps: Tensor) -> Tensor:
        """Shapes: [N, C, H, W] -> [N, C, H/2, W/2]."""
        count, channels, height, width = maps.shape
        self.blocks = maps.reshape(count, channels, height // 2, 2, width // 2, 2)
        self.largest = self.blocks.max(axis=(3, 5), keepdims=True)
        return self.largest[:, :, :, 0, :, 0]

    def backward(self, gradient: Tensor) -> Tensor:
        """Hand the gradient to the largest pixel, in equal shares where several are."""
        winners = self.blocks == self.largest
        shares = winners * (gradient[:, :, :, None, :, None] / winners.sum(axis=(3, 5), keepdims=True))
        count, channels, height, _, width, _ = self.blocks.shape
        return shares.reshape(count, channels, height * 2, width * 2).astype(np.float32)


def initial(generator: np.random.Generator) -> Parameters:
    """Random (weight, bias) per layer, He et al. 2015."""
    shapes = [(16, 1, 3, 3), (32, 16, 3, 3), (48, 32, 1, 1), (10, 48 * 4 * 4)]
    spreads = [np.sqrt(2 / np.prod(shape[1:])) for shape in shapes]
    return [
        ((generator.standard_normal(shape) * spread).astype(np.float32), np.zeros(shape[0], dtype=np.float32))
        for shape, spread in zip(shapes, spreads, strict=True)
    ]


def scores(parameters: Parameters, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Scores of the ten digits, and the maps of the three convolutions. Shapes: [N, 1, 8, 8] -> [N, 10], [N, K, H, W]."""
    first, second, third = (Convolution(*layer) for layer in parameters[:3])
    maps = [first.forward(images)]
    maps.append(second.forward(Halving().forward(maps[0])))
    maps.append(third.forward(maps[1]))
    weight, bias = parameters[3]
    return maps[2].reshape(len(images), -1) @ weight.T + bias, maps


def gradients(parameters: Parameters, images: Tensor, labels: NDArray[np.int64]) -> Parameters:
    """Gradient of the mean cross entropy, in the order of the parameters."""
    first, second, third = (Convolution(*layer) for layer in parameters[:3])
    halving = Halving()
    last = third.forward(second.forward(halving.forward(first.forward(images))))
    weight, bias = parameters[3]
    flat = last.reshape(len(images), -1)
    logits = flat @ weight.T + bias
    error = np.exp(logits - logits.max(axis=1, keepdims=True))
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    back, of_third = third.backward((error @ weight).reshape(last.shape))
    back, of_second = second.backward(back)
    _, of_first = first.backward(halving.backward(back))
    return [of_first, of_second, of_third, (error.T @ flat, error.sum(axis=0))]


def train(images: Tensor, labels: NDArray[np.int64]) -> Parameters:
    """Adam with a rate that falls to zero along a cosine."""
    generator = np.random.default_rng(SEED)
    parameters = initial(generator)
    moments = [[(np.zeros_like(array), np.zeros_like(array)) for array in layer] for layer in parameters]
    steps, step = EPOCHS * (len(images) // BATCH), 0
    for _ in range(EPOCHS):
        order = generator.permutation(len(images))
        for low in range(0, len(images) - BATCH + 1, BATCH):
            chosen = order[low : low + BATCH]
            step += 1
            rate = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            for layer, slopes, kept in zip(parameters, gradients(parameters, images[chosen], labels[chosen]), moments, strict=True):
                for array, slope, (mean, square) in zip(layer, slopes, kept, strict=True):
                    mean[...] += 0.1 * (slope - mean)
                    square[...] += 0.001 * (slope * slope - square)
                    ahead = (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
                    array[...] -= rate * (ahead + DECAY * array)
    return parameters


def write_weights(path: Path, parameters: Parameters) -> None:
    """Write a Darknet file: version 0.2.0, images seen, then biases and weights of each layer."""
    arrays = [array for weight, bias in parameters for array in (bias, weight)]
    numbers = np.concatenate([array.astype("<f4").ravel() for array in arrays])
    path.write_bytes(struct.pack("<3iQ", 0, 2, 0, EPOCHS * (1797 - HELD_OUT)) + numbers.tobytes())


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an 8-bit grey PNG. Shapes: [H, W]."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def main() -> None:
    """Train, write the files beside this one, and tell how good the network is."""
    started = time.perf_counter()
    images, labels = pixels()
    data = (images[:, None] / 255).astype(np.float32)
    training, held_out = split()
    parameters = train(data[training], labels[training])
    folder = Path(__file__).parent
    write_weights(folder / "digits.weights", parameters)
    (folder / "images").mkdir(exist_ok=True)
    for label in range(10):
        chosen = held_out[labels[held_out] == label][0]
        write_png(folder / "images" / f"{label}.png", images[chosen])
    right = [int((scores(parameters, data[part])[0].argmax(axis=1) == labels[part]).sum()) for part in (training, held_out)]
    dead = [float((maps == 0).all(axis=(2, 3)).mean()) for maps in scores(parameters, data[held_out])[1]]
    sys.stdout.write(
        f"trained in {time.perf_counter() - started:.0f} s; {sum(array.size for layer in parameters for array in layer):,} numbers\n"
        f"training images: {right[0]} of {len(training)} right ({right[0] / len(training):.2%})\n"
        f"held-out images: {right[1]} of {len(held_out)} right ({right[1] / len(held_out):.2%})\n"
        f"zero channels per held-out image: {', '.join(f'{share:.1%}' for share in dead)} of the three convolutions\n"
    )


if __name__ == "__main__":
    main()

"""Images and what is done to them before a network sees them; the only door to Pillow."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from accelsim import archives
from accelsim.archives import MAX_PIXELS, Pixels
from accelsim.errors import ModelError, RefusalError
from accelsim.kernels import interpolate

FORMATS = ("JPEG", "PNG", "BMP", "PPM")
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".npz"))
"""Ends of the names of files that may hold images."""

Planes = NDArray[np.float32]


def _tuple(value: Any) -> Any:
    """YAML has lists; strict models want tuples."""
    return tuple(value) if isinstance(value, list) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list | tuple) else value


Side = Annotated[int, Field(ge=1, le=16384)]
Size = Side | Annotated[tuple[Side, Side], BeforeValidator(_tuple)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Preprocessing(BaseModel):
    """How an 8-bit image becomes the network's input.

    YAML keys, in the order in which they act when `order` is `normalise_first` (what Darknet does):
        channels   rgb | bgr | grey (ITU-R 601 luma, one channel)
        scale      every value is divided by it                            x / scale
        mean, std  one number per channel, in the order of `channels`      (x / scale - mean) / std
        resize     none | stretch (to `size`) | letterbox (fit into `size`, aspect kept, rest filled) |
                   short_side (short side to `size`, aspect kept)
        size       pixels: a number, or [height, width]; a number only for short_side
        filter     darknet (bilinear, corners aligned, horizontal pass first; see `_mix` for its last row) |
                   antialias (Pillow's bilinear with a widened support)
        fill       letterbox border, in the units of the data at that moment
        crops      centre crops, one after another: a list of numbers or [height, width] pairs
    With `order: resize_first`, resize and crops act on 0..255 and scale, mean, std come last.
    Source:  shared/assets/README.md section 3 (order and values of the presets)
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    channels: Literal["rgb", "bgr", "grey"] = "rgb"
    scale: Positive = 1.0
    mean: Annotated[tuple[Finite, ...], BeforeValidator(_tuple)] = ()
    std: Annotated[tuple[Positive, ...], BeforeValidator(_tuple)] = ()
    resize: Literal["none", "stretch", "letterbox", "short_side"] = "none"
    size: Size | None = None
    filter: Literal["darknet", "antialias"] = "darknet"
    fill: Finite = 0.5
    crops: Annotated[tuple[Size, ...], BeforeValidator(_tuples)] = ()
    order: Literal["normalise_first", "resize_first"] = "normalise_first"

    @model_validator(mode="after")
    def _consistent(self) -> Preprocessing:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != self.planes:
                raise RefusalError(
                    f"{name}: {len(values)} numbers, but channels: {self.channels} has {self.planes}", f"write {self.planes}", at=(name,)
                )
        if self.resize == "none" and self.size is not None:
            raise RefusalError(
                "size has no use with resize: none", "allowed with a size: stretch, letterbox, short_side", at=("resize", "size")
            )
        if self.resize != "none" and self.size is None:
            raise RefusalError(f"resize: {self.resize} needs a size", "write size: <pixels>, or resize: none", at=("resize",))
        if self.resize == "short_side" and isinstance(self.size, tuple):
            raise RefusalError(f"size: {list(self.size)} with resize: short_side", "write one number", at=("size",))
        return self

    @property
    def planes(self) -> int:
        """Channels of the network's input."""
        return 1 if self.channels == "grey" else 3

    def normalised(self, pixels: NDArray[Any]) -> Planes:
        """Apply scale, mean and std in float64, rounded once. Shapes: [planes, ...] in 0..255 -> float32 of the same shape."""
        made = np.empty(pixels.shape, dtype=np.float32)
        for plane, values in enumerate(pixels):
            data = values.astype(np.float64)
            if self.scale != 1:
                data /= self.scale
            if self.mean:
                data -= self.mean[plane]
            if self.std:
                data /= self.std[plane]
            made[plane] = data
        return made


_BGR_MEAN: dict[str, Any] = {"channels": "bgr", "mean": (104.0, 117.0, 123.0)}

PRESETS: Mapping[str, Preprocessing] = MappingProxyType(
    {
        "squeezenet_v1.1": Preprocessing(**_BGR_MEAN, resize="letterbox", size=227),
        "squeezenet_v1.1_resize": Preprocessing(**_BGR_MEAN, resize="stretch", size=227, order="resize_first"),
        "squeezenet_v1.0": Preprocessing(**_BGR_MEAN, resize="short_side", size=256, crops=(256, 227), order="resize_first"),
        "tiny_letterbox": Preprocessing(scale=255.0, resize="letterbox", size=224),
        "tiny_resize": Preprocessing(scale=255.0, resize="stretch", size=224),
        "mobilenet_v2": Preprocessing(
            scale=127.5, mean=(1.0, 1.0, 1.0), resize="short_side", size=256, crops=(256, 224), order="resize_first"
        ),
        "cifar10": Preprocessing(scale=255.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        "yolo": Preprocessing(scale=255.0, resize="stretch", size=320),
        "rgb": Preprocessing(scale=255.0),
        "grey": Preprocessing(channels="grey", scale=255.0),
    }
)
"""Named presets. The squeezenet_v1.0 and mobilenet_v2 ones serve photographs of any size and the 256 x 256 files alike.

Of squeezenet_v1.1 and tiny, the letterbox ones are for photographs, the resize ones for 256 x 256 files. Both resizes leave the last row
black (see `_mix`), and SqueezeNet's accuracy is only reproduced where the mean is taken off after that.
"""


def load_image(source: str | Path) -> Pixels:
    """Read one image: a JPEG, PNG, BMP or PPM file, or an array of an `.npz` file.

    `photos.npz:dog` is the array `dog`; `stack.npz:images:17` is image 17 of a stack. Orientation tags (EXIF) are ignored, alpha is
    dropped, grey is widened to three channels.
    Shapes:  uint8 [H, W, 3], RGB, C-contiguous; arrays in `.npz` uint8 [H, W], [H, W, 1 | 3 | 4], or a stack [N, ...] of these
    Raises:  `ModelError` in one line where there is no such file or key, or where it is no image, damaged, or above `MAX_PIXELS`
    """
    text = str(source)
    file, separator, key = text.partition(".npz:")
    array = archives.load(Path(file + ".npz"), key, text) if separator else _load_picture(Path(text), text)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        array = np.broadcast_to(array, (*array.shape[:2], 3))
    return np.ascontiguousarray(array[:, :, :3])


def images_in(source: str | Path) -> Iterator[tuple[str, str]]:
    """Names and sources (as `load_image` takes them) of all images of a folder, an archive or a stack; or of the one image that it is.

    A folder's are those of all folders below it, in the order of their relative paths, which without their endings are the names; hidden
    files, and files of other kinds, are passed over. Arrays that are no images are passed over too, unless one is named.
    Raises:  `ModelError` for an archive that is damaged, or an array that is not there
    """
    path, text = Path(source), str(source)
    if path.is_dir():
        found = sorted(file.relative_to(path) for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        for file in found:
            if any(part.startswith(".") for part in file.parts):
                continue
            name = file.with_suffix("").as_posix()
            if file.suffix.lower() == ".npz":
                yield from ((f"{name}/{inner}", where) for inner, where in archives.names(path / file, ""))
            else:
                yield name, str(path / file)
        return
    file_name, separator, key = text.partition(".npz:")
    if (separator and ":" not in key) or path.suffix == ".npz":
        yield from archives.names(Path(file_name + ".npz") if separator else path, key)
    else:
        yield key.replace(":", "_") or path.stem, text


def preprocess(image: Pixels, preprocessing: Preprocessing) -> Planes:
    """Make the network's input of an image.

    Shapes:  image uint8 [H, W, 3] RGB -> float32 [C, H', W'], C-contiguous
    Raises:  `ModelError` where a crop is larger than the image or a resized image would exceed `MAX_PIXELS`
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ModelError(f"image: {image.dtype} {list(image.shape)}; preprocessing takes uint8 [H, W, 3]")
    planes = np.ascontiguousarray(np.moveaxis(_ordered(image, preprocessing.channels), 2, 0))
    if preprocessing.order == "normalise_first":
        levels = preprocessing.normalised(np.tile(np.arange(256), (preprocessing.planes, 1)))
        data = np.stack([level[plane] for level, plane in zip(levels, planes, strict=True)])
        data = _cropped(_resized(data, preprocessing), preprocessing)
    else:
        data = preprocessing.normalised(_cropped(_resized(planes.astype(np.float32), preprocessing), preprocessing))
    return np.ascontiguousarray(data)


def image_sha256(image: NDArray[Any]) -> str:
    """Content hash of an array: dtype, shape and values, not the file it came from."""
    digest = hashlib.sha256(f"{image.dtype.str} {image.shape} ".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def _load_picture(path: Path, text: str) -> Pixels:
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise ModelError(f"{text}: no such image file")
    if path.suffix == ".npz":
        raise ModelError(f"{text}: which of its arrays? Write {path.name}:<array>, or {path.name}:<array>:<index> for a stack")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images and odd palettes; our own limit is stricter
            with Image.open(path, formats=FORMATS) as picture:
                archives.check_pixels(picture.width * picture.height, f"{picture.width} x {picture.height}", text)
                if picture.mode.startswith(("I", "F")):
                    raise ModelError(f"{text}: pixels of mode {picture.mode!r}; save it with 8 bits a channel")
                if picture.mode in ("P", "PA", "LA", "La", "RGBa"):
                    return np.asarray(picture.convert("RGBA"))[:, :, :3]
                return np.asarray(picture.convert("RGB"))
    except (ModelError, MemoryError):
        raise
    except Image.DecompressionBombError as fault:
        raise ModelError(f"{text}: image of more than {MAX_PIXELS:,} pixels; scale it down first") from fault
    except Exception as fault:  # decoders raise whatever they like on damaged files
        reason = "not a JPEG, PNG, BMP or PPM image" if isinstance(fault, UnidentifiedImageError) else f"damaged image: {fault}"
        raise ModelError(f"{text}: {' '.join(reason.split())}") from fault


def _ordered(image: Pixels, channels: str) -> Pixels:
    if channels == "bgr":
        return image[:, :, ::-1]
    if channels == "grey":
        # 16-bit fixed point weights that add up to one, so grey stays exactly what it was
        red, green, blue = (image[:, :, c].astype(np.uint32) for c in range(3))
        return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)[:, :, None]
    return image


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


def _resized(data: Planes, how: Preprocessing) -> Planes:
    if how.size is None:
        return data
    height, width = data.shape[1:]
    to_height, to_width = _pair(how.size)
    if how.resize == "stretch":
        return _scaled(data, to_height, to_width, how.filter)
    if how.resize == "short_side":
        short = to_height
        if width < height:
            return _scaled(data, height * short // width, short, how.filter)
        return _scaled(data, short, width * short // height, how.filter)
    # letterbox; float32 quotients, because Darknet compares those
    if np.float32(to_width) / np.float32(width) < np.float32(to_height) / np.float32(height):
        new_height, new_width = max(1, height * to_width // width), to_width
    else:
        new_height, new_width = to_height, max(1, width * to_height // height)
    boxed = np.full((data.shape[0], to_height, to_width), how.fill, dtype=np.float32)
    top, left = (to_height - new_height) // 2, (to_width - new_width) // 2
    boxed[:, top : top + new_height, left : left + new_width] = _scaled(data, new_height, new_width, how.filter)
    return boxed


def _scaled(data: Planes, height: int, width: int, kind: str) -> Planes:
    if height * width > MAX_PIXELS:
        old = f"{data.shape[1]} x {data.shape[2]}"
        raise ModelError(f"image of {old} would be resized to {height:,} x {width:,}, above {MAX_PIXELS:,} pixels")
    if kind == "antialias":
        from PIL import Image

        resample = Image.Resampling.BILINEAR
        return np.stack([np.asarray(Image.fromarray(plane).resize((width, height), resample)) for plane in data])
    (columns, column_weights), (rows, row_weights) = _mix(data.shape[2], width), _mix(data.shape[1], height, rows=True)
    made = np.empty((data.shape[0], height, width), dtype=np.float32)
    interpolate.resize(np.ascontiguousarray(data), columns, column_weights, rows, row_weights, made)
    return made


@lru_cache(maxsize=16)
def _mix(old: int, length: int, *, rows: bool = False) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which two of `old` columns, or rows, make each of `length` in Darknet's bilinear resize, and their weights.

    Source coordinate i * (old - 1) / (new - 1) in float32, weighted sums in float64.
    Rounded once, after both passes (Darknet's own rounding depends on its compiler): `golden/squeezenet_v1.1` has these inputs bit for bit.
    The last column is copied. The last row is not: Darknet takes what its own coordinate says of the row at or above it, and forgets the
    row below. Where rounding leaves the coordinate short of the last source row (256 -> 227 and 256 -> 224 give 254.99998), next to
    nothing remains and the row is black. SqueezeNet v1.1 and TinyNet feel it: it moves top-5 by 2 to 3 images in 100.
    Shapes:  int64 [2, length], float64 [2, length]
    Source:  Darknet, src/image.c, resize_image
    """
    step = np.float32(old - 1) / np.float32(max(length - 1, 1))
    position = np.arange(length, dtype=np.float32) * step
    low = np.minimum(position.astype(np.int64), max(old - 2, 0))
    high = np.minimum(low + 1, old - 1)
    far = position.astype(np.float64) - low
    near = 1 - far
    low[-1] = high[-1] = old - 1
    near[-1], far[-1] = 1, 0
    if rows and length > 1:
        low[-1] = high[-1] = min(int(position[-1]), old - 1)
        near[-1] = 1 - (np.float64(position[-1]) - low[-1])
    return np.stack([low, high]), np.stack([near, far])


def _cropped(data: Planes, how: Preprocessing) -> Planes:
    for crop in how.crops:
        height, width = _pair(crop)
        if height > data.shape[1] or width > data.shape[2]:
            raise ModelError(f"crop of {height} x {width} from an image of {data.shape[1]} x {data.shape[2]}; resize it first")
        top, left = (data.shape[1] - height) // 2, (data.shape[2] - width) // 2
        data = data[:, top : top + height, left : left + width]
    return data

"""Images and preprocessing: Darknet's arithmetic, named presets, and answers to files that are no images."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from accelsim.errors import ModelError
from accelsim.images import MAX_PIXELS, PRESETS, Preprocessing, image_sha256, load_image, preprocess


def pixels(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def naive_resize(plane: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """The documented rule, one element at a time; only the coordinates are float32."""

    def sample(line: list[float], length: int, vertical: bool) -> list[float]:
        result = []
        for i in range(length):
            at = np.float32(i) * (np.float32(len(line) - 1) / np.float32(max(length - 1, 1)))
            low = int(at)
            if i < length - 1 and len(line) > 1:
                result.append(line[low] + float(at - low) * (line[min(low + 1, len(line) - 1)] - line[low]))
            else:
                result.append((1 - float(at - low)) * line[low] if vertical and length > 1 else line[-1])
        return result

    wide = [sample([float(value) for value in row], width, False) for row in plane]
    columns = [sample([row[c] for row in wide], height, True) for c in range(width)]
    return np.array(columns).T


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 17), st.integers(1, 17), st.integers(0, 99))
def test_darknet_resize_equals_the_rule_written_as_loops(height: int, width: int, new_height: int, new_width: int, seed: int) -> None:
    image = pixels(height, width, seed)
    made = preprocess(image, Preprocessing(resize="stretch", size=(new_height, new_width)))
    for c in range(3):
        np.testing.assert_allclose(made[c], naive_resize(image[:, :, c], new_height, new_width), atol=1e-2)


@pytest.mark.parametrize(("size", "black"), [(227, True), (224, True), (256, False), (128, False)])
def test_the_last_row_is_black_where_darknets_coordinate_falls_short(size: int, black: bool) -> None:
    made = preprocess(np.full((256, 256, 3), 200, np.uint8), Preprocessing(resize="stretch", size=size))
    assert np.abs(made[:, -1]).max() < 0.01 if black else made[:, -1].min() > 199
    assert np.abs(made[:, :-1] - 200).max() < 0.01


def test_an_image_of_the_right_size_passes_unchanged() -> None:
    image = pixels(7, 5)
    for how in (
        Preprocessing(),
        Preprocessing(resize="stretch", size=(7, 5)),
        Preprocessing(resize="stretch", size=(7, 5), filter="antialias"),
    ):
        np.testing.assert_array_equal(preprocess(image, how), image.transpose(2, 0, 1))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24))
def test_letterbox_keeps_the_aspect_and_fills_the_rest(height: int, width: int, size: int) -> None:
    made = preprocess(np.full((height, width, 3), 200, np.uint8), Preprocessing(resize="letterbox", size=size, fill=-7.0))
    inside = made[0] != -7.0
    rows, cols = int(inside.any(1).sum()), int(inside.any(0).sum())
    assert made.shape == (3, size, size)
    assert max(rows, cols) == size
    assert inside.sum() == rows * cols
    assert (rows, cols) == ((size, max(1, width * size // height)) if width <= height else (max(1, height * size // width), size))
    top, left = np.argwhere(inside)[0]
    assert (top, left) == ((size - rows) // 2, (size - cols) // 2)
    *whole, last = made[0][inside].reshape(rows, cols)
    assert all(np.allclose(row, 200, atol=1e-2) for row in whole)
    assert np.allclose(last, last[0])
    assert -0.01 <= last[0] <= 200.01, "Darknet may darken the last row"


@pytest.mark.parametrize(
    ("preset", "shape"),
    [
        ("squeezenet_v1.1", (3, 227, 227)),
        ("squeezenet_v1.1_resize", (3, 227, 227)),
        ("squeezenet_v1.0", (3, 227, 227)),
        ("tiny_letterbox", (3, 224, 224)),
        ("tiny_resize", (3, 224, 224)),
        ("mobilenet_v2", (3, 224, 224)),
        ("yolo", (3, 320, 320)),
        ("cifar10", (3, 260, 300)),
        ("rgb", (3, 260, 300)),
        ("grey", (1, 260, 300)),
    ],
)
def test_each_preset_makes_its_networks_input(preset: str, shape: tuple[int, int, int]) -> None:
    made = preprocess(pixels(260, 300), PRESETS[preset])
    assert made.shape == shape
    assert made.dtype == np.float32
    assert made.flags.c_contiguous


def test_every_preset_has_a_row_in_the_test_above() -> None:
    (mark,) = test_each_preset_makes_its_networks_input.pytestmark  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == set(PRESETS)


def test_values_of_the_presets_are_those_of_the_table() -> None:
    image = np.full((256, 256, 3), (255, 0, 51), np.uint8)
    expected = {
        "squeezenet_v1.1": (51 - 104, 0 - 117, 255 - 123),
        "squeezenet_v1.0": (51 - 104, 0 - 117, 255 - 123),
        "tiny_letterbox": (1, 0, 0.2),
        "mobilenet_v2": (1, -1, -0.6),
        "cifar10": ((1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225),
    }
    for preset, values in expected.items():
        np.testing.assert_allclose(preprocess(image, PRESETS[preset])[:, 100, 100], values, rtol=1e-6, err_msg=preset)


def test_order_decides_the_units_of_the_fill() -> None:
    image = np.full((4, 8, 3), 255, np.uint8)
    first = preprocess(image, Preprocessing(scale=255.0, resize="letterbox", size=8, fill=51.0))
    last = preprocess(image, Preprocessing(scale=255.0, resize="letterbox", size=8, fill=51.0, order="resize_first"))
    assert first[0, 0, 0] == 51.0
    assert last[0, 0, 0] == np.float32(0.2)


def test_short_side_then_crops_take_the_centre() -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    image[:, 18:22] = 255
    made = preprocess(image, Preprocessing(resize="short_side", size=10, crops=(10, (6, 4))))
    assert made.shape == (3, 6, 4)
    assert made.max() == 255
    np.testing.assert_allclose(made, made[:, :, ::-1], atol=1e-3)


def test_grey_stays_exactly_grey() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    np.testing.assert_array_equal(preprocess(grey, Preprocessing(channels="grey"))[0], grey[:, :, 0])


def test_a_crop_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ModelError, match="crop of 9 x 9 from an image of 8 x 8; resize it first"):
        preprocess(pixels(8, 8), Preprocessing(crops=(9,)))


def test_a_sliver_is_not_blown_up_beyond_the_limit() -> None:
    with pytest.raises(ModelError, match="would be resized to 10,000 x 10,000,000"):
        preprocess(pixels(1, 1000), Preprocessing(resize="short_side", size=10000))


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"resize": "letterbox"}, "resize: letterbox needs a size"),
        ({"size": 8}, "size has no use with resize: none"),
        ({"resize": "short_side", "size": [8, 9]}, "write one number"),
        ({"mean": [1.0, 2.0]}, "mean: 2 numbers, but channels: rgb has 3"),
        ({"channels": "grey", "std": [1.0, 2.0, 3.0]}, "std: 3 numbers, but channels: grey has 1"),
        ({"std": [1.0, 0.0, 1.0]}, "greater than 0"),
        ({"scale": float("nan")}, "finite number|greater than 0"),
        ({"resize": "stretch", "size": 0}, "greater than or equal to 1"),
        ({"colour": "rgb"}, "Extra inputs"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Preprocessing.model_validate(keys)


def test_yaml_lists_are_taken_and_the_model_survives_json() -> None:
    how = Preprocessing.model_validate({"resize": "stretch", "size": [8, 9], "mean": [1, 2, 3], "crops": [7, [5, 6]]})
    assert how.size == (8, 9)
    assert how.crops == (7, (5, 6))
    assert Preprocessing.model_validate_json(how.model_dump_json()) == how


def test_the_golden_input_of_squeezenet_comes_out(shared: Path) -> None:
    with np.load(shared / "golden/squeezenet_v1.1/tensors.npz") as golden:
        for name in ("cat", "dog"):
            made = preprocess(load_image(f"{shared}/assets/images/five_rgb.npz:{name}"), PRESETS["squeezenet_v1.1"])
            assert np.abs(made - golden[f"{name}/input"]).max() <= 1e-4


def test_jpeg_decoders_agree_within_three_levels(shared: Path) -> None:
    ours = load_image(shared / "assets/images/dog.jpg").astype(int)
    assert np.abs(ours - load_image(f"{shared}/assets/images/five_rgb.npz:dog")).max() <= 3


# Reading files


def test_png_comes_back_exactly_and_alpha_is_dropped(tmp_path: Path) -> None:
    image = pixels(5, 6)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([image, np.zeros((5, 6), np.uint8)])).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), image)
    np.testing.assert_array_equal(load_image(str(tmp_path / "alpha.png")), image)


def test_grey_and_palette_images_are_widened(tmp_path: Path) -> None:
    grey = np.arange(30, dtype=np.uint8).reshape(5, 6)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png", transparency=b"\x00\x10")
    Image.fromarray(grey).convert("LA").save(tmp_path / "grey_alpha.png")
    for name in ("grey", "palette", "grey_alpha"):
        np.testing.assert_array_equal(load_image(tmp_path / f"{name}.png"), np.repeat(grey[:, :, None], 3, axis=2))


def test_orientation_tags_are_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels(5, 9)).save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").shape == (5, 9, 3)


def test_arrays_of_an_archive_are_read_by_key_and_index(tmp_path: Path) -> None:
    stack = np.stack([pixels(4, 5, seed) for seed in range(3)])
    np.savez_compressed(tmp_path / "s.npz", stack=stack, grey=stack[0, :, :, 0], column=np.asfortranarray(stack[1]))
    file = tmp_path / "s.npz"
    np.testing.assert_array_equal(load_image(f"{file}:stack:2"), stack[2])
    np.testing.assert_array_equal(load_image(f"{file}:column"), stack[1])
    np.testing.assert_array_equal(load_image(f"{file}:grey"), np.repeat(stack[0, :, :, :1], 3, axis=2))


def hostile_npz(path: Path, header: dict[str, object], data: bytes = b"") -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", stream.getvalue() + data)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("damaged")
    np.savez(tmp_path / "good.npz", stack=np.zeros((2, 3, 3, 3), np.uint8), odd=np.zeros((3, 3, 2), np.uint8), floats=np.zeros((3, 3)))
    np.savez(tmp_path / "pickle.npz", a=np.array([{"x": 1}], dtype=object))
    hostile_npz(tmp_path / "huge.npz", {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6, 3)})
    hostile_npz(tmp_path / "short.npz", {"descr": "|u1", "fortran_order": False, "shape": (9, 9, 3)}, b"abc")
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(pixels(64, 64)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    Image.fromarray(np.zeros((3, 3), np.uint16)).save(tmp_path / "deep.png")
    wide = io.BytesIO()
    Image.new("1", (MAX_PIXELS // 5000 + 1, 5000)).save(wide, "PNG")
    (tmp_path / "wide.png").write_bytes(wide.getvalue())
    bomb = bytearray(wide.getvalue())
    bomb[16:24] = (60000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(bomb)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("absent.jpg", "no such image file"),
        (".", "no such image file"),
        ("text.jpg", "not a JPEG, PNG, BMP or PPM image"),
        ("empty.png", "not a JPEG, PNG, BMP or PPM image"),
        ("cut.jpg", "damaged image: image file is truncated"),
        ("deep.png", "8 bits a channel"),
        ("wide.png", "Allowed: 1 to 50,000,000"),
        ("bomb.png", "more than 50,000,000 pixels"),
        ("good.npz", "which of its arrays"),
        ("absent.npz:a", "no such file"),
        ("text.npz:a", "damaged .npz file"),
        ("good.npz:cat", "no array 'cat'. Allowed: floats, odd, stack"),
        ("good.npz:stack", "add ':<index>' for a stack"),
        ("good.npz:stack:2", "index '2'. Allowed: 0 to 1"),
        ("good.npz:stack:-1", "index '-1'. Allowed: 0 to 1"),
        ("good.npz:odd", "2 channels"),
        ("good.npz:floats", "float64 .3, 3.. Allowed: uint8"),
        ("pickle.npz:a", "object .1.. Allowed: uint8"),
        ("huge.npz:a", "1000000 x 1000000 = 1,000,000,000,000 pixels"),
        ("short.npz:a", "243 values wanted, 3 there"),
    ],
)
def test_what_is_no_image_is_answered_in_one_line(damaged: Path, source: str, fault: str) -> None:
    with pytest.raises(ModelError, match=fault) as caught:
        load_image(damaged / source)
    assert "\n" not in str(caught.value)
    assert Path(source.split(":", maxsplit=1)[0]).name in str(caught.value)


def test_the_content_hash_sees_values_shape_and_type_only() -> None:
    image = pixels(4, 6)
    assert image_sha256(image) == image_sha256(np.asfortranarray(image))
    assert image_sha256(image) != image_sha256(image.reshape(6, 4, 3))
    assert image_sha256(image) != image_sha256(image.view(np.int8))
    changed = image.copy()
    changed[0, 0, 0] ^= 1
    assert image_sha256(image) != image_sha256(changed)

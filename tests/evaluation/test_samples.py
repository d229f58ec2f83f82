"""Labelled images: which are found, and what is said of tables that are not sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accelsim.errors import ConfigError
from accelsim.evaluation import evaluatefile
from accelsim.evaluation.samples import Sample, samples
from accelsim.labelled import LabelledFiles, LabelledStack, Outputs, Photographs

DIGITS = Path(__file__).parents[2] / "configs/evaluate/digits.yaml"


def found(images: object, **changes: object) -> tuple[Sample, ...]:
    return samples(evaluatefile.load(DIGITS).model_copy(update={"images": images, **changes}))


def table(folder: Path, text: str, images: str = "ab") -> LabelledFiles:
    for name in images:
        (folder / f"{name}.png").write_bytes(b"")
    (folder / "labels.csv").write_text(text, "utf-8")
    return LabelledFiles(table=folder / "labels.csv")


def test_a_table_gives_its_images_in_its_order(tmp_path: Path) -> None:
    images = table(tmp_path, "class_id,file\n3,b.png\n 0 ,a.png\n")
    assert found(images) == (Sample("b.png", str(tmp_path / "b.png"), 3), Sample("a.png", str(tmp_path / "a.png"), 0))
    assert [sample.name for sample in found(images, limit=1)] == ["b.png"]


def test_a_stack_gives_its_images_by_number(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", images=np.zeros((3, 2, 2, 3), np.uint8), labels=np.array([2, 0, 1], np.uint8))
    images = found(LabelledStack(stack=tmp_path / "s.npz"))
    assert [(sample.name, sample.target) for sample in images] == [("s.npz:images:0", 2), ("s.npz:images:1", 0), ("s.npz:images:2", 1)]


def test_photographs_have_no_targets() -> None:
    assert found(Photographs.model_construct(files=("x/a.png", "y/s.npz:dog"))) == (
        Sample("a.png", "x/a.png", None),
        Sample("s.npz:dog", "y/s.npz:dog", None),
    )


def test_outputs_translate_labels_of_any_text(tmp_path: Path) -> None:
    images = table(tmp_path, "file,class_id\na.png,n01\nb.png,n02\n")
    (tmp_path / "outputs.csv").write_text("wnid,number\nn02,7\nn01,5\n", "utf-8")
    outputs = Outputs(table=tmp_path / "outputs.csv", label_column="wnid", output_column="number")
    assert [sample.target for sample in found(images, outputs=outputs)] == [5, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,1\n", r"labels\.csv: no column 'class_id'\n    allowed: file, label"),
        ("file,class_id\na.png,1\nc.png,1\n", r"labels\.csv:3: no such image: .*c\.png\n    Did you mean"),
        ("file,class_id\na.png\n", r"labels\.csv:2: no class_id"),
        ("file,class_id\na.png,x\n", r"labels\.csv: a\.png: label 'x' is not the number of an output\n    say which"),
        ("file,class_id\na.png,-1\n", "label '-1' is not the number"),
        ("file,class_id\n", r"labels\.csv: holds no image"),
        ("", r"labels\.csv: no column 'file'"),
        ('file,class_id\n"a.png,1\n', r"labels\.csv: cannot be read"),
    ],
)
def test_a_table_that_is_not_sound_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        found(table(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,number\n1,5\n1,6\n", r"outputs\.csv:3: label '1' means two outputs: 5 and 6"),
        ("label,number\n1,-5\n", r"outputs\.csv:2: number '-5'\n    allowed: numbers of outputs"),
        ("label,number\n2,5\n", r"a\.png: label '1' is not in outputs\.table"),
    ],
)
def test_outputs_that_are_not_sound_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "outputs.csv").write_text(text, "utf-8")
    outputs = Outputs(table=tmp_path / "outputs.csv", label_column="label", output_column="number")
    with pytest.raises(ConfigError, match=message):
        found(table(tmp_path, "file,class_id\na.png,1\n"), outputs=outputs)


def test_stacks_that_are_not_sound_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, images=np.zeros((1, 2, 2, 3), np.uint8), labels=np.zeros(1))
    with pytest.raises(ConfigError, match=r"labels is float64 \[1\]\n    allowed: whole numbers"):
        found(LabelledStack(stack=path))
    with pytest.raises(ConfigError, match=r"no array 'label'\n    allowed: images, labels\.  Did you mean 'labels'\?"):
        found(LabelledStack(stack=path, labels="label"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ConfigError, match=r"s\.npz: damaged"):
        found(LabelledStack(stack=path))

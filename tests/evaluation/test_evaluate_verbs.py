"""The verbs evaluate, sparsity and dynamic on the command line."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "configs/network/digits"


def test_evaluate_prints_and_writes_its_tables_and_can_be_repeated(program, tmp_path: Path) -> None:
    settings = ["--set", "evaluate.epsilons=[0.4]", "--set", "evaluate.auto.candidates=[0.4]"]
    arguments = ["evaluate", ROOT / "configs/evaluate/digits.yaml", "--results", tmp_path / "r", *settings]
    code, out, err = program(*arguments)
    assert code == 0
    assert "digits, 10 images" in out
    assert "top-1 (%)" in out
    assert "chosen (channel): 0" in out
    assert "[0/6] evaluate digits on 10 images" in err
    written = {path.relative_to(tmp_path / "r").as_posix() for path in (tmp_path / "r").rglob("*") if path.is_file()}
    names = {"accuracy.csv", "by_layer.csv", "images.csv", "config.yaml", "chosen.yaml", "figures/epsilon_curve.png"}
    assert {name for name in written if not name.startswith("blocks/")} == names | {"figures/epsilon_curve.svg"}
    first = (tmp_path / "r" / "accuracy.csv").read_bytes()
    code, again, err = program(*arguments)
    assert (code, again) == (0, out)
    assert "[6/6] evaluate digits on 10 images" in err, "everything was known"
    assert (tmp_path / "r" / "accuracy.csv").read_bytes() == first
    assert program("check", tmp_path / "r" / "config.yaml")[0] == 0


def test_sparsity_prints_a_column_a_threshold(program, tmp_path: Path) -> None:
    image = DIGITS / "images/3.png"
    code, out, _ = program("sparsity", DIGITS / "network.yaml", "--images", image, "--thresholds", "0,0.25", "--results", tmp_path / "r")
    assert code == 0
    header, *rows = [line.split() for line in out.splitlines() if line.strip() and "─" not in line][1:]
    assert header == ["of", "values", "0", "0.25"]
    assert [" ".join(row[:2]) for row in rows[:3]] == ["all parameters", "convolution weights", "convolution outputs"]
    assert (tmp_path / "r" / "maps.csv").is_file()
    code, _, err = program("sparsity", DIGITS / "network.yaml", "--thresholds", "x")
    assert code == 2
    assert "thresholds: 'x'" in err


def test_dynamic_reads_what_infer_wrote(program, tmp_path: Path) -> None:
    images = [argument for digit in (1, 2) for argument in ("--image", DIGITS / f"images/{digit}.png")]
    assert program("infer", DIGITS / "network.yaml", *images, "--out", tmp_path / "traces")[0] == 0
    edge = ROOT / "configs/accelerator/edge.yaml"
    code, out, _ = program("dynamic", tmp_path / "traces", "--accelerator", edge, "--results", tmp_path / "r")
    assert code == 0
    assert "zero channels on 2 images; static = on all of them" in out
    assert "static removed" in out
    assert (tmp_path / "r" / "totals.csv").is_file()
    (tmp_path / "traces" / "digits_1.npz").unlink()
    code, _, err = program("dynamic", tmp_path / "traces")
    assert code == 2
    assert "one image, 2" in err

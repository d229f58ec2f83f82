"""The paper's tables again: what must come out exactly, with the reference assets and without them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accelsim import plots, tracefile
from accelsim.errors import ConfigError
from accelsim.networks import published
from accelsim.paper import Regenerated, paperfile, regenerate
from accelsim.paper.paperfile import Paper

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "configs/paper/paper.yaml"
TOTALS = {
    "AlexNet": 781_736,
    "MobileNet": 9_255_048,
    "ResNet-50": 20_086_248,
    "SqueezeNet": 3_290_128,
    "TinyNet": 3_458_440,
    "VGG-16": 15_087_080,
}
"""Source: golden/authors/paper_anchors.csv; the paper prints thousands."""


def only(*networks: str, keep: tuple[str, ...] = ("trace", "network", "photographs", "archive")) -> Paper:
    """The shipped file with some of its networks, and of these some of their files."""
    asked = paperfile.load(PAPER)
    drop = {name: None for name in ("trace", "network", "photographs", "labelled", "archive") if name not in keep}
    return asked.model_copy(update={"networks": {name: asked.networks[name].model_copy(update=drop) for name in networks}})


def needs_compiled_kernels() -> None:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        pytest.skip("real networks take hours without compiled kernels: unset NUMBA_DISABLE_JIT")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Regenerated:
    """Everything that can be said without the reference assets."""
    with pytest.MonkeyPatch.context() as context:
        context.delenv("ACCELSIM_ASSETS", raising=False)
        return regenerate(PAPER, results=tmp_path_factory.mktemp("bare") / "r", headline=False)


def test_without_assets_the_totals_and_counts_of_the_traces_come_out(bare: Regenerated) -> None:
    table = bare.item("Table 4")
    outputs = table[(table["quantity"] == "outputs") & table["measured"].notna()]
    assert {row["network"]: round(1000 * row["measured"]) for row in outputs.to_dict("records")} == TOTALS
    assert set(outputs["agrees"]) == {"yes"}
    text = bare.item("Section 3.1").set_index(["network", "quantity"])
    for network, layers in (("MobileNet", 36), ("AlexNet", 3), ("SqueezeNet", 5)):
        row = text.loc[(network, "convolutions with a zero channel at epsilon 0")]
        assert (row["measured"], row["agrees"]) == (layers, "yes")
    reduction = text.xs("reduction at epsilon 0, convolutions", level="quantity")["measured"]
    np.testing.assert_allclose(reduction[["MobileNet", "AlexNet", "VGG-16"]], [7.805, 3.775, 0.192], atol=5e-4)


def test_figure_6_is_counted_and_its_mean_is_not_what_is_printed(bare: Regenerated) -> None:
    """Source of ours: the authors' own log of the dog: 5.57 % over 54 layers, 8.35 % over the 36 that have a zero channel."""
    rows = bare.item("Figure 6")
    means = rows[rows["unit"] == "%"]["measured"].to_list()
    np.testing.assert_allclose(means, [5.57, 8.35, 7.805], atol=5e-3)
    assert rows["agrees"].iloc[0] == "no"
    assert (rows["quantity"] == "Mbit without pruning").sum() == 54
    whole, pruned = (rows[rows["quantity"] == f"Mbit {way} pruning"]["measured"].to_numpy() for way in ("without", "with"))
    assert (pruned <= whole).all()
    assert 100 * (1 - pruned.sum() / whole.sum()) == pytest.approx(7.805, abs=5e-4)


def test_what_is_missing_says_why(bare: Regenerated) -> None:
    rows = bare.numbers
    missing = rows[(rows["printed"] != "") & rows["measured"].isna()]
    assert (missing["why"] != "").all()
    whys = missing.set_index(["item", "network"])["why"]
    assert whys["Table 1", "TinyNet"].str.contains("environment variable 'ACCELSIM_ASSETS' is not set").all()
    assert whys["Table 4", "SqueezeNet"].str.contains("ACCELSIM_ASSETS").all()
    assert whys["Table 3", "VGG-16"].str.contains("weights of VGG-16 are not at hand").all()
    assert whys["Section 3.1", "Caffe AlexNet"].str.contains("ACCELSIM_ASSETS is not set").all()


def test_everything_is_written(bare: Regenerated) -> None:
    names = {path.relative_to(bare.folder).as_posix() for path in bare.folder.rglob("*") if path.is_file()}
    tables = {f"{name}.csv" for name in ("paper", *(f"table_{number}" for number in range(1, 6)), "figure_4", "figure_6", "section_3_1")}
    assert names == tables | {"paper.md"} | {f"figures/figure_{number}.{end}" for number in (4, 6) for end in ("png", "svg")}
    page = (bare.folder / "paper.md").read_text("utf-8")
    assert "## Table 4" in page
    assert "![figure_6](figures/figure_6.png)" in page
    kept = pd.read_csv(
        bare.folder / "paper.csv", dtype={"printed": str, "at": str}, keep_default_na=False, na_values={"measured": [""], "deviation": [""]}
    )
    assert len(kept) == len(bare.numbers)
    assert repr(bare).startswith(f"Regenerated({len(kept)} numbers, results in ")


def test_parameters_come_out_as_tables_1_and_2_print_them(shared: Path, tmp_path: Path) -> None:
    """All 36 numbers of TinyNet to the digit; SqueezeNet v1.1 (weights stored as fp16) within 0.01 points."""
    found = regenerate(only("TinyNet", "SqueezeNet", keep=("network",)), results=tmp_path / "r", headline=False, figures=False)
    for item in ("Table 1", "Table 2"):
        rows = found.item(item)
        rows = rows[rows["measured"].notna()]
        tiny, squeeze = (rows[rows["network"] == network] for network in ("TinyNet", "SqueezeNet"))
        assert (len(tiny), len(squeeze)) == (9, 9)
        assert set(tiny["agrees"]) == {"yes"}
        assert (squeeze["measured"].round(2) - squeeze["printed"].astype(float)).abs().max() <= 0.01 + 1e-9


def test_photographs_come_out_as_table_4_prints_them(shared: Path, tmp_path: Path) -> None:
    needs_compiled_kernels()
    found = regenerate(only("TinyNet", "SqueezeNet"), results=tmp_path / "r", headline=False, figures=False)
    rows = found.item("Table 4")
    rows = rows[(rows["printed"] != "") & rows["measured"].notna()]
    best = rows[rows["quantity"].str.startswith("best probability")]
    assert best.groupby("network").size().to_dict() == {"SqueezeNet": 10, "TinyNet": 10}
    off = best.groupby("network")["deviation"].agg(lambda column: column.abs().max())
    assert off["SqueezeNet"] <= 0.15
    assert off["TinyNet"] <= 0.01
    saved = rows.set_index(["network", "quantity"])["measured"]
    assert saved["SqueezeNet", "saved at epsilon 0.1"] == pytest.approx(18.2838)
    assert saved["SqueezeNet", "saved at epsilon 0.1, of outputs"] == pytest.approx(0.5557, abs=5e-5)
    assert saved["TinyNet", "saved at epsilon 0.1"] == 0
    maps = found.item("Figure 4")
    assert set(maps[maps["data"] == "inference, 5 photographs"]["at"]) == {
        "0",
        "0.005",
        "0.01",
        "0.02",
        "0.04",
        "0.06",
        "0.08",
        "0.1",
        "0.2",
    }


def test_maps_of_others_give_what_the_text_says_of_caffe_alexnet(shared: Path, tmp_path: Path) -> None:
    """Source: golden/authors/paper_anchors.csv: 0.72 % of all outputs, 0.866 % of convolutions alone; the paper says 0.79 %."""
    found = regenerate(only("AlexNet", "Caffe AlexNet"), results=tmp_path / "r", headline=False, figures=False)
    rows = found.item("Section 3.1")
    rows = rows[(rows["network"] == "Caffe AlexNet") & (rows["quantity"] == "reduction at epsilon 0")]
    np.testing.assert_allclose(rows["measured"], [0.72, 0.866], atol=5e-4)


def test_the_counts_of_resnet_50_are_those_of_the_logs(shared: Path, tmp_path: Path) -> None:
    """The trace is made of its table again, and the table's cells are those of the reference table."""
    table = ROOT / "traces/drfmp_dog_eps0_resnet50.csv"
    stored, made = tracefile.load(ROOT / "traces/resnet50_dog_statistics.npz"), published.from_table(table, "resnet50")
    assert stored.graph == made.graph
    assert [fmap.zero_elements for fmap in stored.maps] == [fmap.zero_elements for fmap in made.maps]
    reference = [line for line in (shared / "golden/authors/drfmp_dog_eps0.csv").read_text().splitlines() if line.startswith("resnet50,")]
    assert [line for line in table.read_text().splitlines() if line.startswith("resnet50,")] == reference


def test_evaluations_are_kept_and_not_done_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from accelsim.evaluation import evaluate

    asked = only("TinyNet", keep=())
    digits = asked.networks["TinyNet"].model_copy(update={"labelled": ROOT / "configs/evaluate/digits.yaml"})
    asked = asked.model_copy(update={"networks": {"TinyNet": digits}})
    found = regenerate(asked, results=tmp_path / "r", headline=False)
    assert found.item("Table 3")["measured"].notna().sum() == 12, "top-1 and top-5 at six epsilons"
    assert (tmp_path / "r" / "figures" / "tables_3_and_5_TinyNet.png").is_file()
    monkeypatch.setattr(evaluate, "measure", lambda block: pytest.fail("measured again"))
    again = regenerate(asked, results=tmp_path / "r", headline=False)
    pd.testing.assert_frame_equal(found.numbers, again.numbers)


def test_the_paper_verb_prints_what_agrees(program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ACCELSIM_ASSETS", raising=False)
    code, out, _ = program("paper", PAPER, "--results", tmp_path / "r", "--no-headline", "--no-figures")
    assert code == 0
    assert "Table 1: all parameters within (%)" in out
    assert "TinyNet: 9 of its numbers not measured:" in out
    assert [line.split() for line in out.splitlines() if line.strip().startswith("Figure 6 ")][-1] == ["Figure", "6", "1", "1", "0"]
    assert program("check", PAPER)[0] == 0


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("paper.figure_6", "Mobile", "'Mobile' is no network of this file\n    allowed: AlexNet, MobileNet"),
        ("paper.printed", "none.csv", "no such file"),
        ("paper.headline.columns.shares", "[1.5]", "paper.headline.columns.shares.0"),
        ("paper.headline.images", "[]", "2 maps and 0 images"),
        ("paper.networks.VGG-16.trase", "x", "unknown key 'trase'"),
    ],
)
def test_faults_of_a_paper_file_are_told(key: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as fault:
        paperfile.load(PAPER, [f"{key}={value}"])
    assert message in str(fault.value)


def test_a_resolved_paper_file_is_the_same_again(tmp_path: Path) -> None:
    asked = paperfile.load(PAPER)
    (tmp_path / "again.yaml").write_text(paperfile.describe(asked), "utf-8")
    assert paperfile.describe(paperfile.load(tmp_path / "again.yaml")) == paperfile.describe(asked)


def test_figure_4_stacks_what_was_measured() -> None:
    rows = [("A", "0", 10.0), ("A", "0.1", 30.0), ("B", "0", 50.0)]
    table = pd.DataFrame(rows, columns=["network", "at", "measured"]).assign(data="x")
    figure = plots.paper_figure4(table)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["A", "B"]
    with pytest.raises(ConfigError, match="at least one network"):
        plots.paper_figure4(table.assign(measured=np.nan))

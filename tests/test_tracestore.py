"""Stores of traces: filled in any number of processes and after any interruption to the same bytes, read without opening every trace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import accelsim
from accelsim import imageset, inference, runfile, simulate, tracefile
from accelsim.errors import ConfigError, ModelError, TraceError
from accelsim.runfile import NetworkFile
from accelsim.studies import dynamic
from accelsim.tracestore import TraceStore, layout, shards, writing

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "configs/network/digits/network.yaml"
IMAGES = ROOT / "configs/network/digits/images"
COUNT = 10
BLOCK = 3

Program = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def network() -> NetworkFile:
    return runfile.load_network_file(DIGITS)


@pytest.fixture(scope="module")
def whole(network: NetworkFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store that nothing interrupted."""
    path = tmp_path_factory.mktemp("whole") / "store"
    imageset.infer(network, IMAGES, path, processes=1, block=BLOCK)
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A finished store that a test may spoil."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def contents(store: Path) -> dict[str, bytes]:
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_every_trace_is_the_one_that_its_image_gives_alone(whole: Path, network: NetworkFile) -> None:
    store = accelsim.TraceStore(whole)
    photographs = (inference.photograph(str(IMAGES / f"{image}.png"), network.preprocessing) for image in store.images)
    alone = inference.record(simulate.load_network(network), photographs)
    assert len(store) == COUNT
    assert [tracefile.digest(trace) for trace in store] == [tracefile.digest(trace) for trace in alone]
    assert tracefile.digest(store["3"]) == tracefile.digest(store[store.images.index("3")])


def test_filling_a_store_imports_neither_tables_nor_figures_nor_machines(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom accelsim import imageset, runfile\n"
        "imageset.infer(runfile.load_network_file(sys.argv[1]), sys.argv[2], sys.argv[3], processes=1, limit=2)\nprint(*sys.modules)"
    )
    command = [sys.executable, "-c", code, DIGITS, IMAGES, tmp_path / "store"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"pandas", "matplotlib", "simpy", "accelsim.simulate", "accelsim.report", "accelsim.schedule", "accelsim.hardware"}
    assert not heavy & set(done.stdout.split()), "each would cost every process of a set its time"


def test_statistics_are_those_of_the_traces_and_open_no_more_than_one(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = list(TraceStore(whole))
    opened: list[int] = []
    genuine = shards.trace
    monkeypatch.setattr(shards, "trace", lambda *place: opened.append(1) or genuine(*place))
    frame = TraceStore(whole).statistics()
    assert len(opened) == 1, "the graph is that of the first trace"
    for row, node in zip(frame.to_dict("records"), traces[0].graph.nodes, strict=True):
        flags = np.array([trace.maps[node.index].zero_channels for trace in traces])
        zeros = np.array([trace.maps[node.index].zero_elements for trace in traces])
        assert (row["layer"], row["kind"], row["channels"], row["traces"]) == (node.name, node.kind, node.shape[0], COUNT)
        channels = flags.sum(axis=1)
        assert row["zero_channels_mean"] == pytest.approx(channels.mean())
        assert row["zero_channels_deviation"] == pytest.approx(channels.std())
        assert (row["zero_channels_minimum"], row["zero_channels_maximum"]) == (channels.min(), channels.max())
        assert row["zero_percent"] == pytest.approx(100 * zeros.mean() / node.elements)
        assert (row["always_zero"], row["ever_zero"]) == (flags.all(axis=0).sum(), flags.any(axis=0).sum())
    assert frame["ever_zero"].sum() > 0


def test_the_table_has_a_row_an_image(whole: Path) -> None:
    store = TraceStore(whole)
    table = store.table()
    assert table["image"].tolist() == list(store.images)
    assert table["image_sha256"].tolist() == [trace.provenance["image_sha256"] for trace in store]
    assert table["zero_channels"].tolist() == [sum(int(fmap.zero_channels.sum()) for fmap in trace.maps) for trace in store]
    assert table["top5"].str.startswith(tuple("0123456789")).all()
    assert repr(store) == f"TraceStore({str(whole)!r}: 10 traces of digits, epsilon 0.0 (channel))"


def test_the_index_is_an_ordinary_parquet_table(whole: Path) -> None:
    frame = pd.read_parquet(whole / "index.parquet")
    assert frame["shard"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert frame["row"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


def test_processes_change_no_byte(network: NetworkFile, whole: Path, tmp_path: Path) -> None:
    imageset.infer(network, [IMAGES], tmp_path / "store", processes=2, block=BLOCK)
    assert contents(tmp_path / "store") == contents(whole)


def test_what_is_there_is_not_made_again_and_more_images_are_added(
    network: NetworkFile, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    genuine = imageset.record
    monkeypatch.setattr(imageset, "record", lambda block: made.extend(name for name, _ in block.images) or genuine(block))
    store = tmp_path / "store"
    first = imageset.infer(network, [IMAGES], store, processes=1, block=BLOCK, limit=4)
    assert (len(first), first.unfinished, made) == (4, 0, ["0", "1", "2", "3"])
    made.clear()
    imageset.infer(network, [IMAGES], store, processes=1, block=BLOCK, limit=4)
    assert made == []
    full = imageset.infer(network, [IMAGES], store, processes=1, block=BLOCK)
    assert made == ["4", "5", "6", "7", "8", "9"]
    assert [tracefile.digest(trace) for trace in full] == [tracefile.digest(trace) for trace in TraceStore(whole)]


SLOW = """
import sys, time
from pathlib import Path
from accelsim import imageset, runfile
from accelsim.tracestore import shards
genuine = shards.write
def slowly(path, recorded):
    def one_by_one():
        for one in recorded:
            yield one
            time.sleep(0.05)
    genuine(path, one_by_one())
shards.write = slowly
if __name__ == "__main__":
    network, images, store, block = sys.argv[1:]
    imageset.infer(runfile.load_network_file(network), [images], store, processes=1, block=int(block))
"""


def started(store: Path) -> subprocess.Popen[bytes]:
    """A process that fills a store slowly."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", SLOW, str(DIGITS), str(IMAGES), str(store), str(BLOCK)], env=environment)


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_fill_goes_on_to_the_same_bytes_and_another_writer_waits(network: NetworkFile, whole: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    child = started(store)
    try:
        wait_for(lambda: (store / "shards/000001.parquet").exists() and any(store.glob("shards/.*.partial")))
        with pytest.raises(ConfigError, match=r"store: another process writes this store\n    wait for it, or name another: --store"):
            imageset.infer(network, [IMAGES], store, processes=1, block=BLOCK)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not (store / "shards/000003.parquet").exists()
    assert any(store.glob("shards/.*.partial"))
    kept = (store / "shards/000000.parquet").stat().st_mtime_ns
    imageset.infer(network, [IMAGES], store, processes=1, block=BLOCK)
    assert (store / "shards/000000.parquet").stat().st_mtime_ns == kept
    assert contents(store) == contents(whole)


def test_an_unfinished_store_shows_what_it_has(network: NetworkFile, tmp_path: Path) -> None:
    store, names = tmp_path / "store", tuple(str(digit) for digit in range(COUNT))
    assert not isinstance(imageset.infer(network, [IMAGES], store, processes=1, block=BLOCK, limit=4), BaseException)
    with writing(store, layout.read_head(store).recipe, names, BLOCK) as writer:
        assert writer.todo == (2, 3)
    made = TraceStore(store)
    assert (len(made), made.unfinished) == (4, 6)
    assert repr(made).endswith("4 traces of digits, epsilon 0.0 (channel), 6 images not yet done)")
    with writing(tmp_path / "begun", {"epsilon": "0.0"}, names, BLOCK):
        pass
    begun = TraceStore(tmp_path / "begun")
    assert len(begun) == 0
    assert "no traces yet" in repr(begun)
    with pytest.raises(TraceError, match="holds no trace yet"):
        begun.statistics()


def test_an_image_that_fails_is_a_row_with_its_error(network: NetworkFile, tmp_path: Path, program: Program) -> None:
    folder = tmp_path / "images"
    shutil.copytree(IMAGES, folder / "good")
    (folder / "bad.png").write_bytes(b"no image")
    Image.new("L", (5, 5)).save(folder / "small.png")
    (folder / "notes.txt").write_text("passed over")
    (folder / ".hidden.png").write_bytes(b"passed over")
    store = imageset.infer(network, [folder], tmp_path / "store", processes=1)
    assert len(store) == COUNT
    assert store.images[0] == "good/0"
    assert sorted(store.failed) == ["bad", "small"]
    assert "not a JPEG, PNG" in store.failed["bad"]
    assert "takes an image of [1, 8, 8]" in store.failed["small"]
    assert store.table().shape[0] == COUNT
    with pytest.raises(TraceError, match=r"no trace of image 'bad'; it gave none: bad: not a JPEG"):
        store.load("bad")
    code, out, _ = program("trace", "show", tmp_path / "store")
    assert (code, "no trace of bad: " in out) == (0, True)
    with pytest.raises(ModelError, match=r"none of 1 images gave a trace, the first because of this:\nbad: not a JPEG"):
        imageset.infer(network, [folder / "bad.png"], tmp_path / "none", processes=1)
    assert not (tmp_path / "none").exists(), "what holds nothing is not left behind"


def test_archives_hold_many_images_and_other_arrays(network: NetworkFile, tmp_path: Path) -> None:
    pixels = np.stack([np.asarray(Image.open(IMAGES / f"{digit}.png").convert("L")) for digit in range(3)])
    np.savez(tmp_path / "some.npz", stack=pixels[..., None], labels=np.arange(3), one=pixels[1], planes=pixels)
    store = imageset.infer(network, [tmp_path / "some.npz"], tmp_path / "store", processes=1)
    assert store.images == ("stack_0", "stack_1", "stack_2", "one")
    hashes = store.table().set_index("image")["zero_elements"]
    assert hashes["one"] == hashes["stack_1"] != hashes["stack_2"]
    (tmp_path / "folder").mkdir()
    shutil.move(tmp_path / "some.npz", tmp_path / "folder/some.npz")
    assert [name for name, _ in imageset.named([tmp_path / "folder"])] == [f"some/{name}" for name in store.images]
    assert [name for name, _ in imageset.named([f"{tmp_path}/folder/some.npz:stack"])] == ["stack_0", "stack_1", "stack_2"]
    assert [name for name, _ in imageset.named([f"{tmp_path}/folder/some.npz:stack:2"])] == ["stack_2"]
    with pytest.raises(ModelError, match=r"'labels' is no array of images \(uint8 .*\)\. Allowed: stack, one"):
        list(imageset.named([f"{tmp_path}/folder/some.npz:labels"]))


def test_what_does_not_belong_into_a_store_is_refused(network: NetworkFile, copy: Path, tmp_path: Path) -> None:
    for change, fault in (
        ({"epsilon": 0.5}, "epsilon was '0.0', asked is '0.5'"),
        ({"mode": "part"}, "mode was 'channel', asked is 'part'"),
    ):
        with pytest.raises(ConfigError, match=f"its traces were made otherwise: {fault}\n    name another store: --store"):
            imageset.infer(network, [IMAGES], copy, processes=1, **change)
    images = Path(shutil.copytree(IMAGES, tmp_path / "images"))
    shutil.copy(images / "1.png", images / "2.png")
    with pytest.raises(TraceError, match=r"2\.png is another image than the one that its trace was made of\n    name another store"):
        imageset.infer(network, [images], copy, processes=1)
    with pytest.raises(ConfigError, match=r"images: holds other things than a store of traces\n    name a new folder"):
        imageset.infer(network, [IMAGES], images, processes=1)
    with pytest.raises(ConfigError, match=r"an image '1' is there already: .*1\.png\n    rename one of them, or use two stores"):
        imageset.infer(network, [IMAGES, images / "1.png"], tmp_path / "two", processes=1)
    with pytest.raises(ConfigError, match=r"mode 'chanel': .*Did you mean 'channel'\?"):
        imageset.infer(network, [IMAGES], tmp_path / "three", mode="chanel", processes=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty: holds no image\n    allowed: folders with JPEG"):
        imageset.infer(network, [tmp_path / "empty"], tmp_path / "four", processes=1)
    with pytest.raises(ConfigError, match=r"images/1\.png/store: cannot be written"):
        imageset.infer(network, [IMAGES], images / "1.png" / "store", processes=1)


def without_column(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["error"]), path, use_dictionary=False)


def with_rows(path: Path, **changed: list[object]) -> None:
    table = pq.read_table(path)
    for column, values in changed.items():
        position = table.schema.get_field_index(column)
        table = table.set_column(position, table.schema.field(column), pa.array(values, table.schema.field(column).type))
    pq.write_table(table, path, use_dictionary=False)


def many_values(path: Path) -> None:
    """A small file that says one layer's count more often than any network has layers."""
    table = pq.read_table(path).slice(0, 1)
    lists = pa.array([np.zeros(shards.MOST_VALUES + 1, np.int32)], pa.list_(pa.int32()))
    position = table.schema.get_field_index("zero_channels")
    pq.write_table(table.set_column(position, table.schema.field("zero_channels"), lists), path, use_dictionary=False, compression="zstd")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x55
    path.write_bytes(data)


def foreign_row(path: Path) -> None:
    """A shard whose second trace is that of another image."""
    rows = pq.read_table(path).to_pylist()
    rows[1] |= {column: rows[0][column] for column in shards.COLUMNS}
    with pq.ParquetWriter(path, shards.SCHEMA, use_dictionary=False) as writer:
        for row in rows:
            writer.write_table(pa.Table.from_pylist([row], shards.SCHEMA))


def read_all(path: Path) -> None:
    store = TraceStore(path)
    store.statistics()
    assert all(store)


@pytest.mark.parametrize(
    ("file", "spoil", "fault"),
    [
        ("store.json", lambda path: path.unlink(), r"copy: is no store of traces \(no store\.json\)"),
        ("store.json", cut, r"store\.json: cannot be read \("),
        ("store.json", lambda path: path.write_text("[" * 100_000), r"store\.json: cannot be read \("),
        ("store.json", lambda path: path.write_text('{"format": 9}'), r"store\.json: format 9, this version reads 1; update accelsim"),
        ("store.json", lambda path: path.write_text("[]"), r"store\.json: names no format: not a store of traces"),
        (
            "store.json",
            lambda path: path.write_text('{"format": 1, "recipe": {}, "blocks": [["a", "a"]]}'),
            r"recipe and blocks of image names are needed, each image once",
        ),
        (
            "store.json",
            lambda path: path.write_text('{"format": 1, "recipe": {"a": "\\u001b[2J"}, "blocks": []}'),
            r"recipe and blocks of image names are needed",
        ),
        ("index.parquet", cut, r"index\.parquet: cannot be read \("),
        ("index.parquet", lambda path: path.write_bytes(b""), r"index\.parquet: cannot be read \("),
        ("index.parquet", without_column, r"index\.parquet: has other columns than a trace store of this version"),
        ("index.parquet", lambda path: with_rows(path, shard=[7] * COUNT), r"image '0' in shard 7, row 0: not so in store\.json"),
        ("index.parquet", lambda path: with_rows(path, row=[0] * COUNT), r"image '1' in shard 0, row 0: not so in store\.json"),
        ("index.parquet", lambda path: with_rows(path, image=[None] * COUNT), r"image None in shard 0"),
        ("index.parquet", lambda path: with_rows(path, zero_channels=[[1]] * COUNT), r"zero_channels does not fit the graph of 7 nodes"),
        ("index.parquet", lambda path: with_rows(path, zero_channels=[[9**9] * 7] * COUNT), r"zero_channels does not fit the graph"),
        ("index.parquet", lambda path: with_rows(path, zero_elements=[[-1] * 7] * COUNT), r"zero_elements does not fit the graph"),
        (
            "index.parquet",
            lambda path: with_rows(path, zero_flags=[b"x"] * COUNT),
            r"zero_flags of another length than the graph's 17 bytes",
        ),
        (
            "index.parquet",
            lambda path: pq.write_table(pq.read_table(path), path),
            r"is coded in a way, or as long, as a trace store never is",
        ),
        ("index.parquet", many_values, r"is coded in a way, or as long, as a trace store never is"),
        ("shards/000000.parquet", cut, r"shards/000000\.parquet: cannot be read \("),
        ("shards/000000.parquet", flip, r"shards/000000\.parquet: "),
        ("shards/000000.parquet", lambda path: path.unlink(), r"shards/000000\.parquet: cannot be read \("),
        ("shards/000000.parquet", foreign_row, r"trace 1 is of image '0', the index says '1'"),
        (
            "shards/000000.parquet",
            lambda path: pq.write_table(pq.read_table(path), path, use_dictionary=False),
            r"trace 0: 3 rows, .* one row of a trace's size",
        ),
    ],
)
def test_a_damaged_store_is_refused_in_one_line(copy: Path, file: str, spoil: Callable[[Path], object], fault: str) -> None:
    spoil(copy / file)
    with pytest.raises(TraceError, match=fault) as caught:
        read_all(copy)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_damaged_shard_is_named_when_the_store_is_gone_on_with_and_made_again_once_removed(
    network: NetworkFile, whole: Path, copy: Path
) -> None:
    (copy / "index.parquet").unlink()
    cut(copy / "shards/000002.parquet")
    with pytest.raises(TraceError, match=r"000002\.parquet: cannot be read \(.*remove it, and give the command that made the store again"):
        imageset.infer(network, [IMAGES], copy, processes=1, block=BLOCK)
    (copy / "shards/000002.parquet").unlink()
    imageset.infer(network, [IMAGES], copy, processes=1, block=BLOCK)
    assert contents(copy) == contents(whole)


def test_a_store_splits_static_from_dynamic_as_its_traces_do(whole: Path) -> None:
    machine = simulate.load_accelerator(ROOT / "configs/accelerator/edge.yaml")
    (of_store,) = dynamic.analyse(whole, machine)
    (of_traces,) = dynamic.analyse(list(TraceStore(whole)), machine)
    pd.testing.assert_frame_equal(of_store.channels, of_traces.channels)
    pd.testing.assert_frame_equal(of_store.replays, of_traces.replays)
    pd.testing.assert_frame_equal(of_store.totals, of_traces.totals)


def test_without_a_machine_one_trace_of_a_store_is_opened(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    genuine = TraceStore.load
    monkeypatch.setattr(TraceStore, "load", lambda self, image: opened.append(image) or genuine(self, image))
    dynamic.analyse(whole)
    assert set(opened) == {"0"}


RUN = """\
run:
  name: stored
  accelerator: {machine}
  jobs: [{{traces: {store}, images: {images}{more}}}]
"""


def test_a_run_replays_images_of_a_store(whole: Path, tmp_path: Path, program: Program) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(RUN.format(machine=ROOT / "configs/accelerator/edge.yaml", store=whole, images="['[3-6]', '9']", more=", limit: 3"))
    outcome = simulate.run(file, results=tmp_path / "results", figures=False)
    assert [comparison.image for comparison in outcome.comparisons] == ["3", "4", "5"]
    assert runfile.load_run(tmp_path / "results/config.yaml").jobs == runfile.load_run(file).jobs
    for change, fault in (
        ({"store": tmp_path, "images": "['*']"}, f"run.yaml:4:19: run.jobs.0.traces: no store of traces: {tmp_path}"),
        ({"store": whole, "images": "[cat]"}, "no image fits 'cat'"),
    ):
        file.write_text(RUN.format(machine=ROOT / "configs/accelerator/edge.yaml", more="", **change))
        code, _, told = program("run", file, "--results", tmp_path / "none")
        assert code == 2
        assert fault in told


def test_the_verbs_fill_show_split_and_take_out(tmp_path: Path, whole: Path, program: Program) -> None:
    store = tmp_path / "store"
    code, out, told = program("infer", DIGITS, "--images", IMAGES, "--store", store, "--processes", "1")
    assert (code, out) == (0, f"TraceStore({str(store)!r}: 10 traces of digits, epsilon 0.0 (channel))\n")
    assert "infer digits on 10 images" in told
    assert program("check", store)[1] == out
    code, out, _ = program("trace", "show", store)
    assert code == 0
    assert "003_convolutional" in out
    assert "preprocessing: " in out
    assert "image_sha256" in program("trace", "show", store, "--image", "4")[1]
    assert "static = on all of them" in program("dynamic", store)[1]
    code, out, _ = program("trace", "extract", store, "[45]", "--out", tmp_path / "out")
    assert (code, out.splitlines()) == (0, [str(tmp_path / f"out/digits_{digit}.npz") for digit in (4, 5)])
    assert tracefile.digest(tracefile.load(tmp_path / "out/digits_4.npz")) == tracefile.digest(TraceStore(whole)["4"])
    code, _, told = program("trace", "show", tmp_path)
    assert (code, "is no store of traces (no store.json)" in told) == (2, True)
    code, _, told = program("infer", DIGITS, "--store", store)
    assert (code, "a network file names no images\n    give some: --images FOLDER" in told) == (2, True)


def test_a_run_file_of_one_network_fills_a_store(tmp_path: Path, program: Program) -> None:
    file = tmp_path / "run.yaml"
    job = f"{{network: {DIGITS}, images: [{IMAGES}/*.png], epsilon: 0.1, mode: part}}"
    text = "run:\n  name: two\n  accelerator: {machine}\n  jobs: [{jobs}]\n"
    file.write_text(text.format(machine=ROOT / "configs/accelerator/edge.yaml", jobs=job))
    store = imageset.infer_file(file, tmp_path / "store", processes=1, limit=2)
    assert repr(store).endswith("2 traces of digits, epsilon 0.1 (part))")
    assert store[0].epsilon == 0.1
    file.write_text(text.format(machine=ROOT / "configs/accelerator/edge.yaml", jobs=f"{job}, {job}"))
    code, _, told = program("infer", file, "--store", tmp_path / "other")
    assert (code, "2 jobs run networks on images, a store holds one\n    give a network file for each" in told) == (2, True)

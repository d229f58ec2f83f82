"""A sweep whose axes decide the data: the digits network under epsilons and shares of pruned weights, judged on its ten images."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine_samples import SMALL_MACHINE
from sweep_samples import swept

from accelsim.errors import ConfigError

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "configs/network/digits"
SPARSITY = "network.prune.sparsity"
LABELS = f"{{images: {{table: {ROOT}/configs/evaluate/digits_labels.csv, folder: {DIGITS}/images, label_column: digit}}}}"
DATA_SWEEP = f"""\
sweep:
  name: judged
  accelerator: small.yaml
  schemes: [channel_marker]
  axes:
    epsilon: [0, 0.2, 0.5]
    {SPARSITY}: [0, 0.8]
    accelerator.link.bytes_per_cycle: [4, 16]
  accuracy: {LABELS}
  jobs:
    - network: {DIGITS}/network.yaml
      images: ['{DIGITS}/images/[35].png']
  processes: 1
  results: out
"""


def furnish_data(folder: Path) -> None:
    """Write the machine and the sweep."""
    (folder / "small.yaml").write_text(SMALL_MACHINE)
    (folder / "sweep.yaml").write_text(DATA_SWEEP)


def write(*changes: tuple[str, str]) -> None:
    """Write the sweep with texts in place of others."""
    text = DATA_SWEEP
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path("sweep.yaml").write_text(text)


def refusal(*changes: tuple[str, str]) -> str:
    """Why the sweep with these changes is refused; nothing is written then."""
    write(*changes)
    with pytest.raises(ConfigError) as raised:
        swept()
    assert not Path("out/sweep.csv").exists()
    return str(raised.value)

"""What a replay cost: results, comparisons, the files that hold them and the tables that show them."""

from accelsim.report.comparison import Comparison
from accelsim.report.counting import PaperCount, saved_elements
from accelsim.report.result import COLUMNS, LayerRow, Result
from accelsim.report.terminal import layer_table, notes, tables, totals_table
from accelsim.report.writer import (
    contents,
    peak_rates,
    read_bandwidth,
    read_layers,
    read_peaks,
    require_writable,
    summary,
    version,
    write,
    write_files,
)

__all__ = [
    "COLUMNS",
    "Comparison",
    "LayerRow",
    "PaperCount",
    "Result",
    "contents",
    "layer_table",
    "notes",
    "peak_rates",
    "read_bandwidth",
    "read_layers",
    "read_peaks",
    "require_writable",
    "saved_elements",
    "summary",
    "tables",
    "totals_table",
    "version",
    "write",
    "write_files",
]

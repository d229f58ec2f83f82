"""Algorithm 1: which channels, parts and elements of a map are zero, in one walk over it; and their overwriting with zeros.

Magnitudes are compared as the integers that their bits spell: for |x| the order is the same, NaN lies above infinity and so is never
within epsilon, -0.0 is 0, and integer maxima may be taken in any order, which lets them be found many at a time, exactly.
Source:  Liang et al., arXiv 1812.09922, Algorithm 1, read as in schemes.md 2.4 (abs(v) <= epsilon, AND over a part, ragged grid)
"""

from __future__ import annotations

from accelsim.kernels.marks.channels import MAGNITUDE, channel_marks, clear_elements, clear_parts, live_channels, live_parts
from accelsim.kernels.marks.maps import measure, part_maxima

__all__ = ["MAGNITUDE", "channel_marks", "clear_elements", "clear_parts", "live_channels", "live_parts", "measure", "part_maxima"]

"""The paper again (Liang et al., arXiv 1812.09922), and the headline numbers of other works: each beside what is measured here."""

from accelsim.paper.headline import headline
from accelsim.paper.regenerate import Regenerated, regenerate
from accelsim.paper.show import terminal_tables

__all__ = ["Regenerated", "headline", "regenerate", "terminal_tables"]

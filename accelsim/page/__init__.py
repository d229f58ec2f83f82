"""One self-contained HTML page for a results folder: what was asked, the headline, sortable tables, figures, where it all comes from.

The page holds everything inline and forbids itself any fetch, so it opens from disk, in a mail or in an archive, years later.
"""

from accelsim.page.folder import add, of_folder
from accelsim.page.render import NAME

__all__ = ["NAME", "add", "of_folder"]

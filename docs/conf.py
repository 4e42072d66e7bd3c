"""How the documentation is built: ``python -m sphinx -W docs build/docs``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from edgeprune.report import environment

project = "edgeprune"
copyright = "the edgeprune authors, Apache-2.0"  # noqa: A001 - Sphinx's name
release = environment.version()

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "from_code",
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["**/generated/*"]
smartquotes = False  # would make dashes of flags' hyphens
suppress_warnings = ["myst.header"]  # a page may leave out a level of headings

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"edgeprune {release}"
html_show_sphinx = False
html_copy_source = False

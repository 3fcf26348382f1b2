"""The documentation site: Markdown pages, executed tutorials, a reference made from the sources.

`make docs` builds it; warnings are errors, and nothing is fetched from the network, neither when it
is built nor when it is read.
"""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

import notebooks  # noqa: E402

import dbp  # noqa: E402

project = "dbp"
author = "The dbp developers"
copyright = "The dbp developers. Apache-2.0"
version = release = dbp.__version__
language = "en_GB"

extensions = ["myst_nb", "sphinx.ext.autodoc", "notebooks", "reference", "offline"]
exclude_patterns = ["_build", "_ext", "**/.ipynb_checkpoints"]

# Markdown: links to headings by their text, as on GitHub; definition lists and figures.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_links_external_new_tab = False

# Tutorials run with this interpreter, in an empty folder; an error in a cell ends the build. What
# they put out is kept until they or the package change.
nb_execution_mode = "cache"
nb_execution_cache_path = str(notebooks.cache_folder(DOCS))
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = notebooks.LONGEST_S
nb_merge_streams = True
# No widgets: their script would come from the network.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A name in single backticks of a docstring is code, and a reference where the site has that name.
default_role = "py:obj"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
maximum_signature_line_length = 72

html_theme = "furo"
html_title = f"dbp {release}"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["dbp.css"]
html_theme_options = {"navigation_with_keys": True}

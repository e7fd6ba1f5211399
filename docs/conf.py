"""Settings of the guide as a site, built by `nox -s docs`: the Markdown files of this folder and of the root."""

import sys
from importlib.metadata import version as find_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "dlmi-bench"
project_copyright = "The dlmi-bench authors"
release = version = find_version("dlmi-bench")

# The root of the repository is the source, so that the same links work here and where the files are read as they are.
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md"]
root_doc = "docs/index"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
nitpicky = False

html_theme = "furo"
html_title = "dlmi-bench"
html_copy_source = html_show_sourcelink = False
html_show_search_summary = False  # it asks for pages, which a browser refuses where the site is a folder of files
# No page loads anything from another address: the fonts are those of the reader's system.
html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": True}

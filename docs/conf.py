"""The site: `make docs` builds it, warnings are errors. Pages are Markdown; examples/ is run, into a gallery."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "site")]

from sphinx_gallery.sorting import FileNameSortKey  # noqa: E402

import ltbv  # noqa: E402

project, author = "ltbv", "the ltbv developers"
project_copyright = "the ltbv developers, MIT licence"
version = release = ltbv.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "columns",
    "catalogue",
    "events",
    "outside",
]
exclude_patterns = [
    "site",
    "examples",
    "paper",
    "_build",
    "gallery/*.ipynb",
    "gallery/*.py",
    "sg_execution_times*",
    "gallery/sg_*",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
default_role = "code"
smartquotes = False
highlight_language = "text"
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
viewcode_line_numbers = True

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": FileNameSortKey,
    "abort_on_example_error": True,
    "show_memory": False,
    "min_reported_time": 1,
    "download_all_examples": False,
    "remove_config_comments": True,
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "reset_modules": ("matplotlib",),
    "capture_repr": ("_repr_html_", "__repr__"),
    "copyfile_regex": "",
}

html_theme = "pydata_sphinx_theme"
html_title = f"ltbv {version}"
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "ltbv"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "tutorial/index": []}

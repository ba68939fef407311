"""Sphinx configuration: `make docs` writes the site to build/docs. Pages are Markdown that a forge shows as well."""

import chipmeter

project = "chipmeter"
author = "the chipmeter developers"
version = release = chipmeter.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_templates"]
templates_path = ["_templates"]
default_role = "code"  # a word in single backquotes is code, in docstrings as in Markdown

myst_heading_anchors = 3  # links to headings, as a forge makes them

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "signature"
autodoc_member_order = "alphabetical"
# what a reader may not have; the pages are the same without them
autodoc_mock_imports = ["torch", "dask", "distributed", "plotly", "jinja2", "tokenizers", "pytest"]
numpydoc_show_class_members = False
# an annotation such as `bytes` is also the name of fields: Sphinx then cannot choose, and need not
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"chipmeter {version}"
html_copy_source = False
html_show_copyright = False


def setup(app):
    """Drop the empty line before a closing fence, which doctest needs and readers do not."""
    app.connect(
        "source-read", lambda app, name, source: source.__setitem__(0, source[0].replace("\n\n```\n", "\n```\n"))
    )

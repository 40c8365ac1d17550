"""Sphinx settings: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import fastbp

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "fastbp"
version = release = fastbp.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "command_help",
]
exclude_patterns = ["_build", "guides_gallery"]
templates_path = ["_templates"]
smartquotes = False  # f'(z) is an equation
myst_heading_anchors = 2  # so that a guide can link to a section of another
default_role = "py:obj"  # `fastbp.train` in a docstring is a link, `X` is not and need not be

autosummary_filename_map = {
    "fastbp.graph.Check": "fastbp.graph.Check_"
}  # on some file systems the same name as fastbp.graph.check
autodoc_typehints = "none"  # docstrings say more than annotations: shapes and units
numpydoc_show_class_members = False  # the page of a class documents them in full

sphinx_gallery_conf = {
    "examples_dirs": ["../fastbp/demos", "guides_gallery"],
    "gallery_dirs": ["gallery", "howto"],
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"(__init__|runner)\.py$",
    "within_subsection_order": "gallery.order",
    "image_scrapers": ("gallery.pictures", "matplotlib"),
    "capture_repr": (),  # scripts print their results
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "thumbnail_size": (320, 224),
    "write_computation_times": False,
    "show_signature": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "fastbp"
html_favicon = html_logo = "_static/icon.svg"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_domain_indices = False
html_copy_source = html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark, like the reader's system
html_sidebars = {"*": []}  # guides have no subpages
html_theme_options = {
    "logo": {"text": "fastbp"},
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 8,
    "footer_start": [],
    "footer_end": [],
    "show_toc_level": 2,
}


def _hide_signature(app: Sphinx, what: str, name: str, obj: Any, *_: Any) -> tuple[str, None] | None:
    """Hide the signature of classes that only fastbp creates."""
    return ("", None) if what == "class" and dataclasses.is_dataclass(obj) else None


def setup(app: Sphinx) -> None:
    """Connect what the settings above cannot express."""
    app.connect("autodoc-process-signature", _hide_signature)

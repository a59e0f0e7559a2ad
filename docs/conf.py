"""Sphinx configuration."""

from __future__ import annotations

import espnet3

project = "espnet3"
author = "The espnet3 developers"
release = espnet3.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
napoleon_use_ivar = True
autodoc_typehints = "description"
autodoc_member_order = "bysource"
html_theme = "furo"
html_title = "espnet3"

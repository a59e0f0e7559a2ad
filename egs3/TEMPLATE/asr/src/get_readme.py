"""The cards that `pack_model` and `pack_demo` fill by default."""

from __future__ import annotations


def get_readme() -> str:
    """Return the template; a recipe's `pack_model.readme_template` replaces it."""
    from espnet3.publication.model_card import built_in_template

    return built_in_template()


def get_demo_readme() -> str:
    """Return the template of a demo; a recipe's `pack.readme_template` replaces it."""
    from espnet3.publication.model_card import built_in_template

    return built_in_template("demo_readme.md")

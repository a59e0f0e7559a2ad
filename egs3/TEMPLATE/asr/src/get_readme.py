"""The model card that `pack_model` fills by default."""

from __future__ import annotations


def get_readme() -> str:
    """Return the template; a recipe's `pack_model.readme_template` replaces it."""
    from espnet3.publication.model_card import built_in_template

    return built_in_template()

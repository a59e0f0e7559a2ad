"""The README of a bundle: a template and its values."""

from __future__ import annotations

import importlib.resources
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from espnet3.errors import ConfigError
from espnet3.publication.bundle import dump_yaml
from espnet3.publication.scores import Scores, by_test_set

DEFAULT_TEMPLATE = "readme.md"
PIPELINE_TAGS = {
    "asr": "automatic-speech-recognition",
    "tts": "text-to-speech",
    "enh": "audio-to-audio",
}


def built_in_template(name: str = DEFAULT_TEMPLATE) -> str:
    """Return a template that comes with the package."""
    folder = importlib.resources.files("espnet3.publication") / "templates"
    return (folder / name).read_text(encoding="utf-8")


def find_template(template: Path | None, recipe_root: Path | None) -> str:
    """Return the text of a model card template.

    Args:
        template: Path as configured; ``None`` is the built-in one. A relative path is looked up in
            the recipe, the working directory and the package's own templates.
        recipe_root: Recipe directory.

    Raises:
        FileNotFoundError: If there is no such template.
    """
    if template is None:
        return built_in_template()
    bases = [base for base in (recipe_root, Path.cwd()) if base is not None]
    for candidate in [template] if template.is_absolute() else [base / template for base in bases]:
        if candidate.is_file():
            return candidate.read_text(encoding="utf-8")
    try:
        return built_in_template(template.name)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"publication_config.pack_model.readme_template: {template} does not exist"
        ) from None


def render(template: str, values: Mapping[str, Any]) -> str:
    r"""Fill a template.

    ``$name`` and ``${name}`` are replaced in one pass, so values are never expanded again; ``$$``
    is a dollar sign. A line with a ``${name}`` that has no value is dropped; an unknown ``$name``
    stays.

    Example:
        >>> render("by ${creator}\n$$5 for $name", {"creator": None, "name": "it"})
        '$5 for it'
    """
    texts = {name: "" if value is None else str(value) for name, value in values.items()}
    kept = [line for line in template.splitlines(keepends=True) if not _lacks_value(line, texts)]
    text = string.Template("".join(kept)).safe_substitute(texts)
    return text.rstrip("\n") + "\n" if template.endswith("\n") else text


def _lacks_value(line: str, texts: Mapping[str, str]) -> bool:
    names = (match.group("braced") for match in string.Template.pattern.finditer(line))
    return any(name is not None and not texts.get(name) for name in names)


def front_matter(values: Mapping[str, Any], scores: Scores) -> str:
    """Return the metadata block that the Hub reads, written by a YAML dumper."""
    task = values.get("task")
    pipeline = values.get("pipeline_tag") or PIPELINE_TAGS.get(str(task))
    tags = ["espnet", "espnet3", "audio", *([str(pipeline)] if pipeline else [])]
    content: dict[str, Any] = {"library_name": "espnet", "tags": tags}
    optional = {
        "pipeline_tag": pipeline,
        "license": values.get("license"),
        "language": values.get("lang"),
        "datasets": values.get("datasets"),
        "base_model": values.get("base_model"),
        "model-index": _model_index(values, pipeline, scores),
    }
    content |= {name: value for name, value in optional.items() if value}
    return f"---\n{dump_yaml(content)}---"


def _model_index(
    values: Mapping[str, Any], pipeline: str | None, scores: Scores
) -> list[dict[str, Any]]:
    results = [
        {
            "task": {"type": pipeline or "audio-to-audio"},
            "dataset": {"name": test, "type": test},
            "metrics": [
                {"type": column.lower(), "name": column, "value": value}
                for column, value in sorted(columns.items())
                if isinstance(value, int | float)
            ],
        }
        for test, columns in by_test_set(scores).items()
    ]
    results = [result for result in results if result["metrics"]]
    return [{"name": str(values["title"]), "results": results}] if results else []


def check_front_matter(card: str) -> None:
    """Raise unless the metadata block of a card, if it has one, is a YAML mapping.

    Raises:
        ConfigError: If the Hub could not read the block.
    """
    if not card.startswith("---\n"):
        return
    block = card[4:].partition("\n---")[0]
    try:
        content = yaml.safe_load(block)
    except yaml.YAMLError as error:
        raise ConfigError(f"the front matter of README.md is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError("the front matter of README.md is not a YAML mapping")

"""The README of a bundle: a template and its values."""

from __future__ import annotations

import importlib.resources
import re
import string
from collections.abc import Callable, Mapping
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


def read_card(path: Path, *, key: str | None = None) -> str:
    """Return the text of a model card, or of another text for people.

    Args:
        path: The file.
        key: Setting that names it, for the message.

    Raises:
        ConfigError: If it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"is not UTF-8 text ({error})", key=key, file=path, hint="save it as UTF-8"
        ) from error


def find_template(template: Path | None, recipe_root: Path | None) -> str:
    """Return the text of a model card template.

    Args:
        template: Path as configured; ``None`` is the built-in one. A relative path is looked up in
            the recipe, the working directory and the package's own templates.
        recipe_root: Recipe directory.

    Raises:
        FileNotFoundError: If there is no such template.
        ConfigError: If it is not UTF-8.
    """
    if template is None:
        return built_in_template()
    bases = [base for base in (recipe_root, Path.cwd()) if base is not None]
    for candidate in [template] if template.is_absolute() else [base / template for base in bases]:
        if candidate.is_file():
            return read_card(candidate)
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
    """Raise unless the Hub can read the metadata block of a card, if the card has one.

    Raises:
        ConfigError: If the block is no YAML mapping, or one of its fields has a form that the Hub
            refuses.
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
    for key, (is_valid, expected) in _FIELD_RULES.items():
        if key in content and not is_valid(content[key]):
            raise _card_error(key, content[key], expected)
    if content.get("license") == "other" and not content.get("license_name"):
        raise _card_error("license", "other", "license_name, and license_link, beside it")


def _card_error(key: str, value: Any, expected: str) -> ConfigError:
    return ConfigError(
        "cannot be read by the Hub",
        key=key,
        file="README.md",
        value=value,
        hint=f"expected: {expected}; set it in publication_config.pack_model.readme_context",
    )


def _is_license(value: Any) -> bool:
    return value in _LICENSES


def _is_language(value: Any) -> bool:
    codes = value if isinstance(value, list) else [value]
    return all(isinstance(code, str) and _LANGUAGE.fullmatch(code) for code in codes)


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_model_index(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return all(
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("results"), list)
        and all(_is_result(result) for result in entry["results"])
        for entry in value
    )


def _is_result(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("metrics"), list):
        return False
    has_metrics = all(
        isinstance(metric, dict) and "type" in metric and "value" in metric
        for metric in value["metrics"]
    )
    places = (value.get("task"), value.get("dataset"))
    return has_metrics and all(isinstance(place, dict) and "type" in place for place in places)


_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|multilingual|code")
_LICENSES = frozenset(
    {
        "afl-3.0", "agpl-3.0", "apache-2.0", "apple-amlr", "apple-ascl", "artistic-2.0",
        "bigcode-openrail-m", "bigscience-bloom-rail-1.0", "bigscience-openrail-m", "bsd",
        "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc",
        "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
        "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
        "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0",
        "creativeml-openrail-m", "deepfloyd-if-license", "ecl-2.0", "epl-1.0", "epl-2.0",
        "etalab-2.0", "eupl-1.1", "eupl-1.2", "fair-noncommercial-research-license", "gemma",
        "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "h-research", "intel-research", "isc", "lgpl",
        "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "llama2", "llama3", "llama3.1", "llama3.2",
        "llama3.3", "llama4", "lppl-1.3c", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by",
        "ofl-1.1", "open-mdw", "openrail", "openrail++", "osl-3.0", "other", "pddl",
        "postgresql", "unknown", "unlicense", "wtfpl", "zlib",
    }
)  # fmt: skip
"""Names of licences that the Hub knows."""
_FIELD_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "license": (_is_license, "a licence that the Hub knows, such as cc-by-4.0, or other"),
    "language": (_is_language, "language codes such as en"),
    "tags": (_is_list_of_text, "a list of texts"),
    "model-index": (_is_model_index, "entries with name and results, as pack_model writes them"),
}

"""Inspect the files of a bundle that nobody vouches for, before anything reads them for real."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from omegaconf.errors import GrammarParseError
from omegaconf.grammar.gen.OmegaConfGrammarParser import OmegaConfGrammarParser
from omegaconf.grammar_parser import parse

from espnet3.errors import UnsafeCheckpointError, UntrustedCodeError
from espnet3.publication import espnet2_backends, espnet2_parts
from espnet3.publication.array_files import check_honest, holds_objects
from espnet3.publication.bundle import is_member
from espnet3.publication.call_cost import describe_excess
from espnet3.publication.file_kinds import require_small
from espnet3.publication.limited_yaml import read_yaml
from espnet3.publication.path_rewrite import absolute, is_path_key
from espnet3.publication.yaml_links import expand_references, iter_default_entries, iter_strings
from espnet3.utils.config_layers import include_folder
from espnet3.utils.path_utils import is_file

SAFE_RESOLVERS = frozenset(
    {"self_name", "oc.select", "oc.decode", "oc.dict.keys", "oc.dict.values"}
)
"""Resolvers that see nothing but the configuration itself."""
FILE_RESOLVERS = frozenset({"load_line", "load_yaml"})

_PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".joblib", ".dill"})
_YAML_SUFFIXES = frozenset({".yaml", ".yml"})
_READ_SECTIONS = frozenset({"model", "tokenizer"})
"""What loading reads of a training config; other sections may name files of any size."""
_SHOWN = 200
_SYMBOL_KEY = re.compile(r"(^|\.)token_list\[\d+\]$")


class BundleInspector:
    """Checks the configs of one bundle, and every file that they name.

    Args:
        root: Folder of the bundle.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: set[Path] = set()
        self._measured: set[Path] = set()

    def check_config(self, path: Path) -> None:
        """Check a YAML file and the files that it includes or names.

        Raises:
            UntrustedCodeError: If it reads the environment or a file outside of the bundle, or
                names a file that only pickle can read.
            ConfigError: If it exceeds the limits of :mod:`espnet3.publication.limited_yaml`.
        """
        if path.resolve() in self._seen:
            return
        self._seen.add(path.resolve())
        document = read_yaml(path)
        if not isinstance(document, Mapping):
            return
        section = document.get("model")
        # ESPnet2 has the parts of a model at the top level.
        is_nested = isinstance(section, Mapping)
        self._check_settings({"model": section} if is_nested else document, path)
        for name in iter_default_entries(document):
            self._check_linked(include_folder(path) / name, path, "defaults")
        for key, text in iter_strings(document):
            self._check_interpolations(text, key, path, document)
            self._check_path(text, key, path, document)
            if not is_nested or key.partition(".")[0] in _READ_SECTIONS:
                self._check_amount(self._expand(text, document), key, path)

    def check_model(self, model: Any) -> None:
        """Check the resolved ``model`` section, whose values reach constructors.

        Raises:
            UntrustedCodeError: If a value leads out of the bundle, or construction is put off.
        """
        file = self._root / "conf" / "inference.yaml"
        self._check_settings({"model": model}, file)
        for key, text in iter_strings(model, "model"):
            if "${" in text:
                raise self._refusal(text, key, file, "still holds an interpolation")
            if "://" in text:
                raise self._refusal(text, key, file, "is an address outside of the bundle")
            self._check_path(text, key, file, {}, is_argument=True)
            self._check_amount(text, key, file)
        self.check_backend(model, file)

    def check_backend(self, model: Any, file: Path) -> None:
        """Check what a class of ESPnet2 is given, and the training configs that it will read.

        Args:
            model: Its ``_target_`` and arguments; those of other classes are not looked at.
            file: Where they were read, for messages.

        Raises:
            UntrustedCodeError: If it asks for what :mod:`espnet3.publication.espnet2_backends` and
                :mod:`~espnet3.publication.espnet2_parts` do not list.
        """
        backend = espnet2_backends.find_backend(model)
        if backend is None:
            return
        for key, value, reason in espnet2_backends.argument_faults(backend, model):
            raise self._refusal(str(value), key, file, reason)
        for name, task in backend.configs.items():
            if model.get(name):
                path = absolute(Path(model[name]), self._root)
                document = read_yaml(path) if is_file(path) else None
                if not isinstance(document, Mapping):
                    reason = "is not a training config in the bundle"
                    raise self._refusal(str(model[name]), f"model.{name}", file, reason)
                self._check_training(document, path, task)

    def _check_training(self, document: Mapping[str, Any], path: Path, task: str) -> None:
        for key, value, reason in espnet2_parts.part_faults(document, task):
            raise self._refusal(str(value), key, path, reason)
        for key, text in espnet2_parts.used_texts(document, task):
            if "://" in text:
                raise self._refusal(text, key, path, "is an address outside of the bundle")
            self._check_path(text, key, path, document, is_argument=True)

    def _check_interpolations(
        self, text: str, key: str, file: Path, document: Mapping[str, Any]
    ) -> None:
        if "${" not in text:
            return
        # An escaped interpolation would come alive in the next round of resolution.
        if "\\$" in text:
            raise self._refusal(text, key, file, "holds an escaped interpolation")
        for name, arguments in _resolver_calls(text):
            if name in FILE_RESOLVERS and arguments:
                argument = self._expand(arguments[0].strip("'\" "), document)
                if "$" in argument:
                    raise self._refusal(text, key, file, "names a file that cannot be checked")
                self._check_linked(include_folder(file) / argument, file, key)
            elif name not in SAFE_RESOLVERS or "$" in "".join(arguments):
                raise self._refusal(text, key, file, f"uses the resolver {name!r}")

    def _check_settings(self, document: Mapping[str, Any], file: Path) -> None:
        """Refuse what makes a harmless class do something that nobody checks."""
        for key, value in _iter_settings(document):
            name = key.rpartition(".")[2]
            excess = describe_excess(name, value)
            reason = espnet2_parts.REFUSED_KEYS.get(name, excess) if value else None
            if isinstance(value, str) and name in espnet2_parts.PART_KEYS:
                reason = espnet2_parts.REFUSED_PARTS.get(value, reason)
            if reason is not None:
                raise self._refusal(str(value), key, file, reason)

    def _check_linked(self, path: Path, file: Path, key: str) -> None:
        if not is_member(path, self._root):
            raise self._refusal(str(path), key, file, "lies outside of the bundle")
        if path.suffix in _YAML_SUFFIXES and path.is_file():
            self.check_config(path)
        self._check_amount(str(path), key, file)

    def _check_amount(self, text: str, key: str, file: Path) -> None:
        """Refuse a large file that is read as a whole, by itself or in a folder that is named."""
        place, root = absolute(text, self._root), absolute(self._root)
        if _SYMBOL_KEY.search(key) or root not in place.parents or not _exists(place):
            return
        is_word = "/" not in text and not is_path_key(key.rpartition(".")[2])
        if place in self._measured:
            return
        if not is_word:
            self._measured.add(place)
        for entry in [place] if is_word else [place, *place.rglob("*")]:
            if not is_member(entry, self._root):
                raise self._refusal(text, key, file, "holds a link that leaves the bundle")
            if entry.is_file():
                require_small(entry)

    def _check_path(
        self,
        text: str,
        key: str,
        file: Path,
        document: Mapping[str, Any],
        *,
        is_argument: bool = False,
    ) -> None:
        # Inside a list of symbols "/" and ".." are symbols.
        if not text or _SYMBOL_KEY.search(key):
            return
        expanded = self._expand(text, document)
        if "${" in expanded or "\0" in expanded:
            return
        place = Path(self._root, Path(expanded).expanduser())
        path = absolute(place)
        leaves = expanded.startswith(("/", "~")) or ".." in place.parts
        # Behind a link ".." means something else than in the name.
        if leaves and not (is_member(path, self._root) and place.resolve() == path.resolve()):
            if is_argument or is_path_key(key.rpartition(".")[2]) or _exists(path):
                raise self._refusal(text, key, file, "lies outside of the bundle")
            return
        if is_argument and not _exists(path) and self._is_found_here(expanded, key):
            raise self._refusal(text, key, file, "names a file outside of the bundle")
        if is_file(path):
            self._check_file(path, text, key, file)

    def _is_found_here(self, text: str, key: str) -> bool:
        """Tell whether a text that names nothing in the bundle names a file where we work."""
        # A word such as "speech" may be the name of a folder by accident.
        is_word = "/" not in text and not is_path_key(key.rpartition(".")[2])
        return is_file(Path(text)) if is_word else _exists(Path(text))

    def _check_file(self, path: Path, text: str, key: str, file: Path) -> None:
        if not is_member(path, self._root):
            raise self._refusal(text, key, file, "is a link that leaves the bundle")
        check_honest(path)
        if path.suffix in _YAML_SUFFIXES:
            self.check_config(path)
        elif path.suffix in _PICKLE_SUFFIXES or holds_objects(path):
            raise UnsafeCheckpointError(
                f"{file}: {key} = {text!r} can only be read by unpickling, which may run any code\n"
                "  ask its author for tensors or plain arrays, or pass trust_user_code=True"
            )

    def _expand(self, text: str, document: Mapping[str, Any]) -> str:
        # Copies of a large document for each of its texts would take hours.
        scope = ChainMap({"recipe_dir": str(self._root)}, cast(dict[str, Any], document))
        return expand_references(text, scope)

    def _refusal(self, text: str, key: str, file: Path, reason: str) -> UntrustedCodeError:
        return UntrustedCodeError(
            f"{file}: {key} = {text[:_SHOWN]!r} {reason}, and nobody vouched for this bundle\n"
            "  read its configs, then allow it with trust_user_code=True"
        )


def _resolver_calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield name and argument texts of every resolver call in an interpolation."""
    parser: Any = OmegaConfGrammarParser
    try:
        waiting: list[Any] = [parse(text)]
    except GrammarParseError as error:
        raise UntrustedCodeError(f"{text!r} is not a valid interpolation: {error}") from error
    while waiting:
        node = waiting.pop()
        if isinstance(node, parser.InterpolationResolverContext):
            sequence = node.sequence()
            elements = sequence.element() if sequence is not None else []
            yield node.resolverName().getText(), [element.getText() for element in elements]
        waiting += getattr(node, "children", None) or []


def _iter_settings(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of every entry of the mappings in plain containers."""
    if isinstance(node, Mapping):
        for name, child in node.items():
            inner = f"{key}.{name}" if key else str(name)
            yield inner, child
            yield from _iter_settings(child, inner)
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from _iter_settings(child, f"{key}[{index}]")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # Too long for a path.
        return False

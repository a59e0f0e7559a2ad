"""Compare the tokens of a model with those that its data are turned into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espnet3.errors import SettingError

_KEY = "model.token_list"
_DATA_KEY = "dataset.preprocessor.token_list"


def check_token_lists(plain: Mapping[str, Any]) -> None:
    """Check that the data of a training have the tokens of its model.

    Otherwise the model learns other texts than the data hold, which nobody sees before decoding.
    Files that do not exist yet and lists that nobody knows are not compared.

    Args:
        plain: Resolved training configuration.

    Raises:
        SettingError: If the token list of the preprocessor is another one than the model's, or its
            tokenizer makes tokens that the model does not have.
    """
    model, dataset = plain.get("model"), plain.get("dataset")
    preprocessor = dataset.get("preprocessor") if isinstance(dataset, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(preprocessor, Mapping):
        return
    known = _read(model.get("token_list"))
    given = _read(preprocessor.get("token_list"))
    if known is None:
        return
    if given is not None and given != known:
        raise SettingError(
            f"differs from {_DATA_KEY}: {'; '.join(_differences(known, given))}",
            key=_KEY,
            hint=f"give {_DATA_KEY}, and bpemodel beside it, the files that belong to the model",
        )
    has = set(known)
    made = _read_tokenizer(preprocessor.get("bpemodel")) or ()
    unknown = [token for token in made if token not in has]
    if unknown:
        others = len(unknown) - 1
        more = f" and {others} more token{'s' if others > 1 else ''}" if others else ""
        raise SettingError(
            f"has no {unknown[0]!r}{more} that dataset.preprocessor.bpemodel makes",
            key=_KEY,
            hint="set dataset.preprocessor.bpemodel to the tokenizer that belongs to the model",
        )


def _read(value: Any) -> list[str] | None:
    """Return a list of tokens, also from a file; without white space, which not all keep."""
    if isinstance(value, str | Path) and Path(value).is_file():
        value = Path(value).read_text(encoding="utf-8").split("\n")
    if not isinstance(value, list) or not all(isinstance(token, str) for token in value):
        return None
    tokens = [token.strip() for token in value]
    return tokens[:-1] if tokens and tokens[-1] == "" else tokens


def _read_tokenizer(path: Any) -> list[str] | None:
    """Return the tokens beside a tokenizer, where ours and ESPnet2's recipes write them."""
    return _read(Path(path).with_name("tokens.txt")) if isinstance(path, str) else None


def _differences(known: list[str], given: list[str]) -> Iterator[str]:
    if len(known) != len(given):
        yield f"{len(known)} tokens here, {len(given)} there"
    pairs = enumerate(zip(known, given, strict=False))
    first = next(((i, pair) for i, pair in pairs if pair[0] != pair[1]), None)
    if first is not None:
        yield f"token {first[0]} is {first[1][0]!r} here, {first[1][1]!r} there"

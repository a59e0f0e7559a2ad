"""Train SentencePiece models and add symbols to them."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, DataError
from espnet3.systems.asr.tokenizers.unknown_words import warn_about_unknown
from espnet3.systems.asr.tokenizers.vocabulary_growth import (
    choose_place,
    grow_embedding,
    insert_tokens,
)
from espnet3.utils.path_utils import atomic_open, write_text
from espnet3.utils.types import PathLike

_CONTROL_SYMBOLS = ("<unk>", "<s>", "</s>")
_MAX_SENTENCES = 10**8


def prepare_sentences(
    dump_text_paths: PathLike | Sequence[PathLike],
    output_path: PathLike,
    remove_characters: str = "",
) -> None:
    """Collect the texts of transcript files into ``<output_path>/train.txt``.

    Args:
        dump_text_paths: One file or several with lines ``<utt_id> <text>``.
        output_path: Folder of the result; created when missing.
        remove_characters: Characters deleted from the text, not from the ids.

    Raises:
        FileNotFoundError: If an input does not exist.
    """
    if isinstance(dump_text_paths, str | os.PathLike):
        dump_text_paths = [dump_text_paths]
    paths = [Path(path) for path in dump_text_paths]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"transcript file {path} does not exist")
    deletion = str.maketrans("", "", remove_characters)
    texts = [text for path in paths for text in _iter_texts(path, deletion)]
    write_text(Path(output_path) / "train.txt", "\n".join(texts))


def train_sentencepiece(
    dump_text_path: PathLike,
    save_path: PathLike,
    vocab_size: int = 5000,
    character_coverage: float = 1.0,
    model_type: str = "bpe",
    user_defined_symbols: Sequence[str] = (),
    *,
    hard_vocab_limit: bool = True,
) -> None:
    """Train a SentencePiece model and write it with its vocabulary and token list.

    Writes ``<model_type>.model``, ``<model_type>.vocab`` and, last, ``tokens.txt``: ``<blank>``,
    ``<unk>``, the pieces, ``<sos/eos>``. Files of an earlier training are replaced. The model
    holds no path of this machine, so equal text gives equal files.

    Args:
        dump_text_path: Text with one sentence per line, UTF-8.
        save_path: Output folder; created when missing.
        vocab_size: Number of lines of ``tokens.txt``.
        character_coverage: Share of the characters that get a piece.
        model_type: ``bpe``, ``unigram``, ``char`` or ``word``.
        user_defined_symbols: Strings that always stay in one piece.
        hard_vocab_limit: Whether fewer than ``vocab_size`` symbols are an error.

    Raises:
        FileNotFoundError: If the text does not exist.
        DataError: If it has no words.
        ConfigError: If the text cannot give ``vocab_size`` symbols; states how many it can give.
    """
    text_path = Path(dump_text_path)
    if not text_path.is_file():
        raise FileNotFoundError(f"tokenizer training text {text_path} does not exist")
    processor = _train_model(
        text_path,
        vocab_size=vocab_size,
        character_coverage=character_coverage,
        model_type=model_type,
        user_defined_symbols=list(user_defined_symbols),
        hard_vocab_limit=hard_vocab_limit,
    )
    with text_path.open(encoding="utf-8") as sentences:
        warn_about_unknown(processor, sentences, vocab_size=vocab_size, model_type=model_type)
    pieces = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(len(processor))]
    units = [piece for piece, _ in pieces if piece not in _CONTROL_SYMBOLS]
    folder = Path(save_path)
    # A tokenizer counts as trained when all three files exist: the list is away until the end.
    (folder / "tokens.txt").unlink(missing_ok=True)
    with atomic_open(folder / f"{model_type}.model", "wb") as stream:
        stream.write(processor.serialized_model_proto())
    vocabulary = "".join(f"{piece}\t{score:g}\n" for piece, score in pieces)
    write_text(folder / f"{model_type}.vocab", vocabulary)
    write_text(folder / "tokens.txt", "\n".join(["<blank>", "<unk>", *units, "<sos/eos>"]))


def add_special_tokens(
    tokenizer: Any,
    converter: Any,
    embedding: Any,
    special_tokens: Sequence[str],
    insert_after: str | None = None,
) -> tuple[Any, Any, Any]:
    """Add symbols to a SentencePiece tokenizer, its token list and an embedding.

    The extended model is saved beside the old one as ``<stem>_sp.model``.

    Args:
        tokenizer: ``SentencepiecesTokenizer`` (ours or ESPnet2's).
        converter: ``TokenIDConverter`` (ours or ESPnet2's).
        embedding: ``torch.nn.Embedding`` with one row per symbol.
        special_tokens: Symbols to add; known ones are left as they are.
        insert_after: Symbol after which the new ones go; at the end when ``None`` or unknown.

    Returns:
        New tokenizer, converter and embedding of the same kinds. Old rows of the embedding keep
        their values; new rows are the mean of the old ones plus small noise.

    Raises:
        ConfigError: If the embedding does not fit the token list, or the model cannot match the
            symbols whole.
    """
    new_tokens = [t for t in dict.fromkeys(special_tokens) if t not in converter.token2id]
    if not new_tokens:
        return tokenizer, converter, embedding
    place = choose_place(converter.token_list, insert_after)
    grown = grow_embedding(embedding, len(converter.token_list), place, len(new_tokens))
    old_path = Path(tokenizer.model)
    new_path = old_path.with_name(f"{old_path.stem}_sp.model")
    with atomic_open(new_path, "wb") as stream:
        stream.write(_extend_model(old_path, new_tokens))
    new_list = insert_tokens(converter.token_list, place, new_tokens)
    new_tokenizer = type(tokenizer)(str(new_path), tokenizer.encode_kwargs)
    return new_tokenizer, type(converter)(new_list, converter.unk_symbol), grown


def _iter_texts(path: Path, deletion: dict[int, int | None]) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            _, _, text = line.strip().partition(" ")
            text = text.translate(deletion).strip()
            if text:
                yield text


def _train_model(text_path: Path, *, vocab_size: int, **options: Any) -> Any:
    """Train in memory and return a processor."""
    import sentencepiece

    written = io.BytesIO()
    with text_path.open(encoding="utf-8") as lines:
        sentences = (line.strip() for line in lines)
        kept = (sentence for sentence in sentences if sentence)
        first = next(kept, None)
        if first is None:
            raise DataError(f"tokenizer training text {text_path} has no text")
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=_chain(first, kept),
                model_writer=written,
                vocab_size=vocab_size,
                input_sentence_size=_MAX_SENTENCES,
                minloglevel=1,
                **options,
            )
        except RuntimeError as error:
            raise _explain(str(error), text_path, vocab_size) from error
    processor = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    if options["hard_vocab_limit"] and len(processor) != vocab_size:
        raise _too_large(text_path, vocab_size, len(processor))
    return processor


def _chain(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others


def _explain(message: str, text_path: Path, vocab_size: int) -> ConfigError:
    """Turn SentencePiece's report into one that names the setting."""
    largest = re.search(r"value <= (\d+)", message)
    if largest:
        return _too_large(text_path, vocab_size, int(largest[1]))
    required = re.search(r"required_chars\. \d+ vs (\d+)", message)
    if required:
        return ConfigError(
            f"the characters of {text_path} need at least {required[1]} symbols",
            key="tokenizer.vocab_size",
            value=vocab_size,
            hint="enlarge it, or lower tokenizer.character_coverage",
        )
    return ConfigError(f"training on {text_path} failed: {message}", key="tokenizer")


def _too_large(text_path: Path, vocab_size: int, largest: int) -> ConfigError:
    return ConfigError(
        f"{text_path} gives at most {largest} symbols",
        key="tokenizer.vocab_size",
        value=vocab_size,
        hint=f"set it to {largest} or less",
    )


def _extend_model(path: Path, tokens: Sequence[str]) -> bytes:
    """Return the model with ``tokens`` as user-defined pieces."""
    import sentencepiece

    old = sentencepiece.SentencePieceProcessor(model_file=str(path))
    missing = [token for token in tokens if old.piece_to_id(token) == old.unk_id()]
    model: bytes = old.serialized_model_proto() + b"".join(map(_encode_piece, missing))
    extended = sentencepiece.SentencePieceProcessor(model_proto=model)
    for token in tokens:
        if token not in extended.encode(token, out_type=str):
            raise ConfigError(
                f"the model {path} cannot keep {token!r} in one piece",
                key="special_tokens",
                hint="word models split at spaces only; train a bpe, unigram or char model",
            )
    return model


def _encode_piece(token: str) -> bytes:
    """Encode a user-defined piece as an entry of the model's protocol buffer.

    Concatenating serialized messages appends to their repeated fields, so an entry of field 1
    (``pieces``) after the model adds a piece: text (field 1), score 0 (field 2), type 4 (field 3).
    """
    text = token.encode()
    body = b"\x0a" + _varint(len(text)) + text + b"\x15\x00\x00\x00\x00" + b"\x18\x04"
    return b"\x0a" + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)

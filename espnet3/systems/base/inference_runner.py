"""Call the model on the samples of a test set."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from espnet3.components.inference.records import (
    OutputFn,
    as_names,
    check_record,
    iter_records,
    select_inputs,
)
from espnet3.errors import InferenceError
from espnet3.parallel.base_runner import BaseRunner, LocalEnvProvider
from espnet3.utils.import_utils import import_object


class InferenceRunner(BaseRunner):
    """Turn indices of a test set into records: dicts with a sample id and output values.

    Args:
        provider: Builds ``dataset``, ``model`` and the settings of :meth:`forward`.
        idx_key: Field of a record that holds the sample id.
        hyp_key: Field or fields that every record must have.
        ref_key: Further fields that every record must have.
        **kwargs: Arguments of :class:`~espnet3.parallel.base_runner.BaseRunner`.
    """

    def __init__(
        self,
        provider: LocalEnvProvider,
        idx_key: str = "utt_id",
        hyp_key: str | Sequence[str] = "hyp",
        ref_key: str | Sequence[str] = "ref",
        **kwargs: Any,
    ) -> None:
        super().__init__(provider, **kwargs)
        self.idx_key = idx_key
        self.hyp_key = hyp_key if isinstance(hyp_key, str) else as_names(hyp_key)
        self.ref_key = ref_key if isinstance(ref_key, str) else as_names(ref_key)

    @staticmethod
    def forward(idx: Any, dataset: Any = None, model: Any = None, **kwargs: Any) -> Any:
        """Decode one sample, or a list of samples in one call of the model.

        Args:
            idx: Index into ``dataset``, or a list of indices.
            dataset: Gives a dict per index.
            model: Called with one keyword per input key; with a list per keyword for a batch.
            **kwargs: ``input_key`` (name or names of the fields that the model takes),
                ``output_fn`` or ``output_fn_path`` (function that makes a record of a result),
                ``model_kwargs`` (more keywords of the model). Others are ignored.

        Returns:
            What the output function returns, or the model without one; for a batch a list with
            one dict per sample.

        Raises:
            InferenceError: If ``input_key`` is missing, or decoding a batch fails.
            InputKeyError: If a sample lacks an input.
            TypeError: If ``model_kwargs`` is not a mapping.
        """
        keys = as_names(kwargs.get("input_key"))
        if not keys:
            raise InferenceError("input_key must be provided: which fields does the model take?")
        model_kwargs = _read_model_kwargs(kwargs.get("model_kwargs"))
        output_fn = kwargs.get("output_fn")
        if output_fn is None and kwargs.get("output_fn_path"):
            output_fn = import_object(kwargs["output_fn_path"], key="output_fn")
        if isinstance(idx, list | tuple):
            return _forward_batch(list(idx), dataset, model, keys, model_kwargs, output_fn)
        data = dataset[idx]
        inputs = select_inputs(data, keys)
        with _no_grad():
            output = model(**inputs, **model_kwargs)
        return output if output_fn is None else output_fn(data=data, model_output=output, idx=idx)

    def __call__(self, indices: Iterable[Any]) -> Any:
        """Return the checked records of all indices in one list.

        Raises:
            ModelOutputError: If a record is not a dict, or its id is not a single value.
            DataError: If a record lacks the id or a required field.
        """
        outputs = super().__call__(indices)
        is_raw = outputs is None or self.async_mode or self.output_dir is not None
        return outputs if is_raw else list(self._checked(outputs))

    def resolve_idx_key(self, output: Any) -> str:
        """Return the name of the id field, after a check that ``output`` has a single id."""
        check_record(output, idx_key=self.idx_key)
        return self.idx_key

    def _checked(self, outputs: Iterable[Any]) -> Iterator[dict[str, Any]]:
        required = [*as_names(self.hyp_key), *as_names(self.ref_key)]
        for record in iter_records(outputs):
            check_record(record, idx_key=self.idx_key, fields=required)
            yield record


def _read_model_kwargs(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"model_kwargs must be a mapping, got {type(value).__name__}")
    return {str(name): item for name, item in value.items()}


def _forward_batch(
    indices: list[Any],
    dataset: Any,
    model: Any,
    keys: Sequence[str],
    model_kwargs: Mapping[str, Any],
    output_fn: OutputFn | None,
) -> list[Any]:
    data = [dataset[idx] for idx in indices]
    rows = [select_inputs(sample, keys) for sample in data]
    columns = {key: [row[key] for row in rows] for key in keys}
    try:
        with _no_grad():
            output = model(**columns, **model_kwargs)
        if output_fn is not None:
            output = output_fn(data=data, model_output=output, idx=indices)
    except Exception as error:
        raise _batch_error(f"{type(error).__name__}: {error}") from error
    if not isinstance(output, list) or len(output) != len(indices):
        got = f"a list of {len(output)}" if isinstance(output, list) else type(output).__name__
        raise _batch_error(f"{len(indices)} samples need a list of as many dicts, got {got}")
    if not all(isinstance(record, Mapping) for record in output):
        raise _batch_error("the result must be a list of dicts, one per sample")
    return output


def _batch_error(reason: str) -> InferenceError:
    return InferenceError(
        f"Batched inference failed: {reason}\n"
        "  set `batch_size: null` if the model or `output_fn` takes one sample at a time"
    )


def _no_grad() -> contextlib.AbstractContextManager[Any]:
    torch: Any = sys.modules.get("torch")
    is_off = torch is None or not torch.is_grad_enabled()
    return contextlib.nullcontext() if is_off else torch.no_grad()

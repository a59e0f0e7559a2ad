"""One call of a back end: from samples to results."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from espnet3.components.inference.records import as_names, select_inputs
from espnet3.errors import DataError, InferenceError
from espnet3.publication.code_scope import CodeScope
from espnet3.publication.session_inputs import adapt_inputs, is_espnet2, read_rate
from espnet3.utils.import_utils import TargetPolicy, use_target_policy
from espnet3.utils.printable import printable_errors, printable_message

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BackendCall:
    """A back end and how it is called.

    Args:
        model: The back end.
        input_key: Name or names of its inputs.
        output_fn: Called on every result.
        policy: What the model may make of dotted paths.
        scope: The modules that its own imports should find.
        lock: Held during a call, unless the back end declares ``thread_safe = True``.
    """

    model: Any
    input_key: str | list[str]
    output_fn: Callable[..., Any] | None
    policy: TargetPolicy | None
    scope: CodeScope | None
    lock: threading.RLock

    def select(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs among the fields of a sample, audio at the rate of the model.

        Raises:
            InputKeyError: If one is absent.
        """
        inputs = select_inputs(data, as_names(self.input_key))
        rate = read_rate(self.model)
        return adapt_inputs(inputs, rate, scales_integers=is_espnet2(self.model))

    def one(self, data: Mapping[str, Any], idx: Any) -> Any:
        """Run one sample."""
        return self._finish(data, self._run(self.select(data)), idx)

    def many(
        self, data: Sequence[Mapping[str, Any]], indices: Sequence[Any], *, batch: bool, retry: bool
    ) -> list[Any]:
        """Run several samples.

        Args:
            data: The samples.
            indices: Their identifiers.
            batch: Try a single call of the back end.
            retry: Go on sample by sample when that call fails.

        Raises:
            InferenceError: If the single call fails and ``retry`` is not set.
        """
        inputs = []
        for place, item in enumerate(data):
            with _naming(place, indices):
                inputs.append(self.select(item))
        if batch:
            try:
                return self._together(data, inputs, indices)
            except Exception as error:
                if not retry:
                    raise InferenceError(f"the batched call failed: {error}") from error
                logger.warning(
                    "the batched call failed, going on one by one: %s", printable_message(error)
                )
        outputs = []
        for place, (item, arguments) in enumerate(zip(data, inputs, strict=True)):
            with _naming(place, indices):
                outputs.append(self._finish(item, self._run(arguments), indices[place]))
        return outputs

    def _together(
        self,
        data: Sequence[Mapping[str, Any]],
        inputs: Sequence[Mapping[str, Any]],
        indices: Sequence[Any],
    ) -> list[Any]:
        arguments = {key: [item[key] for item in inputs] for key in inputs[0]}
        output = self._finish(data, self._run(arguments), indices)
        if not isinstance(output, list | tuple) and len(data) == 1:
            return [output]
        count = len(output) if isinstance(output, list | tuple) else 1
        if count != len(data):
            raise InferenceError(f"wrong number of outputs: expected {len(data)}, got {count}")
        return list(output)

    def _run(self, arguments: Mapping[str, Any]) -> Any:
        # A back end that never imported torch needs no inference mode.
        torch = sys.modules.get("torch")
        mode = torch.inference_mode() if torch is not None else contextlib.nullcontext()
        is_safe = getattr(self.model, "thread_safe", False) is True
        with self._guarded(), mode, contextlib.nullcontext() if is_safe else self.lock:
            return self.model(**arguments)

    def _finish(self, data: Any, model_output: Any, idx: Any) -> Any:
        if self.output_fn is None:
            return model_output
        with self._guarded():
            return self.output_fn(data=data, model_output=model_output, idx=idx)

    def _guarded(self) -> contextlib.AbstractContextManager[None]:
        # A back end may import or build something only now: the rules of loading still hold.
        if self.policy is not None:
            return _under(self.policy)
        return contextlib.nullcontext() if self.scope is None else self.scope.active()


@contextlib.contextmanager
def _naming(place: int, indices: Sequence[Any]) -> Iterator[None]:
    """Say in an error about one sample of several which one it is."""
    try:
        yield
    except Exception as error:
        idx = indices[place]
        name = f"sample {place}" if idx is place else f"sample {place} ({idx!r})"
        if isinstance(error, DataError):
            error.args = (f"{name}: {error}",)
        else:
            error.add_note(f"in {name}")
        raise


@contextlib.contextmanager
def _under(policy: TargetPolicy) -> Iterator[None]:
    with use_target_policy(policy), printable_errors():
        yield

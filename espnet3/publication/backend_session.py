"""A model back end called with plain values."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import ListConfig

from espnet3.components.inference.records import load_output_fn
from espnet3.errors import ConfigError, InferenceError
from espnet3.publication.backend_call import BackendCall
from espnet3.publication.code_scope import CodeScope
from espnet3.publication.security import BundlePolicy
from espnet3.publication.session_backend import InputKey
from espnet3.utils.import_utils import TargetPolicy


class BackendSession:
    """A model back end, called with plain values, from any number of threads.

    A back end that declares the ``sample_rate`` of its audio inputs (``speech``, ``audio`` …) also
    gets files, their content as bytes, and ``(rate, samples)`` as samples at that rate. One that
    does not declare ``thread_safe = True`` is called by one thread at a time.

    Args:
        model: Instantiated back end; any callable.
        input_key: Name, or names, of the fields that the back end takes.
        output_fn_path: Dotted path of a function called as
            ``output_fn(data=…, model_output=…, idx=…)`` on every result.
        output_fn: That function itself.
        prefer_model_batch: Let :meth:`forward_batch` try one call of the back end first.
        fallback_to_single_on_batch_error: Go on sample by sample when that call fails.
        bundle_root: Folder of the bundle that the model came from.
        bundle_metadata: Content of its ``meta.yaml``.
        artifacts: Its artifacts, name → path.

    Raises:
        ConfigError: If both ``output_fn_path`` and ``output_fn`` are given.

    Example:
        >>> session = BackendSession(lambda speech: len(speech))
        >>> session([0.0, 0.1, 0.2])
        3
    """

    def __init__(
        self,
        model: Any,
        *,
        input_key: InputKey = "speech",
        output_fn_path: str | None = None,
        output_fn: Callable[..., Any] | None = None,
        prefer_model_batch: bool = False,
        fallback_to_single_on_batch_error: bool = True,
        bundle_root: Path | None = None,
        bundle_metadata: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, Any] | None = None,
    ) -> None:
        if output_fn_path is not None and output_fn is not None:
            raise ConfigError("give either output_fn_path or output_fn, not both")
        self.model = model
        is_list = isinstance(input_key, list | tuple | ListConfig)
        self.input_key: str | list[str] = list(input_key) if is_list else str(input_key)
        self.output_fn_path = output_fn_path
        self.output_fn = output_fn
        if output_fn_path is not None:
            self.output_fn = load_output_fn(output_fn_path, key="output_fn_path")
        self.prefer_model_batch = prefer_model_batch
        self.fallback_to_single_on_batch_error = fallback_to_single_on_batch_error
        self.bundle_root = bundle_root
        self.bundle_metadata = dict(bundle_metadata or {})
        self.artifacts = dict(artifacts or {})
        self._policy: TargetPolicy | None = None
        self._scope: CodeScope | None = None
        self._lock = threading.RLock()

    @property
    def primary_input_key(self) -> str:
        """The single input key.

        Raises:
            InferenceError: If the back end takes several inputs.
        """
        if isinstance(self.input_key, str):
            return self.input_key
        if len(self.input_key) == 1:
            return self.input_key[0]
        names = ", ".join(self.input_key)
        raise InferenceError(
            f"the model takes several inputs ({names})\n  give a mapping that holds all of them"
        )

    def __call__(self, sample: Any, *, idx: Any = 0) -> Any:
        """Run one sample; the same as :meth:`forward`."""
        return self.forward(sample, idx=idx)

    def forward(self, sample: Any, *, idx: Any = 0) -> Any:
        """Run one sample.

        Args:
            sample: Mapping with the input key or keys, or the bare value of a single input.
                Audio may be an array or tensor, and for models with a known rate also a path,
                bytes of a file, or ``(rate, samples)``.
            idx: Identifier handed to the output function.

        Returns:
            What the back end returns, passed through the output function if there is one.

        Raises:
            InputKeyError: If an input is absent; a ``KeyError``.
            InferenceError: If a bare value is given to a model of several inputs.
        """
        return self._call.one(self._as_mapping(sample), idx)

    def forward_batch(
        self,
        samples: Sequence[Any],
        *,
        indices: Sequence[Any] | None = None,
        use_model_batch: bool | None = None,
        fallback_to_single_on_error: bool | None = None,
    ) -> list[Any]:
        """Run several samples; the result has one entry for each, in their order.

        Args:
            samples: Bare values or mappings, also mixed.
            indices: Identifiers for the output function; default 0, 1, 2, ….
            use_model_batch: Try one call of the back end with lists; ``None`` is the setting of the
                session.
            fallback_to_single_on_error: Go on sample by sample when that call fails; ``None`` is
                the setting of the session.

        Raises:
            ConfigError: If ``samples`` is a single text, bytes or mapping, or ``indices`` and
                ``samples`` differ in length; a ``ValueError``.
            InputKeyError: If an input is absent; a ``KeyError``.
            InferenceError: If the batched call fails and there is no fallback.
        """
        if isinstance(samples, str | bytes | Mapping):
            raise ConfigError(
                f"samples must be a list of samples, got {type(samples).__name__}; put it in a list"
            )
        samples = list(samples)
        chosen = list(range(len(samples))) if indices is None else list(indices)
        if len(chosen) != len(samples):
            raise ConfigError(
                f"indices must have the same length as samples ({len(chosen)}, {len(samples)})"
            )
        if not samples:
            return []
        batch = self.prefer_model_batch if use_model_batch is None else use_model_batch
        retry = fallback_to_single_on_error
        if retry is None:
            retry = self.fallback_to_single_on_batch_error
        data = [self._as_mapping(sample) for sample in samples]
        return self._call.many(data, chosen, batch=batch, retry=retry)

    def security_report(self) -> dict[str, Any]:
        """Say what the rules for bundles that nobody vouches for let through.

        Returns:
            ``bundle``: its folder; ``rules``: whether they are in force, which they are not for
            trusted bundles and what the caller made; ``allowed``: dotted path → reason.
        """
        has_rules = isinstance(self._policy, BundlePolicy)
        return {
            "bundle": self.bundle_root,
            "rules": has_rules,
            "allowed": dict(cast(BundlePolicy, self._policy).allowed) if has_rules else {},
        }

    @property
    def _call(self) -> BackendCall:
        # The public attributes may be replaced at any time.
        return BackendCall(
            model=self.model,
            input_key=self.input_key,
            output_fn=self.output_fn,
            policy=self._policy,
            scope=self._scope,
            lock=self._lock,
        )

    def _as_mapping(self, sample: Any) -> Mapping[str, Any]:
        return sample if isinstance(sample, Mapping) else {self.primary_input_key: sample}

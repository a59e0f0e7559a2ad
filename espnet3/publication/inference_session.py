"""Use a trained or packed model directly, without a recipe or a dataset."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from espnet3.components.inference.records import load_output_fn
from espnet3.errors import ConfigError, InferenceError
from espnet3.publication.backend_call import BackendCall
from espnet3.publication.bundle_loading import (
    SessionParts,
    load_from_artifacts,
    load_from_config,
)
from espnet3.publication.code_scope import CodeScope
from espnet3.publication.downloads import ZOO_DOWNLOADER, fetch_artifacts
from espnet3.publication.golden import verify_samples
from espnet3.publication.hub import is_hub_tag, is_pinned
from espnet3.publication.session_backend import (
    ArtifactRequest,
    InputKey,
    Trust,
    build_pretrained,
)
from espnet3.utils.import_utils import TargetPolicy

logger = logging.getLogger(__name__)


class InferenceSession:
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
        >>> session = InferenceSession(lambda speech: len(speech))
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
            ConfigError: If ``indices`` and ``samples`` differ in length; a ``ValueError``.
            InputKeyError: If an input is absent; a ``KeyError``.
            InferenceError: If the batched call fails and there is no fallback.
        """
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

    @classmethod
    def from_config(
        cls,
        inference_config: Mapping[str, Any] | DictConfig,
        *,
        enable_user_code: bool | None = None,
        trust_user_code: bool = False,
        user_code_paths: Sequence[str] | None = None,
        prefer_model_batch: bool = False,
        fallback_to_single_on_batch_error: bool = True,
    ) -> InferenceSession:
        """Build a session from an inference config in memory, on the device that ``infer`` takes.

        Args:
            inference_config: ``model``, and optionally ``input_key``, ``output_fn``,
                ``recipe_dir``, ``device``, ``device_index``, ``local_rank``. Never changed.
            enable_user_code: Make the recipe's ``src`` importable; ``None`` does so if the config
                names it.
            trust_user_code: Required for that.
            user_code_paths: Import roots below ``recipe_dir``; default ``("src",)``.
            prefer_model_batch: See the class.
            fallback_to_single_on_batch_error: See the class.

        Raises:
            BundleError: If recipe code is needed and ``recipe_dir`` is not set; a ``RuntimeError``.
            UntrustedCodeError: If it is needed and not trusted; a ``ValueError``.
        """
        trust = Trust(
            enable_user_code=enable_user_code,
            trust_user_code=trust_user_code,
            user_code_paths=user_code_paths,
        )
        return cls._from_parts(
            load_from_config(inference_config, trust),
            prefer_model_batch=prefer_model_batch,
            fallback_to_single_on_batch_error=fallback_to_single_on_batch_error,
        )

    @classmethod
    def from_artifacts(
        cls,
        artifacts: Mapping[str, Any],
        *,
        backend_class: str | type | None = None,
        input_key: InputKey | None = None,
        output_fn_path: str | None = None,
        enable_user_code: bool | None = None,
        trust_user_code: bool = False,
        user_code_paths: Sequence[str] | None = None,
        prefer_model_batch: bool = False,
        fallback_to_single_on_batch_error: bool = True,
        **backend_kwargs: Any,
    ) -> InferenceSession:
        """Build a session from the files of an unpacked bundle.

        Args:
            artifacts: Name → path, as a downloader returns it.
            backend_class: Class to build instead of ``model`` of the bundle's inference config.
            input_key: Overrides ``input_key`` of the config.
            output_fn_path: Overrides ``output_fn`` of the config.
            enable_user_code: Make the bundle's code importable; ``None`` does so if its config
                names it.
            trust_user_code: Vouch for the bundle's code and configs; they may then do anything.
            user_code_paths: Import roots below the bundle root; default is what it declares.
            prefer_model_batch: See the class.
            fallback_to_single_on_batch_error: See the class.
            **backend_kwargs: Override or extend the arguments of the model.

        Raises:
            BundleError: If the bundle is damaged or says too little; a ``RuntimeError``.
            UntrustedCodeError: If it wants what the caller did not allow; a ``ValueError``.
        """
        request = ArtifactRequest(
            artifacts=artifacts,
            trust=Trust(
                enable_user_code=enable_user_code,
                trust_user_code=trust_user_code,
                user_code_paths=user_code_paths,
            ),
            backend_class=backend_class,
            input_key=input_key,
            output_fn_path=output_fn_path,
            backend_kwargs=backend_kwargs,
        )
        return cls._from_parts(
            load_from_artifacts(request),
            artifacts=artifacts,
            prefer_model_batch=prefer_model_batch,
            fallback_to_single_on_batch_error=fallback_to_single_on_batch_error,
        )

    @classmethod
    def from_pretrained(
        cls,
        model_tag: str,
        *,
        backend_class: str | type | None = None,
        downloader_class: str | type = ZOO_DOWNLOADER,
        input_key: InputKey | None = None,
        output_fn_path: str | None = None,
        enable_user_code: bool | None = None,
        trust_user_code: bool = False,
        user_code_paths: Sequence[str] | None = None,
        prefer_model_batch: bool = False,
        fallback_to_single_on_batch_error: bool = True,
        verify: bool = False,
        **backend_kwargs: Any,
    ) -> InferenceSession:
        """Fetch a packed model and build a session from it.

        Args:
            model_tag: Folder or archive of a bundle, Hub id ``owner/name[@revision]``, or whatever
                ``downloader_class`` understands.
            backend_class: See :meth:`from_artifacts`; together with ``enable_user_code=False`` its
                own ``from_pretrained`` does everything.
            downloader_class: Class, or dotted path of one, with ``download_and_unpack(model_tag)``.
            input_key: Overrides ``input_key`` of the bundle.
            output_fn_path: Overrides ``output_fn`` of the bundle.
            enable_user_code: See :meth:`from_artifacts`.
            trust_user_code: See :meth:`from_artifacts`.
            user_code_paths: See :meth:`from_artifacts`.
            prefer_model_batch: See the class.
            fallback_to_single_on_batch_error: See the class.
            verify: Run the golden samples of the bundle and compare the results with the recorded
                ones.
            **backend_kwargs: Override or extend the arguments of the model.

        Raises:
            InferenceError: If ``backend_class`` alone should do it and has no ``from_pretrained``.
            BundleError: If ``verify`` is set, and there are no golden samples or a result differs.
            HubError: If a Hub id cannot be fetched.
            Exception: What the downloader or the back end raises, unchanged, and what
                :meth:`from_artifacts` raises.

        Example:
            >>> session = InferenceSession.from_pretrained("exp/model_pack")  # doctest: +SKIP
            >>> session(waveform)  # doctest: +SKIP
        """
        batching: dict[str, Any] = {
            "prefer_model_batch": prefer_model_batch,
            "fallback_to_single_on_batch_error": fallback_to_single_on_batch_error,
        }
        if backend_class is not None and enable_user_code is False:
            if verify:
                raise ConfigError("needs a bundle, which backend_class does not load", key="verify")
            return cls(
                build_pretrained(backend_class, model_tag, backend_kwargs),
                input_key=input_key or "speech",
                output_fn_path=output_fn_path,
                **batching,
            )
        is_remote = is_hub_tag(model_tag) and not Path(model_tag).exists()
        if trust_user_code and is_remote and not is_pinned(model_tag):
            logger.warning(
                "the code of %s is trusted, whatever is pushed there next; "
                "pin what you have read with %s@<commit>",
                model_tag,
                model_tag.partition("@")[0],
            )
        session = cls.from_artifacts(
            fetch_artifacts(model_tag, downloader_class),
            backend_class=backend_class,
            input_key=input_key,
            output_fn_path=output_fn_path,
            enable_user_code=enable_user_code,
            trust_user_code=trust_user_code,
            user_code_paths=user_code_paths,
            **batching,
            **backend_kwargs,
        )
        if verify:
            count = verify_samples(session, session.bundle_root or Path())
            logger.info("%s: %d golden samples give what was recorded", model_tag, count)
        return session

    @classmethod
    def _from_parts(
        cls,
        parts: SessionParts,
        *,
        artifacts: Mapping[str, Any] | None = None,
        prefer_model_batch: bool,
        fallback_to_single_on_batch_error: bool,
    ) -> InferenceSession:
        session = cls(
            parts.model,
            input_key=parts.input_key,
            output_fn=parts.output_fn,
            prefer_model_batch=prefer_model_batch,
            fallback_to_single_on_batch_error=fallback_to_single_on_batch_error,
            bundle_root=parts.bundle_root,
            bundle_metadata=parts.metadata,
            artifacts=artifacts,
        )
        session.output_fn_path = parts.output_fn_path
        session._policy, session._scope = parts.policy, parts.scope
        return session

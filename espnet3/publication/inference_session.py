"""Use a trained or packed model directly, without a recipe or a dataset."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from omegaconf import DictConfig

from espnet3.errors import ConfigError
from espnet3.publication.backend_session import BackendSession
from espnet3.publication.bundle_loading import (
    SessionParts,
    load_from_artifacts,
    load_from_config,
)
from espnet3.publication.downloads import ZOO_DOWNLOADER, fetch_artifacts, packed_artifacts
from espnet3.publication.golden import describe_agreement, verify_samples
from espnet3.publication.hub import warn_unless_pinned
from espnet3.publication.session_backend import (
    ArgumentTypeError,
    ArtifactRequest,
    InputKey,
    Trust,
    build_pretrained,
    check_flags,
)
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)


class InferenceSession(BackendSession):
    """A trained or packed model: from a config, from files of a bundle, or by name.

    It is built from any callable, too; what it does with samples and which arguments it takes then
    stands at :class:`~espnet3.publication.backend_session.BackendSession`.

    Example:
        >>> session = InferenceSession(lambda speech: len(speech), prefer_model_batch=False)
        >>> session.forward_batch([[0.0, 0.1], [0.2]])
        [2, 1]
    """

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
    ) -> Self:
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
    ) -> Self:
        """Build a session from the files of an unpacked bundle.

        Args:
            artifacts: Name → path, as a downloader returns it.
            backend_class: Class to build instead of ``model`` of the bundle's inference config.
            input_key: Overrides ``input_key`` of the config.
            output_fn_path: Overrides ``output_fn`` of the config.
            enable_user_code: Make the bundle's code importable; ``None`` does so if its config
                names it.
            trust_user_code: Vouch for the bundle's code and configs; they may then do anything.
                Nothing but ``True`` does so: anything that is no ``bool`` is a ``TypeError``.
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
    ) -> Self:
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
            ArgumentTypeError: If a flag about code is no ``bool``; a ``TypeError``.
            InferenceError: If ``backend_class`` alone should do it and has no ``from_pretrained``.
            BundleError: If ``verify`` is set, and there are no golden samples or a result differs.
            HubError: If a Hub id cannot be fetched.
            Exception: What the downloader or the back end raises, unchanged, and what
                :meth:`from_artifacts` raises.

        Example:
            >>> session = InferenceSession.from_pretrained("exp/model_pack")  # doctest: +SKIP
            >>> session(waveform)  # doctest: +SKIP
        """
        check_flags(trust_user_code=trust_user_code, enable_user_code=enable_user_code)
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
        if not isinstance(model_tag, str | os.PathLike):
            raise ArgumentTypeError("must be a text or a path", key="model_tag", value=model_tag)
        if trust_user_code:
            warn_unless_pinned(model_tag)
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
            logger.info("%s: %s", model_tag, describe_agreement(count))
        return session

    @classmethod
    def from_packed(
        cls, pack_dir: PathLike, *, trust_user_code: bool = False, **options: Any
    ) -> Self:
        """Build a session from the folder that ``pack_model`` wrote.

        Unlike :meth:`from_pretrained` it takes nothing but a complete bundle.

        Args:
            pack_dir: Folder of the bundle.
            trust_user_code: See :meth:`from_artifacts`.
            **options: What else :meth:`from_artifacts` takes.

        Raises:
            MissingBundleError: If the folder, its ``meta.yaml`` or the inference config registered
                there is absent; a ``FileNotFoundError``.
            Exception: What :meth:`from_artifacts` raises.
        """
        check_flags(
            trust_user_code=trust_user_code, enable_user_code=options.get("enable_user_code")
        )
        artifacts = packed_artifacts(Path(pack_dir))
        return cls.from_artifacts(artifacts, trust_user_code=trust_user_code, **options)

    @classmethod
    def _from_parts(
        cls,
        parts: SessionParts,
        *,
        artifacts: Mapping[str, Any] | None = None,
        prefer_model_batch: bool,
        fallback_to_single_on_batch_error: bool,
    ) -> Self:
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

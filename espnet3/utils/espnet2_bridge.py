"""Import ESPnet2 where a feature needs it, or say why that does not work."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
from collections.abc import Iterator
from types import ModuleType

from espnet3.errors import MissingDependencyError

logger = logging.getLogger(__name__)


def require_espnet2(feature: str, module: str = "espnet2") -> ModuleType:
    """Import a module of ESPnet2.

    Args:
        feature: What asks for it, for the message.
        module: Dotted name of the module.

    Raises:
        MissingDependencyError: If it, or something that it needs, cannot be imported.
    """
    try:
        with quiet_import(module):
            return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise espnet2_failure(feature, error) from error


@contextlib.contextmanager
def quiet_import(module: str) -> Iterator[None]:
    """Log at DEBUG what packages print that a module of ESPnet2 imports, such as NLTK."""
    if module.partition(".")[0] != "espnet2":
        yield
        return
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield
    finally:
        if printed.getvalue():
            logger.debug("while importing %s: %s", module, printed.getvalue().rstrip())


def espnet2_failure(feature: str, error: Exception) -> MissingDependencyError:
    """Return the error that says why ESPnet2 cannot be imported, and what helps."""
    if isinstance(error, OSError) and "torchaudio" in str(error):
        return MissingDependencyError(
            f"{feature} needs ESPnet2, which needs torchaudio, whose compiled part does not fit the"
            f" installed torch ({error})\n"
            "  install torch and torchaudio of the same version, see the guide about ESPnet2"
        )
    from espnet3.utils.package_requirements import install_command  # reads package metadata

    return MissingDependencyError(
        f"{feature} needs ESPnet2, which cannot be imported ({_root_cause(error)})\n"
        f"  install it with: {install_command(['espnet2'])}"
    )


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error

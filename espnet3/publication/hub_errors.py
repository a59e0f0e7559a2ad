"""What goes wrong between us and the Hub: who may ask, what is worth repeating, what it means."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from espnet3.errors import HubError
from espnet3.utils.types import Seconds

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_TRIES = 5
_MAX_WAIT = 60.0
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+")
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
_HINTS = {
    401: "the token is not valid: log in again with `hf auth login`, or renew HF_TOKEN",
    402: "the Hub wants to be paid for this; an organisation of yours may be able to",
    413: "the files are too large for the Hub",
    429: "the Hub takes no more requests for now: wait some minutes and run the stage again",
}
_RIGHTS_HINT = (
    "write {section}.hf_repo as <user-or-org>/<repo>; the namespace must be yours, and the token "
    "needs write permission ({name}.private: true for a private one)"
)
_NETWORK_HINT = "run the stage again: what has arrived is not sent twice"


def is_offline() -> bool:
    """Tell whether the Hub client is told to stay off the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def require_access(client: Any) -> None:
    """Raise unless the Hub may be asked, and somebody is logged in.

    Raises:
        HubError: If the client is offline, or there is no token.
    """
    from huggingface_hub import get_token

    if is_offline():
        named = [name for name in _OFFLINE_VARIABLES if os.environ.get(name)]
        raise HubError(
            f"the Hub cannot be reached: {' and '.join(named) or _OFFLINE_VARIABLES[0]} is set\n"
            "  unset it to upload"
        )
    if not (client.token or get_token()):
        raise HubError(
            "nobody is logged in to the Hugging Face Hub\n"
            "  log in with `hf auth login`, or set the environment variable HF_TOKEN"
        )


def with_retries(action: Callable[[], T], *, first_wait: Seconds = 1.0) -> T:
    """Run an action again when it fails for a reason that may pass.

    These are connection errors, status 429 (after the time in ``Retry-After``) and 500 upwards.

    Args:
        action: What to do; it must be safe to repeat.
        first_wait: Pause before the second try; it doubles from there.
    """
    for attempt in range(1, MAX_TRIES):
        try:
            return action()
        except Exception as error:
            if not is_transient(error):
                raise
            wait = min(_retry_after(error) or first_wait * 2 ** (attempt - 1), _MAX_WAIT)
            logger.warning("the Hub does not answer as it should, again in %.0f s: %s", wait,
                           clean(error))  # fmt: skip
            time.sleep(wait)
    return action()


def is_transient(error: BaseException) -> bool:
    """Tell whether an error of the Hub client may go away by itself."""
    status = status_of(error)
    if status:
        return status == 429 or status >= 500
    return any(isinstance(found, _transport_errors()) for found in _chain(error))


def status_of(error: BaseException) -> int:
    """Return the HTTP status behind an error, 0 when there was no answer."""
    response = _response_of(error)
    return int(response.status_code) if response is not None else 0


def explain(
    error: BaseException,
    action: str,
    repository: str,
    *,
    section: str,
    hints: Mapping[int, str] | None = None,
) -> HubError:
    """Return an error that says what failed and what to do, without addresses or tokens.

    Args:
        error: What the Hub client raised.
        action: What failed, for example ``Failed to upload model pack``.
        repository: Name of the repository.
        section: Configuration section that names it.
        hints: Status of an answer → what to do about it, besides the usual ones.
    """
    for found in _chain(error):
        found.args = tuple(_clean_text(a) if isinstance(a, str) else a for a in found.args)
    messages = dict.fromkeys(clean(found) for found in _chain(error))
    rights = _RIGHTS_HINT.format(section=section, name=section.rpartition(".")[2])
    usual = _NETWORK_HINT if is_transient(error) else rights
    hint = {**_HINTS, **(hints or {})}.get(status_of(error), usual)
    return HubError(f"{action} {repository}: {' <- '.join(messages)}\n  {hint}")


def clean(error: BaseException) -> str:
    """Return the message of an error in one line, without secrets and signed addresses."""
    text = _clean_text(str(error) or type(error).__name__)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ends = [line if line[-1] in ".:;,!?" else f"{line};" for line in lines[:-1]]
    return " ".join([*ends, *lines[-1:]])


def _clean_text(text: str) -> str:
    return _TOKEN.sub("***", _QUERY.sub(r"\1", text))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _transport_errors() -> tuple[type[BaseException], ...]:
    # The client's HTTP library differs between its versions; its base class is what they share.
    from huggingface_hub.errors import HfHubHTTPError

    library = tuple(base for base in HfHubHTTPError.__bases__ if base is not OSError)
    return (*library, ConnectionError, TimeoutError)


def _response_of(error: BaseException) -> Any:
    responses = (getattr(found, "response", None) for found in _chain(error))
    return next((response for response in responses if response is not None), None)


def _retry_after(error: BaseException) -> float | None:
    headers = getattr(_response_of(error), "headers", {})
    value = str(headers.get("Retry-After", ""))
    return float(value) if value.isdigit() else None

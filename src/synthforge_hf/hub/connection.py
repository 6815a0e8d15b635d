"""Talking to the Hub over a network that fails: what is worth another try, how long to wait, and what to tell the user.

Nothing that is said here holds a token: messages are made of the Hub's own words with everything like a secret taken
out, and the client's exceptions, which hold signed addresses, are not chained.
"""

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session, logging

from synthforge_hf.errors import SynthForgeError, UsageError

Result = TypeVar("Result")

TRANSIENT = {408, 412, 425, 429, 500, 502, 503, 504}
"""HTTP answers after which the same request may succeed. 412: somebody else changed the branch meanwhile."""

HIDDEN = "[hidden]"


@dataclass(frozen=True)
class Patience:
    """How often to try, and how long to wait between: first_wait, doubled each time up to longest_wait, or as the Hub
    asks with Retry-After. answer_within: how long one request may stay without an answer. All in seconds."""

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    answer_within: float = 120.0


@dataclass(frozen=True)
class Hub:
    """One Hub, one user, and how patient we are with it. token: None for the one that ``hf auth login`` stored."""

    token: str | None = None
    patience: Patience = Patience()

    @property
    def api(self) -> HfApi:
        return HfApi(token=self.token, library_name="synthforge_hf")

    @property
    def secrets(self) -> list[str]:
        """Return what must never be written anywhere."""
        return [token for token in (self.token, get_token()) if token]

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Around everything that is asked of the Hub: the client keeps its warnings, which name signed addresses, to
        itself, and afterwards is as patient with silence as it was before."""
        verbosity, timeout = logging.get_verbosity(), get_session().timeout
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            get_session().timeout = timeout

    def _limit_silence(self) -> None:
        """The client by itself waits for ever for a Hub that takes a request and says nothing."""
        session = get_session()
        if session.timeout.read is None:
            session.timeout = self.patience.answer_within

    def redact(self, text: str) -> str:
        """Take everything like a token, and the signatures of addresses, out of a text."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        text = re.sub(r"\bhf_[A-Za-z0-9_]{8,}", HIDDEN, text)
        text = re.sub(r"(?i)\bbearer\s+\S+", HIDDEN, text)
        return re.sub(r"(https?://[^\s?]+)\?\S+", r"\1", text)

    def patiently(self, action: Callable[[], Result], doing: str) -> Result:
        """Return what ``action`` returns, trying again after faults that may pass. It must be safe to repeat.

        doing: what to call it in messages, as in "pushing faces to me/faces".
        Raises SynthForgeError (one line, no secrets) when the fault does not pass or is final.
        """
        wait = self.patience.first_wait
        for attempt in range(1, self.patience.attempts + 1):
            try:
                self._limit_silence()
                return action()
            except SynthForgeError:
                raise
            except Exception as error:
                fault = _fault_of(error)
                if fault is None:
                    raise
                problem = self._explain(fault, doing)
                status = getattr(getattr(fault, "response", None), "status_code", None)
                passing = not isinstance(fault, OfflineModeIsEnabled | HFValidationError) and (
                    status is None or status in TRANSIENT
                )
            if not passing or attempt == self.patience.attempts:
                raise problem
            pause = min(_retry_after(fault) or wait, self.patience.longest_wait)
            if sys.stderr.isatty():
                print(f"{problem}; trying again in {pause:.0f} s", file=sys.stderr)
            time.sleep(pause)
            wait *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _explain(self, fault: Exception, doing: str) -> SynthForgeError:
        """Return one line for the user: what happened and what to do."""
        endpoint = self.api.endpoint
        if isinstance(fault, HFValidationError):
            return UsageError(f"{doing}: {self.redact(_one_line(str(fault)))}")
        if isinstance(fault, OfflineModeIsEnabled):
            return SynthForgeError(f"{doing}: HF_HUB_OFFLINE is set; unset it to use the Hub")
        if not isinstance(fault, HfHubHTTPError):
            reason = self.redact(_one_line(str(fault)) or type(fault).__name__)
            return SynthForgeError(
                f"{doing}: the Hub at {endpoint} does not answer ({reason}); check the network, then run the same "
                "command again: it goes on where it was"
            )
        status = fault.response.status_code
        said = self.redact(_one_line(fault.server_message or "") or f"HTTP {status}")
        if isinstance(fault, GatedRepoError):
            return SynthForgeError(f"{doing}: access must be asked for on the repository's page first ({said})")
        if isinstance(fault, RevisionNotFoundError):
            return SynthForgeError(f"{doing}: there is no such branch, tag or commit ({said})")
        if status == 401 and not isinstance(fault, RepositoryNotFoundError):
            return SynthForgeError(f"{doing}: the Hub does not accept your token ({said}); log in: hf auth login")
        if isinstance(fault, RepositoryNotFoundError):
            return SynthForgeError(
                f"{doing}: there is no such repository that you may use; check the name, or log in: hf auth login"
            )
        if status in (402, 403, 413, 507):
            return SynthForgeError(
                f"{doing}: the Hub refuses: {said}; check the token's rights and the account's storage. Nothing has "
                "become visible; run the same command again afterwards"
            )
        if status == 412:
            return SynthForgeError(f"{doing}: somebody else keeps changing the same branch; try again later")
        if status in TRANSIENT:
            return SynthForgeError(
                f"{doing}: the Hub answers {status} ({said}); run the same command again later: it goes on where it was"
            )
        return SynthForgeError(f"{doing}: the Hub refuses with {status}: {said}")


def quiet_bar(progress: bool = True) -> dict[str, Any]:
    """Return the options of a progress bar that shows itself after a second, and only on a terminal."""
    return {"disable": None if progress else True, "delay": 1}


def _fault_of(error: BaseException | None) -> Exception | None:
    """Return the fault of the network or the Hub behind an exception of the client; None where there is none."""
    seen = error
    while seen is not None:
        if isinstance(seen, HTTPError | OfflineModeIsEnabled | HFValidationError):
            return seen
        seen = seen.__cause__
    return error if isinstance(error, LocalEntryNotFoundError) else None


def _retry_after(fault: Exception) -> float | None:
    value = getattr(getattr(fault, "response", None), "headers", {}).get("Retry-After")
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return float(value)
    with contextlib.suppress(ValueError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]

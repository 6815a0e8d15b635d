"""Faults that a test switches on, each for the next few requests that match."""

import re
import threading
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Fault:
    """What goes wrong with which requests.

    path: regular expression searched in the path. skip, times: matching requests that pass before it, and that it hits.
    kind: "status" answers ``status`` (and Retry-After); "drop" breaks the connection before anything is done;
    "drop_answer" does what was asked and breaks the connection instead of answering; "cut" breaks it in the middle of
    the answer's (GET) or of the request's (PUT) body; "slow" waits ``seconds`` first; "damage" changes one bit of
    the answer.
    """

    path: str
    kind: Literal["status", "drop", "drop_answer", "cut", "slow", "damage"]
    method: str = ""
    status: int = 500
    retry_after: int | None = None
    seconds: float = 0.0
    times: int = 1
    skip: int = 0
    message: str = "a fault of the test"


@dataclass
class Faults:
    waiting: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_for(self, method: str, path: str) -> Fault | None:
        """Return the fault that hits this request, and count it."""
        with self.lock:
            for fault in self.waiting:
                if fault.times > 0 and fault.method in ("", method) and re.search(fault.path, path):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

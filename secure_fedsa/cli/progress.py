"""Progress on standard error: one line a step, so that logs stay readable."""

from __future__ import annotations

import sys
import time

from secure_fedsa.engines.local import phase_of
from secure_fedsa.roles import effects as fx

_WORDS = {
    "opening": "Nonces and per-run keys",
    "query": "The student encrypts its saliency",
    "private-summary": "Teachers charge their ledgers, then read their records or ask models",
    "saliency": "Blinded encrypted scores; the key holder signs the roster",
    "features": "Selected teachers mask and encrypt their feature signals",
    "release": "The key holder checks, logs and opens one sum",
    "amalgamation": "The student learns from the sum",
    "erasure": "Keys and noisy signals are erased",
}


class Progress:
    """Prints each step once, with the seconds since the start."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._started = time.monotonic()
        self._quiet = quiet
        self._shown: set[str] = set()
        self._read = 0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Print one line."""
        if not self._quiet:
            print(f"[{self.seconds:5.1f} s] {text}", file=sys.stderr, flush=True)

    def effect(self, party: str, effect: fx.Effect) -> None:
        """Note an effect of a run; prints when a phase begins."""
        if isinstance(effect, fx.ReadPrivate):
            self.say(f"  {party} reads its records under fresh noise")
        if isinstance(effect, fx.AskModel):
            self.say(f"  {party} asks its model about public probes")
        phase = phase_of(effect)
        if phase not in self._shown and phase in _WORDS:
            self._shown.add(phase)
            self.say(_WORDS[phase])

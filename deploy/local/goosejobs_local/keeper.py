"""`python -m goosejobs_local.keeper PROGRAM ...` starts a program again when it ends, as a cluster would.

The operator is made to end when it can no longer watch the API server, and to be started anew. What ends
before it has ever run for a while is set up wrongly: then the keeper ends too, with the same exit code. When
the keeper dies, however that happens, the kernel kills what it kept.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

_SETTLED_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str]) -> int:
    """Keep a program running until SIGTERM; returns its last exit code."""
    kept = _Kept(argv)
    signal.signal(signal.SIGTERM, kept.told_to_stop)
    settled, pause = False, _FIRST_PAUSE_SECONDS
    while True:
        began = time.monotonic()
        code = kept.run()
        ran = time.monotonic() - began
        settled = settled or ran >= _SETTLED_SECONDS
        if kept.stopping or not settled:
            return code
        pause = _FIRST_PAUSE_SECONDS if ran >= _SETTLED_SECONDS else min(2 * pause, _LONGEST_PAUSE_SECONDS)
        print(f"ended with code {code}: starting it again in {pause:.0f} s", file=sys.stderr, flush=True)
        if kept.wait_for_stop(pause):
            return code


class _Kept:
    """The program that is kept, and whether we were told to stop."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        self._process: subprocess.Popen[bytes] | None = None
        self.stopping = False

    def run(self) -> int:
        """Run it to its end."""
        # A session of its own: a signal for our group is ours to pass on, once.
        self._process = subprocess.Popen(
            self._argv,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 -- there are no threads here
        )
        if self.stopping:  # told between the last end and this start
            self._process.terminate()
        code = self._process.wait()
        self._process = None
        return code if code >= 0 else 128 - code

    def told_to_stop(self, *_: object) -> None:
        """Pass the signal on."""
        self.stopping = True
        if self._process is not None:
            self._process.terminate()

    def wait_for_stop(self, seconds: float) -> bool:
        """Pause; says whether we were told to stop."""
        deadline = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.stopping


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # the keeper died before the line above
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

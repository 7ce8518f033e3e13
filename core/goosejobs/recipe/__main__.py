"""The child process that handles recipes: `python -m goosejobs.recipe`.

A template can loop for ever, ask for all memory or overflow the engine's stack, and nothing inside the
engine stops all of that. So it is done here, where only this process pays: CPU time per request and memory
are limited by the kernel, and the parent (goosejobs.clients.renderer) starts another child when this one
dies.

Both directions carry frames: four bytes of length, big-endian, then that much JSON. The first frame, `{}`,
says that the child is ready. A request is {text, parameters, base_dir, files_root, check, scheduled}; an
answer is {text, title, needs_output, schedule} or {problems: [[path, message, reason], ...]}. The child ends
when its input does, so it cannot outlive its parent by more than one request's CPU time.
"""

import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

from goosejobs.recipe import FRAME, RecipeError
from goosejobs.recipe.files import RecipeFolder, UnseenFolder
from goosejobs.recipe.prepare import prepare

_LONGEST = 500
"""Characters of a problem's path or message: they can quote the recipe, and there can be many."""


def main() -> None:
    """Answer requests until the input ends. Arguments: CPU seconds per request, bytes of memory."""
    cpu_seconds, memory_bytes = float(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the parent's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    serve(sys.stdin.buffer, sys.stdout.buffer, cpu_seconds)


def serve(requests: BinaryIO, answers: BinaryIO, cpu_seconds: float) -> None:
    """Answer each request in turn; SIGPROF ends the process once one has used up its CPU time."""
    write(answers, {})
    while len(head := requests.read(FRAME.size)) == FRAME.size:
        body = requests.read(FRAME.unpack(head)[0])
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        answer = handle(json.loads(body))
        signal.setitimer(signal.ITIMER_PROF, 0)
        write(answers, answer)


def handle(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request."""
    base_dir = request["base_dir"]
    files = UnseenFolder(base_dir) if request["check"] else RecipeFolder(request["files_root"], base_dir)
    try:
        prepared = prepare(request["text"], request["parameters"], files, scheduled=request["scheduled"])
        return asdict(prepared)
    except RecipeError as error:
        return {
            "problems": [(p.path[:_LONGEST], p.message[:_LONGEST], p.reason) for p in error.problems[:100]]
        }
    except MemoryError:
        os.abort()  # the same end as when the engine runs out of memory


def write(answers: BinaryIO, answer: dict[str, Any]) -> None:
    """Send one frame."""
    body = json.dumps(answer).encode()
    answers.write(FRAME.pack(len(body)) + body)
    answers.flush()


if __name__ == "__main__":
    main()

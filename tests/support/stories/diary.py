"""What the agents of a story wrote down themselves: which run they are of, when, and who else was alive then.

The agent is a shell script that goose runs as a tool. It finds its run in goose's own command line, so a run
that was never meant to be shows itself here. Beside it, it leaves a process behind that does all it can to
survive: a run is over only when that is dead.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.ledger import is_alive

_AGENT = """
trap '' TERM
patience=${1:-1000} folder=$(dirname "$0") up=$PPID session=
while [ "$up" -gt 1 ] && [ -z "$session" ]; do
  session=$(tr '\\0' '\\n' <"/proc/$up/cmdline" | sed -n 's/^--name=//p')
  up=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$up/status")
done
[ -n "$session" ] || exit 1  # its goose is dead already, and it is about to be
job=${GOOSE_JOB_ID#*/}
of=${session#"${GOOSE_JOB_ID%%/*}-$job-"}
file=$folder/$job
echo "start $STORY_LIFE $STORY_POLICY ${of%-*} ${of##*-} $$ $(date +%s%N)" >>"$file"
while read -r word _ _ run attempt pid _; do
  if [ "$pid" = "$$" ]; then break; fi
  state=$(sed -n 's/^State:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null)
  if [ "$word" != end ] && [ -n "${state%%Z*}" ]; then
    echo "overlap $STORY_LIFE $STORY_POLICY ${of%-*} ${of##*-} $pid $run/$attempt" >>"$file"
  fi
done <"$file"
(setsid sh -c 'echo "escaped $STORY_LIFE $STORY_POLICY '"${of%-*} ${of##*-}"' $$ 0" >>"'"$file"'"
  exec sleep 600' >/dev/null 2>&1 </dev/null &)
runs=$(sed -n "s/^start $STORY_LIFE [^ ]* \\([^ ]*\\) .*/\\1/p" "$file" | sort -u | wc -l)
if [ "$runs" -gt "$patience" ]; then exec sleep 600; fi
sleep "$STORY_SECONDS"
echo "end $STORY_LIFE $STORY_POLICY ${of%-*} ${of##*-} $$ $(date +%s%N)" >>"$file"
echo "came to its end"
"""


@dataclass(frozen=True)
class Line:
    """A line of an agent.

    Attributes:
        word: `start`, `end`; `escaped`, by what it left behind; `overlap`: another agent is alive.
        life: The how manieth GooseJob of its name this is, from 1.
        policy: The concurrencyPolicy that the run was started with.
        run: The run's id.
        attempt: The attempt's number.
        pid: The writer's; of an `overlap` the other one's.
        more: Nanoseconds; of an `overlap` the other one's run and attempt.
    """

    word: str
    life: int
    policy: str
    run: str
    attempt: int
    pid: int
    more: str

    @classmethod
    def read(cls, text: str) -> "Line":
        """Take a line apart."""
        word, life, policy, run, attempt, pid, more = text.split()
        return cls(word, int(life), policy, run, int(attempt), int(pid), more)


@dataclass(frozen=True)
class Diary:
    """What the agents of one telling wrote."""

    folder: Path

    @property
    def agent(self) -> Path:
        """The script."""
        return self.folder / "agent.sh"

    def add(self, job: str) -> None:
        """A page for a GooseJob, which goose's own user may write on."""
        page = self.folder / job
        page.touch()
        page.chmod(0o666)

    def lines(self, job: str) -> list[Line]:
        """What its agents wrote, in order."""
        whole = (self.folder / job).read_text().rpartition("\n")[0]  # the last line may be half written
        return [Line.read(line) for line in whole.splitlines()]

    def length(self) -> int:
        """How many lines there are."""
        return sum(len(page.read_text().splitlines()) for page in self._pages())

    def alive(self) -> list[Line]:
        """Who is alive of all that agents started."""
        lines = [line for page in self._pages() for line in self.lines(page.name)]
        return [line for line in lines if line.word in {"start", "escaped"} and is_alive(line.pid)]

    def _pages(self) -> list[Path]:
        return [page for page in self.folder.iterdir() if page != self.agent]


@contextmanager
def new_diary() -> Iterator[Diary]:
    """An empty one; it goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="goosejobs-diary-"))
    folder.chmod(0o755)
    diary = Diary(folder)
    diary.agent.write_text(_AGENT)
    try:
        yield diary
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""Locking memory is tried in child processes: it cannot be taken back."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

MAY_LOCK = "import resource; from evidence import memory; may = memory._may_lock_without_limit()\n"
LOCKED_KB = "[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmLck')][0]"
# A child that is root gives its rights up, as the unit's service has none.
WITHOUT_RIGHTS = """
import ctypes, os, resource
from evidence import memory
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_a_process_that_may_locks_all_its_memory() -> None:
    script = MAY_LOCK + (
        "if not may: print('not permitted here')\n"
        "else:\n"
        f"    memory.lock_memory(); data = bytearray(b'x') * 8_000_000; print({LOCKED_KB})"
    )
    done = run(script)
    assert done.returncode == 0, done.stderr
    if done.stdout.strip() == "not permitted here":
        assert_refusal_is_one_sentence(MAY_LOCK)
    else:
        assert int(done.stdout) > 8_000


def test_a_process_that_may_not_is_told_so_in_one_sentence() -> None:
    assert_refusal_is_one_sentence(WITHOUT_RIGHTS)


def assert_refusal_is_one_sentence(preparation: str) -> None:
    done = run(
        preparation + "\ntry:\n    memory.lock_memory()\nexcept memory.MemoryNotLockedError as error:\n    print(error)"
    )
    assert done.stdout == (
        "The memory cannot be locked (this process may lock only a part of it): switch swap off, or set "
        "LimitMEMLOCK=infinity for this service.\n"
    ), done.stderr


def test_a_crash_leaves_no_core_dump_and_no_other_process_may_read_the_memory(tmp_path: Path) -> None:
    done = run(
        "import ctypes, os, resource, sys\n"
        "from evidence.memory import forbid_core_dumps\n"
        "os.chdir(sys.argv[1]); forbid_core_dumps()\n"
        "is_dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), is_dumpable, flush=True)\n"
        "os.abort()",
        str(tmp_path),
    )
    assert done.stdout == "(0, 0) 0\n", done.stderr
    assert list(tmp_path.iterdir()) == []

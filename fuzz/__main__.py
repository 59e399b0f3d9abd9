"""Run targets under libFuzzer and report, or run one target on one input.

python -m fuzz                             # every target, 15 s each
python -m fuzz relay bridge --seconds 600
python -m fuzz relay --input FILE          # one input, with the traceback if it crashes

What libFuzzer finds interesting is kept in `var/fuzz` and used again; `fuzz/corpus` holds the few inputs that are part
of the repository, and the input of every crash.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from fuzz.crashes import reproduce
from fuzz.targets import CORPUS, TARGETS

ROOT = Path(__file__).resolve().parents[1]
SECONDS_DEFAULT = 15
#: Longer inputs add time, not ways through a parser; the worst sizes have tests of their own (tests/fuzz).
INPUT_BYTES_MAX = 64 * 1024
INPUT_SECONDS_MAX = 5
MEMORY_MB_MAX = 1_024
#: Loading everything with instrumentation, and writing the last statistics.
STARTUP_SECONDS_MAX = 120

_EXECUTED = re.compile(r"stat::number_of_executed_units: *(\d+)")


def fuzzed(name: str, seconds: int) -> bool:
    """Fuzz one target and print one line, or what a crash said. True when nothing crashed."""
    found, kept = ROOT / "var" / "fuzz" / name, CORPUS / name
    found.mkdir(parents=True, exist_ok=True)
    before = set(kept.iterdir())
    limits = [
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={kept}/",
        "-print_final_stats=1",
    ]
    command = [sys.executable, "-m", "fuzz.engine", name, *limits, str(found), str(kept)]
    limit_s = seconds + STARTUP_SECONDS_MAX
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False
    )
    executed = _EXECUTED.search(run.stderr)
    crashes = sorted(set(kept.iterdir()) - before)
    if run.returncode == 0 and executed is not None and not crashes:
        print(f"{name:<10} {int(executed[1]):>9} inputs in {seconds} s, no crash, {len(list(found.iterdir()))} kept")
        return True
    print(f"{name}: crashed (exit {run.returncode})\n{run.stdout[-2_000:]}{run.stderr[-4_000:]}")
    for crash in crashes:
        print(f"reproduce: {reproduce(name, crash.relative_to(ROOT))}")
    return False


def main() -> int:
    """Zero when no target crashed."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz the parsers of foreign bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all without any")
    parser.add_argument("--seconds", type=int, default=SECONDS_DEFAULT, help="per target")
    parser.add_argument("--input", type=Path, help="run the one target on this file and nothing else")
    options = parser.parse_args()
    unknown = set(options.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    if options.input is None:
        results = [fuzzed(name, options.seconds) for name in options.targets or TARGETS]
        return 0 if all(results) else 1
    if len(options.targets) != 1:
        parser.error("--input needs exactly one target")
    understood = any(TARGETS[options.targets[0]](options.input.read_bytes()).values())
    print("understood" if understood else "refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())

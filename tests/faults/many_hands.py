"""Do two commands on one directory ever train the same thing twice, or lose or mix files?

    python tests/faults/many_hands.py [--rounds 20] [--executor local]

In each round two `ltbv bootstrap` commands with the same settings start on one new directory, the second after a
seeded random pause. Printed: stages trained (each should be once), files that differ from those of one command alone.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
from campaign import Case, files, uninterrupted


def round_of_two(case: Case, study: Path, pause: float) -> Counter:
    """How often each stage was trained on each runs, by both together."""
    command = [word for word in case.command(study) if word != "-q"] + ["-v"]
    hands = []
    for wait in (0.0, pause):
        time.sleep(wait)
        hands.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    trained: Counter = Counter()
    for hand in hands:
        _, said = hand.communicate()
        assert hand.returncode == 0, said
        trained.update(re.findall(r"train \S+, runs .*", said))
    return trained


def campaign(rounds: int, seed: int, executor: str, folder: Path) -> tuple[int, int, int]:
    """Stages trained, stages trained twice, files differing: over all rounds."""
    case, draw = Case(executor, "nobody"), random.Random(seed)
    seconds = uninterrupted(case, folder / "whole")
    whole = files(folder / "whole")
    trained = twice = differ = 0
    for k in range(rounds):
        study = folder / f"round-{k}"
        found = round_of_two(case, study, draw.uniform(0, seconds / 2))
        trained += sum(found.values())
        twice += sum(count > 1 for count in found.values())
        after = files(study)
        differ += sum(after.get(name) != whole.get(name) for name in after.keys() | whole.keys())
    return trained, twice, differ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executor", default="local")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trained, twice, differ = campaign(arguments.rounds, arguments.seed, arguments.executor, Path(folder))
    print(f"{arguments.rounds} rounds, {trained} stages trained, {twice} of them twice, {differ} files differing")
    sys.exit(bool(twice or differ))


if __name__ == "__main__":
    main()

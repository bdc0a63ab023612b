"""Do the types hold? mypy finds nothing in ltbv but in the rooms that are counted, and there never more than before.

python tests/lint/typed.py        # make lint runs it; the settings are in pyproject.toml
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

COUNTED = ("ltbv/cli.py", "ltbv/harness/", "ltbv/report/")
LEFT = 83  # errors in these, which may only fall


def verdict(lines: Iterable[str], left: int = LEFT) -> str:
    """What is wrong, from what mypy said; empty where nothing is."""
    found = [match for line in lines if (match := re.match(r"([^:]+):\d+: error: ", line))]
    counted = [match for match in found if match[1].replace("\\", "/").startswith(COUNTED)]
    if others := [match.string for match in found if match not in counted]:
        return "\n".join([*others, f"{len(others)} errors where there were none"])
    here = f"mypy finds {len(counted)} errors in {', '.join(COUNTED)}"
    if len(counted) > left:
        files = Counter(match[1] for match in counted)
        tally = [f"{number:4} {file}" for file, number in sorted(files.items())]
        return "\n".join([*tally, f"{here}; there were {left}. `mypy` lists them: mend yours"])
    if len(counted) < left:
        return f"{here}, fewer than {left}: write {len(counted)} into LEFT of tests/lint/{Path(__file__).name}"
    return ""


if __name__ == "__main__":
    command = [sys.executable, "-m", "mypy", "--no-pretty", "--hide-error-context", "--no-color-output"]
    said = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    if said.returncode not in (0, 1):  # it did not come to an end
        sys.exit(said.stdout + said.stderr)
    sys.exit(verdict(said.stdout.splitlines()) or 0)

"""Do types hold for a user? To `mypy --strict`, `user.py` has no error, and what is wrong in `wrong.py` is told."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("tests/lint/user.py", "tests/lint/wrong.py")
SEPARATE = ("--config-file=", "--follow-imports=silent", "--cache-dir=.mypy_cache/user")  # as where ltbv is installed


def test_a_program_of_a_user_has_no_error_of_type_and_a_wrong_one_has(monkeypatch):
    api = pytest.importorskip("mypy.api")
    monkeypatch.chdir(ROOT)
    said, amiss, _ = api.run(["--strict", *SEPARATE, "--no-pretty", *PROGRAMS])
    errors = re.findall(r"^(.*?):(\d+): error: (.*)$", said.replace("\\", "/"), re.M)
    lines = (ROOT / PROGRAMS[1]).read_text().splitlines()
    wanted = {number: line.split("  # ")[1] for number, line in enumerate(lines, 1) if "  # " in line}
    assert len(wanted) == 7 and not amiss
    assert [(file, int(number)) for file, number, _ in errors] == [(PROGRAMS[1], number) for number in wanted], said
    for (_, number, words), line in zip(errors, wanted.values(), strict=True):
        assert line in words, number

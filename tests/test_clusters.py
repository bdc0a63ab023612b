"""The batch script of docs/clusters.md, word by word, with a pretended SLURM: which chunk, and when it is queued."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "clusters.md"


@pytest.mark.parametrize(("ends", "queued"), [(0, ""), (2, ""), (143, "requeue 7_1\n")])
def test_a_task_does_its_chunk_and_is_queued_again_where_it_was_told_to_end(tmp_path, ends, queued):
    (script,) = (block for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.S) if "#SBATCH" in block)
    programs = {
        "srun": '"$@"',
        "scontrol": 'echo "$@" >> queued',
        "ltbv": f'echo "$@" > asked; exit {ends}',
        "python": f'exec {sys.executable} "$@"',
    }
    for name, does in programs.items():
        program = tmp_path / ".venv" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    (tmp_path / ".venv" / "bin" / "activate").write_text('PATH="$PWD/.venv/bin:$PATH"\n')
    chunks = [{"command": f"ltbv run {runs} --method ce --study 'a study'"} for runs in ("0-4", "5-9")]
    (tmp_path / "chunks.json").write_text(json.dumps({"chunks": chunks}))
    task = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "7", "SLURM_JOB_ID": "8"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=os.environ | task, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (ends, "")
    assert (tmp_path / "asked").read_text() == "run 5-9 --method ce --study a study\n"
    found = tmp_path / "queued"
    assert (found.read_text() if found.exists() else "") == queued

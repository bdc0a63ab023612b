"""Is an error of type told where there were none, and where there are more, or fewer, than are counted?"""

import re

import pytest
from typed import verdict

HERE = 'ltbv/report/page.py:74: error: Argument 1 to "flat" has an incompatible type  [arg-type]'
NOTE = "ltbv/report/page.py:74: note: a note is no error: none"
THERE = "ltbv/stats/votes.py:7: error: Incompatible return value type  [return-value]"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([HERE, HERE], ""),
        ([HERE, NOTE, HERE, "Found 2 errors in 1 file"], ""),
        ([HERE, HERE, HERE], "   3 ltbv/report/page.py\nmypy finds 3 errors in .*; there were 2. .* mend yours"),
        ([HERE], "mypy finds 1 errors in .*, fewer than 2: write 1 into LEFT of tests/lint/typed.py"),
        ([HERE, HERE, THERE], ".*votes.py:7: error: .*\n1 errors where there were none"),
        ([HERE.replace("/", "\\"), HERE], ""),
    ],
)
def test_errors_are_told_where_they_are_new(lines, said):
    assert re.fullmatch(said, verdict(lines, left=2))

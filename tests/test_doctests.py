"""Does the Python door say what it takes, and do its examples run?"""

import doctest
import inspect
from functools import cached_property

import pytest

import ltbv
from ltbv.report.analysis import analyse
from ltbv.report.result import Analysis

MEMBERS = {name: member for name, member in vars(Analysis).items() if not name.startswith("_")}
ASKED = [name for name, member in MEMBERS.items() if name not in Analysis.__dataclass_fields__]
EXAMPLES = {
    example.name: example
    for of, name in [
        (Analysis, "Analysis"),
        # older Pythons do not look there
        *((member.func, f"Analysis.{key}") for key, member in MEMBERS.items() if isinstance(member, cached_property)),
    ]
    for example in doctest.DocTestFinder().find(of, name, globs={})
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_an_analysis_say_what_they_print(name):
    """Those of its members go on where that of the class ends."""
    found: dict = {}
    for one in (EXAMPLES[of] for of in dict.fromkeys(["Analysis", name])):
        one.globs = found
        said: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(one, out=said.append, clear_globs=False)
        assert not said, "".join(said)


def test_the_example_of_analyse_says_what_it_prints():
    doctest.run_docstring_examples(analyse, {}, name="analyse")
    (found,) = doctest.DocTestFinder(recurse=False).find(analyse, "analyse", globs={})
    assert doctest.DocTestRunner().run(found).failed == 0 and len(found.examples) > 3


@pytest.mark.parametrize("name", ASKED)
def test_every_member_says_what_it_is_and_shows_it(name):
    said = inspect.getdoc(MEMBERS[name])
    assert said and "Examples\n--------\n>>> " in said
    assert name in dir(Analysis) and f"\n{name} " in inspect.getdoc(Analysis)


def test_a_docstring_names_every_argument():
    for asked in (analyse, Analysis.plot, Analysis.against, Analysis.write):
        names = [name for name in inspect.signature(asked).parameters if name != "self"]
        parameters = inspect.getdoc(asked).split("Parameters\n")[1].split("\nReturns\n")[0].split("\nRaises\n")[0]
        assert all(any(name in line for line in parameters.split("\n") if line[:1] != " ") for name in names), asked


def test_help_of_the_package_reads_as_a_page():
    assert set(ltbv.__all__) <= set(dir(ltbv)) and ltbv.Analysis is Analysis
    assert all(name in ltbv.__doc__ for name in ltbv.__all__)

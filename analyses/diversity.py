"""Which form of RIDE's diversity term should `ride` take?

Question  The paper's pairwise divergence and the released code's divergence from the mean, each with its own weight,
          the latter also with one temperature for all classes, beside three experts without any: accuracy, bias and
          variance on glyphs-lt.
Command   python analyses/diversity.py
Cost      5 methods x 10 runs; about 12 minutes on two cores that had other work too
Answer    reports/diversity (in git as Markdown and CSV, and the predictions; the command makes page, LaTeX and
          figures beside them)

          The diversity term does nothing that ten runs could show. Mean form minus none: accuracy +1.1 points (-1.2 to
          +3.4), variance .000 (-.021 to +.021); pairwise minus mean: -1.1 (-3.0 to +0.8). No interval of any split
          excludes 0. Class temperatures change nothing (no difference above .001): they come on when the learning rate
          is 1 % of what it was. What lowers RIDE's variance here are its experts. `ride` keeps the released form and
          weight, which is at least as good as the others and is what the published numbers were made with.

The seed is not the default one: the form is not chosen on the resamples that other reports show.
"""

from dataclasses import replace

from ltbv.cli import main
from ltbv.methods import find
from ltbv.methods.base import Method, Stage, Sum
from ltbv.methods.ride import Diversity

RIDE = find("ride")


def variant(key: str, label: str, diversity: Diversity) -> Method:
    """RIDE with another diversity term."""
    stage: Stage = RIDE.stages[0]
    loss = stage.objective.terms[0]
    return replace(RIDE, key=key, label=label, stages=(replace(stage, objective=Sum((loss, diversity))),))


NONE = variant("ride_none", "RIDE, no diversity", Diversity(weight=0.0))
MEAN = variant("ride_mean", "RIDE, mean 0.45", Diversity("mean", 0.45))
ALIKE = variant("ride_alike", "RIDE, mean 0.45, one temperature", Diversity(by_class=0.0))
PAIRWISE = variant("ride_pairwise", "RIDE, pairwise 0.05", Diversity("pairwise", 0.05))

if __name__ == "__main__":
    ours = [f"analyses.diversity:{name}" for name in ("NONE", "MEAN", "ALIKE", "PAIRWISE")]
    asked = [word for method in ("ce", *ours) for word in ("--method", method)]
    study = "runs/diversity"
    main(["bootstrap", *asked, "--runs", "10", "--seed", "2020", "--study", study], standalone_mode=False)
    main(["report", study, "--output", "reports/diversity"], standalone_mode=False)

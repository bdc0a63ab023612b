"""Which published claims hold on glyphs-lt? Every registered method, ten runs each, beside CE.

Question  RIDE lowers the variance of every split; re-balancing raises it; more experts help the few-shot classes most;
          the router sends images of rare classes to more experts; a gain is more than parameters. Do they hold?
Command   python analyses/all_methods.py
Cost      41 methods on 31 different stages x 10 runs; about 35 minutes on two quiet cores
Answer    reports/all-methods
"""

from ltbv.cli import main
from ltbv.methods import METHODS

STUDY = "runs/all-methods"

if __name__ == "__main__":
    asked = [word for method in METHODS for word in ("--method", method)]
    main(["bootstrap", *asked, "--runs", "10", "--study", STUDY], standalone_mode=False)
    main(["report", STUDY, "--output", "reports/all-methods"], standalone_mode=False)

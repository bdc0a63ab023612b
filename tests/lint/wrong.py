"""What mypy has to find wrong in the program of somebody who uses ltbv; behind each line what it says. Not run."""

import ltbv
from ltbv import stats
from ltbv.losses import cross_entropy

print(ltbv.analyze)  # Module has no attribute "analyze"
ltbv.bootstrap(["ce"], runs="10")  # Argument "runs" to "bootstrap" has incompatible type "str"
print(ltbv.bootstrap(["ce"]).verdict)  # "Analysis" has no attribute "verdict"
print(ltbv.images("photographs").paths)  # "Pool" has no attribute "paths"
ltbv.Stage("representation", cross_entropy)  # Argument 2 to "Stage" has incompatible type
stats.splits([500, 60], many="100")  # Argument "many" to "splits" has incompatible type "str"
ltbv.sklearn.bootstrap({}, 0, 0, 0, 0, runs=None)  # Argument "runs" to "bootstrap" has incompatible type "None"

"""How is a stack of runs trained and read? One loop for every method; the last epoch is what counts, always."""

REVISION = 3  # bumped when results move on purpose: stages trained by another revision are not taken for these

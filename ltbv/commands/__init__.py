"""Commands that do not train: a file each, which `ltbv.cli` brings together.

Every command imports what it needs when it runs, so that `--help` is quick and `report` works where there is no torch.
"""

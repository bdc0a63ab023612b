"""`python -m ltbv` is `ltbv`."""

from ltbv.cli import main

main()

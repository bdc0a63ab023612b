"""What is on the disk of a study, for whoever trains, asks or reports?

`directory` knows every file of a study, `provenance` what a file of a run says of itself, `locks` who works on which
runs. No torch here: reports are made where there is none.
"""

from ltbv.store.directory import Store, command, flat, span, spans

__all__ = ["Store", "command", "flat", "span", "spans"]

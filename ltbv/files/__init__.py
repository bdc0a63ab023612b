"""How is a file written so that it is whole or absent, and read so that nothing in it is trusted?

    atomic    written under another name, flushed, fsynced, renamed last, the directory fsynced too
    reading   what is damage of a file, and what a fault of the moment
    npy       one array: what its header promises is held against the bytes there are before memory is taken
    npz       archives of plain arrays, with a checksum (CRC-32) of each, which every reading checks
    text      JSON
    lines     those of several processes, appended to one file
    pickles   those of others, of which nothing is run

Nothing of ltbv's own is pickled. Whatever it stores or reads goes through here.
"""

from ltbv.files.atomic import refuse_if_closed, remove, set_aside, write_bytes, write_together, writing
from ltbv.files.lines import Lines
from ltbv.files.npz import (
    names_of,
    packed,
    read_arrays,
    read_given,
    read_rows,
    shape_of,
    stream_arrays,
    write_arrays,
)
from ltbv.files.reading import Damaged
from ltbv.files.text import parsed, read_json, write_json

__all__ = [
    "Damaged",
    "Lines",
    "names_of",
    "packed",
    "parsed",
    "read_arrays",
    "read_given",
    "read_json",
    "read_rows",
    "refuse_if_closed",
    "remove",
    "set_aside",
    "shape_of",
    "stream_arrays",
    "write_arrays",
    "write_bytes",
    "write_json",
    "write_together",
    "writing",
]

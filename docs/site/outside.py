"""Where do links lead that leave docs/? To the file itself, which the site brings along: it knows no address of a
repository. In the Markdown they are plain relative links, so they work in any viewer of the source."""

import re

OUTSIDE = re.compile(r"\]\(((?:\.\./)+(?:reports|benchmarks|analyses|tests)/[^)#]+)\)")


def setup(app):
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read(app, name, source):
    del app, name
    source[0] = OUTSIDE.sub(r"](path:\1)", source[0])

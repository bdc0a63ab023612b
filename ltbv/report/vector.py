"""How does a figure of matplotlib become SVG within the page? Small, in the theme's colours, with words on hover.

Coordinates have two decimals, styles are classes that all figures share, ids are kept where something refers to them,
and text stays text. Every colour is a variable of the page's style: in a dark theme its lightness is turned round, so
that what is light on dark is dark on light; letters on coloured cells stay readable.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from xml.etree import ElementTree

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ltbv.report.hover import said

NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
RECTANGLE = re.compile(r"M(-?[\d.]+) (-?[\d.]+)L(-?[\d.]+) \2L\3 (-?[\d.]+)L\1 \4(?:L\1 \2)?(?:[Zz])?")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
REFERENCE = re.compile(r"url\(#([^)]+)\)")
OF_THE_PAGE = {"#000000": "var(--text)", "#ffffff": "var(--ground)"}
LEAST, MOST = 0.19, 0.93  # lightness (OKLab) of the dark theme's ground and text
READABLE, GREYEST = 0.7, 0.04  # lightness; chroma below which a colour is a grey
# What SVG has where nothing is said, or what the page says of all its figures.
USUAL = {"stroke-linecap": "butt", "stroke-linejoin": "round", "stroke-miterlimit": "100000", "opacity": "1"}


@dataclass
class Drawn:
    """Figures as SVG, by key, and the `style` that they share."""

    classes: dict[str, str] = field(default_factory=dict)  # a style -> the class that has it
    colours: set[tuple[str, bool]] = field(default_factory=set)  # with: is it that of a line, a mark or letters?

    def add(self, key: str, content: bytes, *, label: str) -> str:
        """The SVG of `rendered` as a part of the page; `label` is for those who do not see it."""
        root = ElementTree.fromstring(content)
        for parent in list(root.iter()):
            for element in [child for child in parent if _name(child) in ("metadata", "style")]:
                parent.remove(element)  # the style says what the page's says
        referred = {of for element in root.iter() for of in _referred(element)}
        ids = {of: f"{key}-{at}" for at, of in enumerate(sorted(referred))}
        width, height = (float(value) for value in root.attrib["viewBox"].split()[2:])
        parts = [f'<svg class="figure" viewBox="0 0 {_short(width)} {_short(height)}" role="img"']
        parts += [f' aria-label="{escape(label)}">', *(self._content(root, ids)), "</svg>"]
        return "".join(parts)

    @property
    def style(self) -> str:
        """CSS of all that was added."""
        sheets = [f".figure .{name} {{ {style} }}" for style, name in self.classes.items()]
        light = " ".join(f"{_variable(*of)}: {of[0]};" for of in sorted(self.colours))
        dark = " ".join(f"{_variable(*of)}: {darkened(*of)};" for of in sorted(self.colours))
        themes = [f":root {{ {light} }}", f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"]
        return "\n".join([*(themes if self.colours else []), *sheets])

    def _content(self, parent: ElementTree.Element, ids: Mapping[str, str]) -> Iterator[str]:
        texts = said(parent.get("id", ""))
        marks = list(_marks(parent)) if len(texts) > 1 else []
        titles = dict(zip(map(id, marks), texts, strict=True)) if len(marks) == len(texts) else {}
        if len(texts) == 1 and texts[0]:
            yield f"<title>{escape(texts[0])}</title>"
        yield from self._each(parent, ids, titles)

    def _each(self, parent: ElementTree.Element, ids: Mapping[str, str], titles: Mapping[int, str]) -> Iterator[str]:
        for element in parent:
            yield from self._element(element, ids, titles)

    def _element(
        self, element: ElementTree.Element, ids: Mapping[str, str], titles: Mapping[int, str]
    ) -> Iterator[str]:
        name = _name(element)
        attributes = self._attributes(element, ids)
        parts = self._content(element, ids) if not titles else self._each(element, ids, titles)
        inner = "".join(parts)
        inner = (f"<title>{escape(words)}</title>" if (words := titles.get(id(element))) else "") + inner
        text = escape(element.text or "") if name == "text" or name == "tspan" else ""
        if name in ("g", "defs") and not (inner or text):
            return
        if name == "g" and not attributes and not inner.startswith("<title>"):
            yield inner
            return
        said_of = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
        yield f"<{name}{said_of}>{text}{inner}</{name}>" if inner or text else f"<{name}{said_of}/>"

    def _attributes(self, element: ElementTree.Element, ids: Mapping[str, str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, value in element.attrib.items():
            key = key.rpartition("}")[2]
            if key == "id":
                found |= {"id": ids[value]} if value in ids else {}
            elif key == "style":
                found |= self._styled(value)
            elif key == "href" and value.startswith("#"):
                found["href"] = f"#{ids[value[1:]]}"
            elif key == "clip-path":
                found["clip-path"] = REFERENCE.sub(lambda match: f"url(#{ids[match[1]]})", value)
            elif key != "space":
                found[key] = value if key == "href" else NUMBER.sub(lambda match: _short(float(match[0])), value)
        if "d" in found:
            found["d"] = _path(re.sub(r"\s*([A-Zz])\s*", r"\1", found["d"].strip()).replace("\n", "")).replace(
                " -", "-"
            )
        return found

    def _styled(self, style: str) -> dict[str, str]:
        pairs = (pair.partition(":")[::2] for pair in style.split(";") if pair.strip())
        of = {key.strip(): value.strip() for key, value in pairs}
        kept = []
        for key, value in sorted(of.items()):
            if key == "font-family" or USUAL.get(key) == value:  # the family is the page's
                continue
            value = NUMBER.sub(lambda match: _short(float(match[0])), value) if "#" not in value else value
            mark = key == "stroke" or value == of.get("stroke") or "font-size" in of
            kept.append(f"{key}: {self._colour(value.lower(), mark) if COLOUR.fullmatch(value) else value}")
        if not kept:
            return {}
        whole = "; ".join(kept)
        return {"class": self.classes.setdefault(whole, f"f{len(self.classes)}")}

    def _colour(self, colour: str, mark: bool) -> str:
        if colour in OF_THE_PAGE:
            return OF_THE_PAGE[colour]
        self.colours.add((colour, mark))
        return f"var({_variable(colour, mark)})"


def rendered(figure: Figure) -> bytes:
    """A figure as SVG, in the house's style, text as text; without a date, so that equal figures are equal bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a name in a script the font lacks
        figure.savefig(buffer, format="svg", metadata=NO_METADATA)
    return buffer.getvalue()


def darkened(colour: str, mark: bool = False) -> str:
    """A colour's counterpart on a dark ground: its hue, and its lightness (OKLab) turned round, from LEAST to MOST.

    A coloured line, mark or letter is READABLE at least; what is grey is as far from the ground as it was.

    Björn Ottosson, "A perceptual color space for image processing", 2020.
    """
    of = np.array(to_rgb(colour))
    linear = np.where(of <= 0.04045, of / 12.92, ((of + 0.055) / 1.055) ** 2.4)
    light, *hue = TO_LAB @ np.cbrt(TO_LMS @ linear)
    turned = MOST - (MOST - LEAST) * np.clip(light, 0, 1) ** 1.5  # what is of middle lightness stays so
    turned = max(turned, READABLE) if mark and np.hypot(*hue) > GREYEST else turned
    linear = np.clip(np.linalg.inv(TO_LMS) @ (np.linalg.inv(TO_LAB) @ np.array([turned, *hue])) ** 3, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * value):02x}" for value in shown)


TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _variable(colour: str, mark: bool) -> str:
    return f"--{'m' if mark else 'c'}{colour[1:]}"


def _short(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _referred(element: ElementTree.Element) -> Iterator[str]:
    """Ids that an element refers to."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == "href" and value.startswith("#"):
            yield value[1:]
        yield from REFERENCE.findall(value)


def _marks(parent: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """What an artist draws: each `use` of a marker, or where there is none each path that is not a definition."""
    shown = [element for element in _outside_defs(parent) if _name(element) in ("use", "path")]
    uses = [element for element in shown if _name(element) == "use"]
    return iter(uses or shown)


def _outside_defs(parent: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for element in parent:
        if _name(element) != "defs":
            yield element
            yield from _outside_defs(element)


def _path(d: str) -> str:
    """The same path; of a rectangle along the axes, corner and sides alone."""
    if (found := RECTANGLE.fullmatch(d)) is None:
        return d
    left, top, right, bottom = (float(number) for number in found.groups())
    return f"M{_short(left)} {_short(top)}h{_short(right - left)}v{_short(bottom - top)}h{_short(left - right)}z"

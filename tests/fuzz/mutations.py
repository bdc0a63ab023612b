"""How does a whole file become a damaged one? By edits: plain values, drawn by hypothesis or by a random generator."""

import json
import random
from dataclasses import dataclass

KINDS = ("flip", "cut", "drop", "insert", "overwrite", "repeat", "swap", "number")
TOKENS = (
    *(b"", b"\0", b"\0" * 8, b"\n", b"\r\n", b"\x1b[31m", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b",", b";", b"\t"),
    *(b"NaN", b"Infinity", b"-1", b"1e309", b"9" * 30, b"9" * 5000, b"-0", b"0x7f", b"true", b"null", b"[]", b"{}"),
    *(b"[" * 5000, b'{"a":' * 400, b'"\\ud800"', b'"\\u001b]0;x\\u0007"', b"\xc3\x28", b"\xe2\x80\xae", b"../../x"),
    *(b"(1000000000000,)", b"(-1,)", b"(0,)", b"(2, 1000000000000)", b"'|O'", b"'<U1000000000'", b"'<f8'", b"'|V0'"),
    *(b"'>f2'", b"'<c16'", b"'<M8[s]'", b"[('a', '<f8')]", b"True", b"()", b"(True,)"),
    *(b"cposix\nsystem\n(S'true'\ntR", b"r\xff\xff\xff\x7f", b"\x8e\0\0\0\0\0\x01\0\0", b"PK\x05\x06", b"PK\x01\x02"),
)
NUMBERS = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


@dataclass(frozen=True)
class Edit:
    """kind (see KINDS); at, to: places from 0 to 1; what: which token, number or bit."""

    kind: str
    at: float
    to: float
    what: int

    def apply(self, content: bytes) -> bytes:
        """The content with this edit."""
        at, to = (min(int(place * (len(content) + 1)), len(content)) for place in (self.at, self.to))
        first, last = min(at, to), max(at, to)
        token = TOKENS[self.what % len(TOKENS)]
        match self.kind:
            case "flip":
                return (
                    content[:at] + bytes([content[at] ^ 1 << self.what % 8]) + content[at + 1 :]
                    if at < len(content)
                    else content
                )
            case "cut":
                return content[:at]
            case "drop":
                return content[:first] + content[min(last, first + 1 + self.what % 64) :]
            case "insert":
                return content[:at] + token + content[at:]
            case "overwrite":
                return content[:at] + token + content[at + len(token) :]
            case "repeat":
                return content[:last] + content[first:last] * (1 + self.what % 8) + content[last:]
            case "swap":
                piece = content[first : first + 16]
                return content[:last] + piece + content[last + 16 :]
            case _:
                size = (1, 2, 4, 8)[self.what % 4]
                number = NUMBERS[self.what // 4 % len(NUMBERS)] % 2 ** (8 * size)
                return content[:at] + number.to_bytes(size, "little") + content[at + size :]


def mutated(content: bytes, edits: list[Edit], most: int = 1 << 17) -> bytes:
    """The content after all edits, never longer than `most`."""
    for edit in edits:
        content = edit.apply(content)[:most]
    return content


def random_edits(draw: random.Random) -> list[Edit]:
    """One to six edits."""
    return [
        Edit(draw.choice(KINDS), draw.random(), draw.random(), draw.randrange(1 << 16))
        for _ in range(draw.randint(1, 6))
    ]


ODD = (
    *(None, True, -1, 0, 1, 1e308, float("nan"), float("inf"), 10**18, 10**40, -(10**40), "", " ", "x", "x" * 3000),
    *("\x1b[2J", "a\nb", "\ud800", "../../x", "/etc/passwd", "\u202e", [], {}, [[]], [0], ["x"], [1.5], {"": 0}),
    *([10**12], [-1], {"x": {"y": [None]}}, [0] * 3000),
)


def replaced(value: object, place: int, new: object) -> object:
    """A tree of lists and dictionaries in which node number `place` (in the order they are met) is another."""
    left = [place]

    def walk(node: object) -> object:
        left[0] -= 1
        if left[0] == -1:
            return new
        if isinstance(node, dict):
            return {key: walk(inner) for key, inner in node.items()}
        return [walk(inner) for inner in node] if isinstance(node, list) else node

    return walk(value)


def nodes(value: object) -> int:
    """How many nodes a tree has."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(nodes, inside))


def random_tree(content: bytes, draw: random.Random) -> bytes | None:
    """JSON (after a byte that is none) with one to three other nodes, or None where it is no JSON."""
    for start in (0, 1):
        try:
            value = json.loads(content[start:])
            for _ in range(draw.randint(1, 3)):
                value = replaced(value, draw.randrange(nodes(value)), draw.choice(ODD))
            return content[:start] + json.dumps(value).encode()
        except (ValueError, RecursionError):
            continue
    return None


def randomly(content: bytes, draw: random.Random, most: int = 1 << 17) -> bytes:
    """Another tree where the content is JSON, every second time; else the content after random edits."""
    tree = random_tree(content, draw) if draw.random() < 0.5 else None
    return mutated(content, random_edits(draw), most) if tree is None else tree[:most]

"""Which six questions does the report answer, in which order? Topics lie folded under them, and have their answers."""

TAIL, HEAD, WHY, CONFUSED, COST, TRUST = "tail", "head", "why", "confused", "cost", "trust"
QUESTIONS = {  # key -> the question, and its name in the navigation
    TAIL: ("Does it help the tail?", "Tail"),
    HEAD: ("What does it cost the head?", "Head"),
    WHY: ("Why: bias or variance?", "Why"),
    CONFUSED: ("Confused with what?", "Confusion"),
    COST: ("At what cost?", "Cost"),
    TRUST: ("Can I trust this?", "Trust"),
}
ALONE = "There is no other method to compare with."
NO_SPLITS = "Not known: training images are not known, so that no class is many, medium or few."

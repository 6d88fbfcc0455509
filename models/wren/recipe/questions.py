"""Write the questions of score.py as JSON, so that the model can be scored without PyTorch.

Usage: questions.py > questions.json. The random numbers are drawn in score.py's order, so the questions are the same.
"""
import json
import random
import sys

import corpus


def main():
    r = random.Random(424242)
    sums = [corpus.sum_(r) for _ in range(300)]
    facts = [corpus.fact(r) for _ in range(300)]
    casts = [(r.choice(corpus.ANIMALS), r.choice(corpus.OBJECTS)) for _ in range(40)]
    json.dump({
        "sums": [{"question": q, "answer": a} for q, a in sums],
        "facts": [{"question": q, "answer": a} for q, a in facts],
        "stories": [{"question": f"Tell me a story about {corpus.an(hero)} and {corpus.an(thing)}.", "hero": hero, "thing": thing}
                    for hero, thing in casts],
    }, sys.stdout, indent=0)


if __name__ == "__main__":
    main()

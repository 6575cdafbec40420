#!/usr/bin/env python3
"""A billion pictures at B/16 on 64 GPUs, on paper: what tables weigh, what each step costs, what failures cost, and where it breaks first.

    billion.py                                  # prints the tables of docs/scale-billion.md; nothing is measured, it takes seconds
    billion.py --docs docs/scale-billion.md     # writes them between the page's marks, and the plot beside it

Every number that goes in stands in paper/numbers.py, with where it is from. Two simulations are behind the tables: of workers that fail
(paper/schedule.py), and of writers that want the same name (paper/commits.py). Both are the same for the same seed, and test_billion.py compares the
page with them. Standard library only.
"""

import argparse
from pathlib import Path

import page
from paper.breaks import breaks
from paper.simulated import commits, drawn, schedules
from paper.tables import costs, goes_in, keeps, passes, weighs

# The marks of the page, and what stands behind each.
TABLES = {
    "breaks": breaks,
    "goes in": goes_in,
    "weighs": weighs,
    "keeps": keeps,
    "commits": commits,
    "schedules": schedules,
    "costs": costs,
    "passes": passes,
}
PLOT = "scale-billion.svg"


def made(file):
    """What a page should be, and the plot beside it: path -> text."""
    text = file.read_text()
    for mark, table in TABLES.items():
        text = page.between(text, mark, table())
    return {file: text, file.with_name(PLOT): drawn()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="a page whose tables are written, and the plot beside it")
    options = parser.parse_args()
    if not options.docs:
        return print("\n\n".join(table() for table in TABLES.values()))
    for path, text in made(options.docs).items():
        path.write_text(text)
    return None


if __name__ == "__main__":
    main()

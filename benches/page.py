"""The tables of a page that a program writes: what stands between a mark, `<!-- NAME -->`, and the next `<!-- end -->`."""

END = "<!-- end -->"


def between(text, mark, new):
    """Returns the page's text with something new after a mark."""
    before, found, rest = text.partition(f"<!-- {mark} -->")
    _, end, after = rest.partition(END)
    if not found or not end:
        raise ValueError(f"the page lacks <!-- {mark} --> and {END} after it")
    return f"{before}<!-- {mark} -->\n\n{new}\n\n{END}{after}"


def rows(head, lines):
    """A table of Markdown; a column whose heading ends with a colon is aligned to the right."""
    right = [name.endswith(":") for name in head]
    marks = "".join("---:|" if one else "---|" for one in right)
    written = [" | ".join(str(cell) for cell in line) for line in lines]
    return "\n".join([f"| {' | '.join(name.rstrip(':') for name in head)} |", f"|{marks}", *(f"| {line} |" for line in written)])

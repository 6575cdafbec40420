"""Runs what the documentation shows of reading a store.

    examples.py FOLDER PAGE|NOTEBOOK ...

A page's blocks of Python are run one after the other in the folder; what one prints must be the plain block that follows it, if there is one.
With UPDATE=1 in the environment, that block is replaced. A notebook's cells are run in the notebook's own folder, with the folder's
store. `make tables-check` runs it.
"""

import contextlib
import io
import os
import re
import sys
from pathlib import Path

import nbclient
import nbformat

# A block of Python, and the block without a language after it.
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```\n(?P<shown>.*?)^```\n)?", re.M | re.S)


def run_page(page):
    session, wrong = {}, []

    def run(block):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block["code"], str(page), "exec"), session)
        found = "\n".join(line.rstrip() for line in printed.getvalue().strip("\n").splitlines()) + "\n"
        if block["shown"] is None or found == block["shown"]:
            return block[0]
        wrong.append(f"shows\n{block['shown']}and it prints\n{found}")
        return block[0].replace(f"```\n{block['shown']}```", f"```\n{found}```")

    text = page.read_text()
    new = BLOCK.sub(run, text)
    if wrong and os.environ.get("UPDATE"):
        page.write_text(new)
    elif wrong:
        sys.exit(f"error: {page} " + "\n".join(wrong))


def run_notebook(path, store):
    os.environ["MICROCLIP_STORE"] = str(store)
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    return notebook


def main():
    folder, *paths = [Path(path).resolve() for path in sys.argv[1:]]
    os.chdir(folder)
    for path in paths:
        if path.suffix == ".ipynb":
            run_notebook(path, folder / ".store")
        else:
            run_page(path)
        print(f"{path.relative_to(folder)} runs as it says")


if __name__ == "__main__":
    main()

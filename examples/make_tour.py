"""examples/tour.py, run, as the notebook examples/tour.ipynb: python -m examples.make_tour

Needs: pip install jupytext nbclient ipykernel
"""

import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

SOURCE = Path(__file__).with_name("tour.py")
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def main():
    notebook = jupytext.read(SOURCE)
    notebook.metadata = {"kernelspec": KERNEL}
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=None, record_timing=False,
                       resources={"metadata": {"path": folder}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # What libraries say there is of one machine.
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    # Messages name files, and Python itself, by whole paths.
    text = nbformat.writes(notebook).replace(os.path.realpath(folder) + os.sep, "")
    text = text.replace(sys.executable, "python")
    SOURCE.with_suffix(".ipynb").write_text(text)


if __name__ == "__main__":
    main()

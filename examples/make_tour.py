"""examples/tour.py, run, as the notebook examples/tour.ipynb: python -m examples.make_tour

Needs: pip install jupytext nbclient ipykernel
"""

import base64
import io
import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

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
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _smaller(output.data["image/png"])
    # Messages name files, and Python itself, by whole paths.
    text = nbformat.writes(notebook).replace(os.path.realpath(folder) + os.sep, "")
    text = text.replace(sys.executable, "python")
    SOURCE.with_suffix(".ipynb").write_text(text)


def _smaller(encoded):
    """A picture (PNG, base64) of 256 colours: half the bytes."""
    picture, out = Image.open(io.BytesIO(base64.b64decode(encoded))), io.BytesIO()
    picture.convert("RGB").quantize(256).save(out, "png", optimize=True)
    return base64.b64encode(out.getvalue()).decode()


if __name__ == "__main__":
    main()

"""Tables and verdicts of docs/claims.md, made from the files in experiments/results.

    python -m experiments.page

They stand between `<!-- PROGRAM.FUNCTION FILE -->` and `<!-- end -->`: what FUNCTION of
experiments/PROGRAM.py makes of the rows of results/FILE.jsonl; "not run" where there are none.
`picture` is no function: it shows results/FILE.png, once it is drawn.
"""

import importlib
import re
from pathlib import Path

from experiments.rows import RESULTS, read_rows

PAGE = Path(__file__).parents[1] / "docs" / "claims.md"
PLACE = re.compile(r"(<!-- (\w+)\.(\w+) (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text):
    """`text` of the page with everything between its markers made again."""
    return PLACE.sub(lambda at: f"{at[1]}{_made(*at.group(2, 3, 4))}\n{at[5]}", text)


def _made(program, function, name):
    rows = read_rows(RESULTS / f"{name}.jsonl")
    module = importlib.import_module(f"experiments.{program}")
    if function == "picture":
        question = module.__doc__.splitlines()[0]
        drawn = (RESULTS / f"{name}.png").exists()
        return f"![{question}](../experiments/results/{name}.png)" if drawn else "not drawn"
    made = getattr(module, function)
    text = made(rows).strip() if rows else "not run"
    return f"> {text}" if function == "verdict" else text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))

"""`python -m tests.fault.table RESULTS.json`: the table of docs/reliability.md from test results.

`pytest --fault-results=RESULTS.json` adds what it ran of the tests named test_fNN_... to that file,
with the seconds that each took (with the preparation of what it was the first to ask for).
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
MARK = "<!-- faults: filled by python -m tests.fault.table -->"
NAME = re.compile(r"([^/]*\.py)::test_(f\d\d)_")
PROMISES = {
    "F01": "killed after any step: the same bits as a run never killed",
    "F02": "every variable is in a checkpoint, and a missing one is noticed",
    "F03": "a stream stopped after any batch continues with the same examples",
    "F04": "killed again and again: the same bits, no more checkpoints than are kept",
    "F05": "killed in the last scoring: no update is made again",
    "F06": "resumed with settings that bend the numbers: exit 2, nothing touched",
    "F07": "another number of threads: said once, within rounding",
    "F08": "killed at any point of a save: the newest whole checkpoint is found",
    "F09": "a damaged newest checkpoint: the one before it, and why",
    "F10": "no valid checkpoint: exit 3, nothing changed",
    "F11": "TensorFlow's `checkpoint` file is never read",
    "F12": "a failed save: training continues; three, or the last: exit 4",
    "F13": "a folder that cannot be written: exit 2 at once",
    "F14": "metrics that cannot be written: training unaffected",
    "F15": "a second process in the folder: exit 2; a dead one's lock is taken over",
    "F16": "the last valid checkpoint is never deleted; newest and best stay",
    "F17": "a clock that jumps: order is that of steps",
    "F18": "SIGTERM in any phase: the last step saved, exit 143 within 30 s; exports as well",
    "F19": "two SIGTERMs, SIGINT: the same; a second SIGINT: out at once, nothing broken",
    "F20": "SIGTERM to a whole process group: the same, and nobody is left",
    "F21": "a killed worker: the others end with 8 and its name; started again, the same bits",
    "F22": "a chief killed in a save: the others end with 8; that checkpoint is not seen",
    "F23": "a stopped worker: the others end with 8 within 30 s",
    "F24": "a worker that never starts: exit 8 at the startup timeout",
    "F25": "SIGTERM to one worker: all stop after the same saved step",
    "F26": "workers of different settings: exit 2 before the first step",
    "F27": "two workers, one, two: examples and losses of one process",
    "F28": "scoring on many devices counts every image once",
    "F29": "only the chief writes",
    "F30": "a number that is not finite: exit 5, nothing of the step kept",
    "F31": "a variable that is not finite is not saved: exit 5",
    "F32": "a learning rate of 1e20: exit 5 within five steps, nothing broken is saved",
    "F33": "a checkpoint of NaN with valid hashes is skipped",
    "F34": "bad images: counted by id and cause, exit 6 beyond the limit",
    "F35": "an image bomb: refused by its header in little memory",
    "F36": "a flipped bit or a cut file: named, never fewer records",
    "F37": "missing or extra shards, wrong counts: exit 6 before the first step",
    "F38": "labels out of range: exit 6 with the example",
    "F39": "nothing completed for the timeout: stacks and exit 7",
    "F40": "parallelism and prefetch change no bit",
    "F41": "a transient read error changes no bit; a permanent one is named",
    "F42": "hostile weight files: refused, nothing run",
    "F43": "archives: nothing is written outside the target",
    "F44": "a download of another hash: refused and deleted",
    "F45": "the source has no unsafe call",
    "F46": "a killed export: no version is seen, and the next one succeeds",
    "F47": "an exported model given bytes that are no image, or none: an error, not the end",
    "F48": "an export names nothing of the machine it was made on",
    "F49": "one of our JSON files, edited or damaged: one line that names the key",
    "F51": "every path flag: relative, new, `..`, empty, a file, a link, `~`: works, or one line",
    "F52": "sixty scorings leave no thread, descriptor or memory behind",
    "F53": "processes that race for a folder: one holds it; odd LOCK files: one line",
    "F54": "outputs that cannot be written: said before the work; a device is written through",
    "F55": "a GIF bomb in any frame: refused in little memory, in training, predict and SavedModel",
    "F56": "a picture of more work than its pixels (scans, texts): refused before it is decoded",
    "F57": "a stranger's file cannot claim memory: refused before anything is built",
    "F58": "a read that blocks: SIGTERM ends the run within 30 s, a second SIGINT at once",
    "F59": "two workers of one address: exit 2 before the cluster starts",
    "F60": "a run's folder removed or moved away: exit 4, said once",
    "F61": "a mistyped or foreign --data_dir: nothing is created or written there",
    "F62": "a damaged metrics.csv or config.json: refused with its place, or read as it is",
    "F63": "a damaged dataset_info.json, features.json or list of labels: exit 6, one line",
    "F64": "a killed launch leaves no worker",
    "F65": "every picture format: pixels as Pillow's, or refused",
    "F66": "odd class folders: counted and said, or refused",
    "F68": "Ctrl-C in the first seconds and in prepare: one line",
    "F70": "a server among 10,000 requests, a tenth of them bad: each answered, memory flat, "
           "SIGTERM ends it with 0",
}


def add_results(path, results):
    """Adds test id -> [outcome, seconds] to the JSON file, which may hold those of earlier runs."""
    path = Path(path)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **results}, indent=1, sort_keys=True) + "\n")


def rows(results):
    """The table's lines, a fault each; one that has no result was not run."""
    by_fault = {fault: [] for fault in PROMISES}
    for test, (outcome, seconds) in results.items():
        file, fault = NAME.search(test).groups()
        by_fault.setdefault(fault.upper(), []).append((file, outcome, seconds))
    yield from ("| fault | promise | tests | last result | seconds |", "|---|---|---|---|---|")
    for fault, runs in sorted(by_fault.items()):
        outcomes = Counter(outcome for _, outcome, _ in runs)
        result = ", ".join(f"{n} {o}" for o, n in sorted(outcomes.items())) or "not run"
        files = ", ".join(sorted({file for file, _, _ in runs})) or "-"
        seconds = f"{sum(s for *_, s in runs):.0f}" if runs else "-"
        yield f"| {fault} | {PROMISES.get(fault, '-')} | {files} | {result} | {seconds} |"


def main():
    results = json.loads(Path(sys.argv[1]).read_text())
    before, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(before + MARK + "\n\n" + "\n".join(rows(results)) + "\n")


if __name__ == "__main__":
    main()

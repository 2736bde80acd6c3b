"""The shell commands of the pages, and what runs each of them."""

import dataclasses
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
# Last in docs/README.md.
SECTION = "## Commands that no test runs\n"
# First words of a command; shell words and assignments may stand before it.
HEADS = ("inception-tf", "python", "python3", "make", "pip", "pytest", "srun", "curl", "docker",
         "diff", "env/bin/pip", ".ci/run")
GLUE = {"$", "until", "while", "if", "then", "do", "else", "!", "time"}
OPERATORS = {";", "&&", "||", "|", "&", "(", ")", ";;"}
# In a sentence `inception-tf export` only names a command; these are typed as they are.
INLINE = re.compile(r"(?:python|make|pip|pytest|\.ci/run)\b")

# (pattern, what runs such commands in small, or why nothing does). The first that matches counts.
FINETUNING = "tests/e2e/test_finetuning.py::test_frozen_stages_and_their_averages_keep_every_bit_" \
             "and_others_move"
FORMATS = "tests/e2e/test_export_formats.py::"
EVALUATION = "tests/e2e/test_evaluation.py::"
IMAGENET = "tests/e2e/test_imagenet.py::" \
           "test_one_command_prepares_imagenet_trains_full_inception_v4_at_299_and_scores"
SCRIPTS = "tests/e2e/test_train_and_eval.py::test_train_and_eval_scripts_print_what_a_user_needs"
SERVE = "tests/e2e/test_serve.py::"
LONG = "not run: takes minutes to hours"
WORKERS = "tests/distributed/test_workers.py::test_workers_after_20_steps_equal_one_process"
ROWS = (
    ("srun ", "not run: needs SLURM"),
    ("train .*--compare=paper", "not run: needs ImageNet and days of a GPU"),
    ("train .*--init_from=", FINETUNING),
    ("train .*--model_dir=/shared/", WORKERS),
    ("train .*--preset=paper", IMAGENET),
    ("train .*--dataset=folder", SCRIPTS),
    ("train( --preset=demo|$)", LONG),
    ("train .*--width=", LONG),
    ("launch ", WORKERS),
    ("eval .*--watch", "tests/e2e/test_watch.py::"
                       "test_every_checkpoint_is_scored_once_until_the_last"),
    ("eval .*--search", EVALUATION + "test_search_lists_every_subset"),
    ("eval .*--submission=", "tests/e2e/test_evaluation_imagenet.py::"
                             "test_test_split_gives_a_submission_in_the_order_of_the_file_names"),
    ("eval .*--from_predictions=.*--report=", "tests/e2e/test_report.py::"
     "test_page_holds_every_picture_and_what_repeats_the_scoring"),
    ("eval .*--report=", EVALUATION + "test_report_of_a_run_shows_the_images_it_scored"),
    ("eval .*--from_predictions=", EVALUATION +
     "test_score_from_files_equals_the_score_of_the_run"),
    ("eval .*--model_dir=[^ ]+,", EVALUATION +
     "test_ensemble_has_a_row_per_network_and_one_for_their_mean"),
    ("eval .*--protocol=144", EVALUATION +
     "test_run_stopped_in_the_middle_goes_on_to_the_same_bytes"),
    ("eval .*--protocol=12", EVALUATION +
     "test_probabilities_are_the_mean_softmax_of_the_views_of_each_image"),
    ("eval ", SCRIPTS),
    ("average .*--last=", "tests/e2e/test_average.py::"
                          "test_average_of_three_is_their_mean_and_scores_like_a_run"),
    ("average .*--recalibrate_images=", "tests/e2e/test_average.py::"
                                        "test_recalibrated_statistics_are_those_of_the_images"),
    ("convert .*--input=hf:", "tests/unit/test_weights_download.py::"
                              "test_command_converts_what_timm_has_on_the_hub"),
    ("convert .*--from=slim", "tests/parity/test_weights_convert.py::"
                              "test_converted_slim_checkpoint_answers_as_slim_did"),
    ("export .*--format=", FORMATS + "test_other_formats_answer_as_the_network"),
    ("export .*--precision=", "tests/e2e/test_export.py::"
                              "test_export_in_16_bits_stores_half_and_answers_the_same"),
    ("export ", "tests/e2e/test_export.py::test_manifest_and_card_say_what_it_is"),
    ("python -m tf2onnx", FORMATS + "test_images_signature_converts_by_the_tools_of_others"),
    ("predict .*--explain=", "tests/e2e/test_predict.py::"
                             "test_explain_draws_each_picture_under_a_name_of_its_own"),
    ("predict ", "tests/e2e/test_predict.py::test_a_folder_in_order_as_the_network_answers"),
    ("features ", "tests/e2e/test_features.py::"
                  "test_features_are_those_before_the_classifier_in_the_order_of_the_files"),
    ("serve ", SERVE + "test_one_line_says_what_is_served_and_where"),
    ("curl .*/predict$", SERVE + "test_bytes_of_a_picture_are_answered_with_its_likeliest_classes"),
    ("curl .*:predict$", SERVE +
     "test_rest_form_of_tensorflow_serving_is_answered_as_its_signature"),
    ("curl ", SERVE + "test_status_and_metrics_are_answered"),
    ("docker ", "not run: needs Docker"),
    ("inspect .*--input", "tests/unit/test_commands_inspect.py::"
                          "test_inspect_input_prints_the_pipeline_beside_its_floor"),
    ("inspect .*--draw=", "tests/unit/test_commands_inspect.py::"
                          "test_inspect_draws_a_block_or_the_whole_as_the_name_ends"),
    ("prepare .*--dataset=imagenet2012", IMAGENET),
    ("prepare .*--dataset=shapes", ".ci/run: experiments-quick"),
    ("make (.venv/ready|VENV=)", ".ci/run: ready"),
    ("make lint", ".ci/run: lint"),
    ("make test|pytest tests/(unit|golden|parity|e2e)", ".ci/run: test"),
    ("make faults|pytest -m faults", ".ci/run: faults"),
    ("make experiments-quick", ".ci/run: experiments-quick"),
    (".ci/run", "not run: runs all tests"),
    ("make demo", LONG),
    ("make bench", LONG),
    ("python -m benchmarks.input --quick", "tests/unit/test_benchmark_input.py::"
     "test_quick_form_measures_every_row_of_tensorflow"),
    ("python -m benchmarks.tables", "tests/unit/test_benchmark_tables.py::"
                                    "test_tables_are_made_from_the_results"),
    ("python -m benchmarks.gpu", "not run: needs a GPU"),
    ("python -m benchmarks.", LONG),
    ("python -m experiments.digits", "tests/unit/test_experiments.py::"
                                     "test_digits_are_written_as_a_folder_of_pictures"),
    ("python -m experiments.rows", "tests/unit/test_experiments.py::"
                                   "test_rows_of_another_machine_are_added_once_each"),
    ("python -m experiments.page", "tests/unit/test_experiments_verdicts.py::"
                                   "test_claims_show_what_the_committed_results_say"),
    ("python -m experiments.* --full", "not run: needs a GPU"),
    ("python -m experiments.", LONG),
    ("python -m tests.digests|diff", "not run: compares two states of the code"),
    ("python -m tests.golden.inventory", "tests/golden/test_nets_inventory.py::"
     "test_layers_of_the_papers_networks_equal_the_golden_inventory"),
    ("python -m tests.architecture", "tests/unit/test_docs.py::"
                                     "test_picture_of_the_floors_is_that_of_the_imports"),
    ("python -m tests.figures", "tests/unit/test_figures_drawings.py::"
                                "test_drawings_are_those_of_the_networks"),
    ("python -m tests.fault.table", "not run: writes what `make faults` found"),
    ("python -m examples.make_tour", "tests/e2e/test_tour.py::test_tour_runs_on_few_pictures"),
    ("(env/bin/)?pip ", "not run: installs packages"),
    ("python3? -m venv", "not run: installs packages"),
)


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of a page: `words` without variables of loops, comments and redirections."""

    page: str
    words: tuple[str, ...]

    @property
    def ours(self) -> tuple[str, ...]:
        """The words after `inception-tf`, however it is started; empty for other programs."""
        words = self.words
        if words[0] == "srun" and "python" in words:
            words = words[words.index("python"):]
        if words[0] == "inception-tf":
            return words[1:]
        if words[:3] == ("python", "-m", "inception_tf"):
            return words[3:]
        if words[0] == "python" and words[1] in ("train.py", "eval.py"):
            return (words[1].removesuffix(".py"), *words[2:])
        return ()

    @property
    def text(self) -> str:
        """What the patterns of ROWS are compared with."""
        return " ".join(self.words if self.words[0] == "srun" else self.ours or self.words)

    @property
    def head(self) -> str:
        """How a reader recognizes it: a module's name, or the words before its flags."""
        if self.words[1:2] == ("-m",):
            return self.words[2]
        return " ".join(word for word in self.words[:2] if not word.startswith("--"))


def commands() -> list[Command]:
    """Every command of every page, each once a page; not the list that is made of them."""
    found = []
    for page in PAGES:
        text = page.read_text().partition(SECTION)[0]
        found += [Command(str(page.relative_to(ROOT)), words)
                  for words in [*in_blocks(text), *in_sentences(text)]]
    return list(dict.fromkeys(found))


def row_of(command: Command) -> tuple[str, str] | None:
    """The first of ROWS whose pattern the command begins with."""
    return next((row for row in ROWS if re.match(row[0], command.text)), None)


def in_blocks(text: str) -> Iterator[tuple[str, ...]]:
    """Words of the commands in fenced and indented blocks; a loop gives one for each value."""
    lines = list(_lines_of_blocks(re.sub(r"\\\n\s*", " ", text)))
    values = {}
    for line in lines:
        for name, words in re.findall(r"\bfor (\w+) in ([\w ]+);", line):
            values[name] = words.split()
        for words in _split(line):
            names = sorted(name for name in values if any(f"${name}" in word for word in words))
            for chosen in itertools.product(*(values[name] for name in names)):
                yield tuple(_filled(word, dict(zip(names, chosen, strict=True)))
                            for word in words)


def in_sentences(text: str) -> Iterator[tuple[str, ...]]:
    """Words of the commands between single backticks."""
    for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if INLINE.match(span):
            yield from _split(span)


def _lines_of_blocks(text):
    """Lines of shell blocks; the language of a fenced block says what others are."""
    language = None
    for line in text.splitlines():
        fence = re.match(r"\s*```(.*)", line)
        if fence:
            language = fence[1] if language is None else None
        elif language in ("", "sh", "bash", "console") or (
                language is None and line.startswith("    ")):
            yield line


def _split(line):
    """Words of each command of a line; none for output and for what is only shell.

    After a prompt every program counts.
    """
    names = "|".join(map(re.escape, HEADS))
    prompt = re.match(r"\s*\$ ", line)
    if not prompt and not re.match(rf"\s*((until|while|if) )?({names})( |$)", line):
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split = True
    for is_operator, words in itertools.groupby(lexer, OPERATORS.__contains__):
        command = tuple(itertools.dropwhile(GLUE.__contains__, words))
        if not is_operator and command and (prompt or command[0] in HEADS):
            yield command


def _filled(word, values):
    for name, value in values.items():
        word = word.replace(f"${name}", value)
    return word

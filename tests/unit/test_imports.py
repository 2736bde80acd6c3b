"""How the package hangs together, read from its source: imports, flags, unsafe calls."""

import ast
import graphlib
import importlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "inception_tf"
FILES = sorted(PACKAGE.rglob("*.py"))

# A room may import rooms of a lower floor, and itself (docs: "imports go downward only").
FLOORS = (
    {"errors", "presets"},
    {"bounds", "networks", "strict_json", "text"},
    {"config", "runtime"},
    {"flags", "weights", "data"},
    {"nets"},
    {"labels", "runs", "figures"},
    {"training", "evaluation", "serving"},
    {"commands"},
    {"__main__"},
    {"__init__"},  # its public names load on first use; no room asks it for them
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# The builders run under any Keras backend: nothing of TensorFlow.
NETS_MAY_IMPORT = {"keras", "numpy", *sys.stdlib_module_names}
NETS_MAY_IMPORT_OF_US = {"nets", "networks", "weights", "errors"}


def module_name(path):
    """`inception_tf/data/order.py` -> "inception_tf.data.order"."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}
ROOMED = MODULES.keys() - {"inception_tf"}


def room_of(name):
    """`inception_tf.data.order` -> "data", `inception_tf.flags` -> "flags"."""
    return [*name.split("."), "__init__"][1]


def imports_of(source):
    """Dotted names of all that a file imports, at the top or inside functions.

    With those that it names in a string, whole or the beginning: `import_module("inception_tf.x")`.
    """
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            # `from inception_tf import nets` imports the module inception_tf.nets.
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and str(node.value).rstrip(".") in ROOMED:
            names.append(node.value.rstrip("."))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names += named_by(node.args[0])
    return names


def named_by(argument):
    """The module that a call imports by name; a name that the source does not show is refused."""
    start = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
    assert isinstance(start, ast.Constant), f"import_module({ast.unparse(argument)})"
    return [start.value.rstrip(".")]


def module_of(name):
    """Our module in which an imported name is, or None where it is of another package."""
    return next((module for module in (name, name.rpartition(".")[0]) if module in MODULES), None)


def ids(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_imports_go_downward_only(path):
    room = room_of(module_name(path))
    for name in imports_of(path.read_text()):
        if module := module_of(name):
            other = room_of(module)
            assert other == room or FLOOR_OF[other] < FLOOR_OF[room], f"{room} imports {name}"


def test_files_form_no_circle():
    graph = {name: {module_of(other) for other in imports_of(path.read_text())} - {None, name}
             for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("source", [
    "from inception_tf import nets",
    "import inception_tf.nets",
    "def f():\n    from inception_tf.nets import build",
    "import importlib\nimportlib.import_module('inception_tf.nets')",
    "import_module(f'inception_tf.nets.{name}')",
    "HOMES = ['inception_tf.nets']",
])
def test_every_way_to_import_is_seen(source):
    assert "nets" in {room_of(name) for name in imports_of(source) if module_of(name)}


def test_import_of_an_unknown_name_is_refused():
    with pytest.raises(AssertionError, match="import_module"):
        imports_of("importlib.import_module(name)")


@pytest.mark.parametrize(
    "path", [path for name, path in MODULES.items() if room_of(name) == "nets"], ids=ids)
def test_nets_import_keras_and_nothing_of_tensorflow(path):
    for name in imports_of(path.read_text()):
        if module := module_of(name):
            assert room_of(module) in NETS_MAY_IMPORT_OF_US, name
        else:
            assert name.split(".")[0] in NETS_MAY_IMPORT, name


def test_only_commands_print():
    printing = {room_of(name) for name, path in MODULES.items()
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"}
    assert printing <= {"commands", "flags", "__main__"}


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_flags_are_read_in_one_module(path):
    if room_of(module_name(path)) != "flags":
        assert "absl.flags" not in ".".join(imports_of(path.read_text()))
        assert "FLAGS" not in path.read_text()


UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
UNSAFE_FUNCTIONS = {"eval", "exec"}
# Archives unpack where they please; partial restores and dropped records go unnoticed;
# the distributed iterator cannot be saved.
UNSAFE_ATTRIBUTES = {
    "extractall", "enable_unsafe_deserialization", "expect_partial", "ignore_errors",
    "experimental_distribute_dataset",
}
UNSAFE_KEYWORDS = {
    "shell": True, "allow_pickle": True, "safe_mode": False, "weights_only": False,
}
# Dotted endings. Stateful random numbers in a parallel map differ from run to run.
STATEFUL = {"uniform", "normal", "truncated_normal", "gamma", "poisson", "categorical", "shuffle"}
UNSAFE_CALLS = {"yaml.load", "torch.load"} | {f"tf.random.{name}" for name in STATEFUL}


def unsafe(source):
    """What a file must not do, as "line: what"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for what in _unsafe_in(node):
            found.append(f"{node.lineno}: {what}")
    return found


def _unsafe_in(node):
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
        yield from (name for name in names if name.split(".")[0] in UNSAFE_MODULES)
    elif isinstance(node, ast.Attribute) and node.attr in UNSAFE_ATTRIBUTES:
        yield node.attr
    elif isinstance(node, ast.Call):
        name, keywords = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
        if name in UNSAFE_FUNCTIONS or name.startswith("tf.image.random_"):
            yield name
        for key, value in keywords.items():
            if key in UNSAFE_KEYWORDS and not _is(value, not UNSAFE_KEYWORDS[key]):
                yield f"{key}={ast.unparse(value)}"
        if name in UNSAFE_CALLS and not _is(keywords.get("weights_only"), True):
            yield name


def _is(node, value):
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_f45_source_has_no_unsafe_call(path):
    assert unsafe(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "eval(text)",
        "exec(text)",
        "yaml.load(file)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "subprocess.run(line, shell=True)",
        "subprocess.run(line, shell=chosen)",
        "tar.extractall(folder)",
        "np.load(path, allow_pickle=True)",
        "keras.saving.load_model(path, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "records.ignore_errors()",
        "checkpoint.restore(path).expect_partial()",
        "strategy.experimental_distribute_dataset(records)",
        "tf.random.uniform([2])",
        "tf.image.random_flip_left_right(x)",
    ],
)
def test_unsafe_call_is_found(source):
    assert len(unsafe(source)) >= 1


@pytest.mark.parametrize(
    "source",
    [
        "shutil.rmtree(folder, ignore_errors=True)",
        "torch.load(path, weights_only=True)",
        "keras.saving.load_model(path, safe_mode=True)",
        "tf.random.stateless_uniform([2], seed)",
        "theirs.eval()",
    ],
)
def test_safe_call_is_not_found(source):
    assert unsafe(source) == []


def test_import_loads_nothing_heavy_and_takes_under_300_ms():
    def seconds(code):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        return time.perf_counter() - start

    heavy = {"tensorflow", "keras", "numpy", "tensorflow_datasets", "rich", "matplotlib"}
    check = (f"import inception_tf, sys; assert not {heavy} & set(sys.modules)\n"
             "assert not [name for name in sys.modules if name.startswith('inception_tf.')]")
    # The best of five: what is asked is the work, not the load of the machine.
    bare = min(seconds("pass") for _ in range(5))
    assert min(seconds(check) for _ in range(5)) - bare < 0.3


def test_every_public_name_exists():
    import inception_tf

    for name in inception_tf.__all__:
        assert getattr(inception_tf, name) is not None


@pytest.mark.parametrize("module, name", [
    ("data.crops", "Preprocessing"),
    ("evaluation.predictions", "open_predictions"),
    ("runtime.memory", "keep_freed_memory"),
])
def test_names_of_earlier_pages_are_those_of_today(module, name):
    import inception_tf

    earlier = importlib.import_module(f"inception_tf.{module}")
    assert getattr(earlier, name) is getattr(inception_tf, name)

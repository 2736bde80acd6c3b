"""How the package hangs together, read from its source: imports, flags, unsafe calls."""

import ast
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
    {"bounds", "strict_json", "text"},
    {"config", "runtime"},
    {"flags", "data", "weights"},
    {"nets"},
    {"labels", "runs"},
    {"training", "evaluation", "serving"},
    {"commands"},
    {"__main__"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# The builders run under any Keras backend: nothing of TensorFlow, and h5py comes with Keras.
NETS_MAY_IMPORT = {"keras", "numpy", "h5py"}


def room_of(path):
    """`inception_tf/data/order.py` -> "data", `inception_tf/flags.py` -> "flags"."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path):
    """Dotted names of all that a file imports, at the top or inside functions."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from inception_tf import nets` imports the module inception_tf.nets.
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def ids(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_imports_go_downward_only(path):
    room = room_of(path)
    if room == "__init__":
        rooms = {name for name in imports_of(path) if name.startswith("inception_tf")}
        assert not rooms, "importing the package must load nothing"
        return
    for name in imports_of(path):
        package, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if package == "inception_tf" and other != room:
            assert FLOOR_OF[other] < FLOOR_OF[room], f"{room} imports {name}"


@pytest.mark.parametrize("path", [p for p in FILES if room_of(p) == "nets"], ids=ids)
def test_nets_import_keras_and_nothing_of_tensorflow(path):
    for name in imports_of(path):
        package = name.split(".")[0]
        assert name.startswith(("inception_tf.nets", "inception_tf.weights")) or (
            package in NETS_MAY_IMPORT or package in sys.stdlib_module_names
        ), name


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_flags_are_read_in_one_module(path):
    if room_of(path) != "flags":
        assert not [name for name in imports_of(path) if name.startswith("absl.flags")]
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
    check = f"import inception_tf, sys; assert not {heavy} & set(sys.modules)"
    # The best of five: what is asked is the work, not the load of the machine.
    bare = min(seconds("pass") for _ in range(5))
    assert min(seconds(check) for _ in range(5)) - bare < 0.3


def test_every_public_name_exists():
    import inception_tf

    for name in inception_tf.__all__:
        assert getattr(inception_tf, name) is not None

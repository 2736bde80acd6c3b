"""Put named arrays into a network, all of them or none."""

from inception_tf.errors import UsageError


def assign(model, arrays):
    """Set every weight of `model` from `arrays` (variable path -> array).

    Raises: UsageError when a weight is missing, left over, or of another shape; the
    model is then untouched.
    """
    weights = {weight.path: weight for weight in model.weights}
    missing = [path for path in weights if path not in arrays]
    extra = [path for path in arrays if path not in weights]
    if missing or extra:
        raise UsageError(
            f"weights do not fit {model.name!r}: {len(missing)} missing (first: "
            f"{missing[:1]}), {len(extra)} left over (first: {extra[:1]})"
        )
    for path, weight in weights.items():
        if tuple(weight.shape) != tuple(arrays[path].shape):
            raise UsageError(
                f"weights do not fit {model.name!r}: {path} has shape "
                f"{tuple(arrays[path].shape)}, the network needs {tuple(weight.shape)}"
            )
    for path, weight in weights.items():
        weight.assign(arrays[path])

"""What one process of benchmarks/gpu.py does: a network's steps, or the chip's own rate.

A case is (step, wait): `step` starts a step on images that are on the device, `wait` returns when
all that were started have ended.
"""

import contextlib
import functools
import time

from benchmarks import harness

CLASSES = 1000
LEARNING_RATE, MOMENTUM = 0.01, 0.9
# Steps that are timed together, and how often.
STEPS, TURNS = 10, 5


def answer(name, kind, batch, quick):
    """The measurement of a case, or with kind "chip" the rate of the device: JSON-able."""
    make, framework, compiled = CASES[name]
    if kind == "chip":
        return (jax_chip if framework == "jax" else torch_chip)(256 if quick else 8192)
    step, wait = make(kind == "training", batch, compiled, quick)
    # torch.compile is busy on the CPU for minutes: others may measure meanwhile.
    idle = compiled and framework != "jax"
    with contextlib.nullcontext() if idle else harness.device_lock(alone=False):
        first = seconds_of(step, wait, 1)
    if quick:
        return {"seconds": [first], "first_call_seconds": first}
    with harness.device_lock(alone=True):
        seconds_of(step, wait, STEPS)
        seconds = [seconds_of(step, wait, STEPS) for _ in range(TURNS)]
    return {"seconds": seconds, "first_call_seconds": first, **_device_peak(framework)}


def seconds_of(step, wait, steps):
    """Mean seconds of a step, over `steps` of them."""
    wait()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return (time.perf_counter() - started) / steps


def _network(training, quick):
    """(our network, which gives logits, side of its images)."""
    import keras

    from inception_tf import nets

    keras.config.set_dtype_policy("mixed_bfloat16" if training else "bfloat16")
    side, small = (75, {"width": 0.07, "repeats": (0, 0, 0)}) if quick else (299, {})
    return nets.build("inception_resnet_v2_released", input_shape=(side, side, 3), dropout=0.0,
                      classes=CLASSES, classifier_activation=None, **small), side


def ours_jax(training, batch, compiled, quick):
    """Our network as a function of its weights, under jax.jit."""
    import jax
    import jax.numpy as jnp

    model, side = _network(training, quick)
    dtype = jnp.float32 if training else jnp.bfloat16
    images = jax.random.normal(jax.random.key(0), (batch, side, side, 3), dtype)
    labels = jax.random.randint(jax.random.key(1), (batch,), 0, CLASSES)
    weights, others = ([v.value for v in group] for group in
                       (model.trainable_variables, model.non_trainable_variables))
    if training:
        # The state is returned in its own buffers.
        update = jax.jit(functools.partial(_jax_update, model), donate_argnums=0)
        held = [(weights, others, [jnp.zeros_like(w) for w in weights])]

        def step():
            held[0] = update(held[0], images, labels)
    else:
        infer = jax.jit(lambda *all_of: model.stateless_call(*all_of, training=False)[0])
        held = [None]

        def step():
            held[0] = infer(weights, others, images)
    return step, lambda: jax.block_until_ready(held)


def _jax_update(model, state, images, labels):
    """(weights, statistics, velocities) after a step of SGD with momentum."""
    import jax
    import jax.numpy as jnp

    weights, others, velocities = state

    def loss(weights):
        logits, changed = model.stateless_call(weights, others, images, training=True)
        log_likelihoods = jax.nn.log_softmax(logits.astype(jnp.float32))
        return -jnp.mean(jnp.take_along_axis(log_likelihoods, labels[:, None], axis=1)), changed

    gradients, others = jax.grad(loss, has_aux=True)(weights)
    velocities = [MOMENTUM * v + g for v, g in zip(velocities, gradients, strict=True)]
    weights = [w - LEARNING_RATE * v for w, v in zip(weights, velocities, strict=True)]
    return weights, others, velocities


def ours_torch(training, batch, compiled, quick):
    """Our network under Keras' PyTorch backend."""
    model, side = _network(training, quick)
    return _torch_case(functools.partial(model, training=training), model.parameters(),
                       (batch, side, side, 3), training, compiled, autocast=False)


def timm_torch(training, batch, compiled, quick):
    """timm's network of the same name."""
    import torch

    from benchmarks.peers import import_timm

    model = import_timm().create_model("inception_resnet_v2", num_classes=CLASSES)
    model.to(_torch_device(), None if training else torch.bfloat16)
    model.to(memory_format=torch.channels_last).train(training)
    side = 75 if quick else 299
    return _torch_case(model, model.parameters(), (batch, 3, side, side), training, compiled,
                       autocast=training)


def _torch_case(forward, parameters, shape, training, compiled, autocast):
    """autocast: bfloat16 arithmetic for a model that has no dtype policy of its own."""
    import torch

    torch.backends.cudnn.benchmark = True
    device = _torch_device()
    images = torch.randn(shape, device=device, dtype=torch.float32 if training else torch.bfloat16)
    if shape[1] == 3:  # channels first in its shape, last in memory
        images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, shape[:1], device=device)
    forward = torch.compile(forward) if compiled else forward
    optimizer = torch.optim.SGD([p for p in parameters if p.requires_grad], LEARNING_RATE, MOMENTUM)

    def train():
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            logits = forward(images)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    def infer():
        with torch.inference_mode():
            forward(images)

    return train if training else infer, _torch_wait


# name: (its function, framework it runs on, compiled).
CASES = {
    "ours, JAX": (ours_jax, "jax", True),
    "ours, PyTorch": (ours_torch, "torch", False),
    "ours, PyTorch, torch.compile": (ours_torch, "torch", True),
    "timm, PyTorch": (timm_torch, "timm", False),
    "timm, PyTorch, torch.compile": (timm_torch, "timm", True),
}


def _torch_device():
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _torch_wait():
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def torch_chip(side):
    """Name of the device, TFLOP/s of a bfloat16 product of matrices of that side."""
    import torch

    a = torch.ones((side, side), device=_torch_device(), dtype=torch.bfloat16)
    rate = _matrix_tflops(lambda: a @ a, _torch_wait, side)
    name = torch.cuda.get_device_name() if a.is_cuda else "cpu"
    return {"device": name, "matrix_tflops": rate}


def jax_chip(side):
    """As torch_chip."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones((side, side), jnp.bfloat16)
    product, held = jax.jit(jnp.matmul), [a]

    def step():
        held[0] = product(a, a)

    rate = _matrix_tflops(step, lambda: jax.block_until_ready(held), side)
    device = jax.devices()[0]
    return {"device": "cpu" if device.platform == "cpu" else device.device_kind,
            "matrix_tflops": rate}


def _matrix_tflops(step, wait, side):
    seconds_of(step, wait, 1)
    return 2 * side**3 / min(seconds_of(step, wait, STEPS) for _ in range(TURNS)) / 1e12


def _device_peak(framework):
    """{"peak_mib": of the GPU's memory in use}."""
    if framework == "jax":
        import jax

        peak = jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    else:
        import torch

        peak = torch.cuda.max_memory_allocated()
    return {"peak_mib": peak / 2**20}

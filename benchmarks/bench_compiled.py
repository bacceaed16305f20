"""A round with ``how="compile"`` against the same algorithm in JAX, compiled as a whole.

JAX is no dependency of the book; without it only the comparison with ``vmap`` runs. Compiling
takes half a minute for each algorithm and is not timed.
"""

from __future__ import annotations

import shutil

import pytest
import torch
from bench_rounds import ALPHA, BATCH, DELTA, LR, STEPS, M, N, clients_for

from fedlearn_lib import fedavg, gradient, loss_of, mlp, parameters_of, perfedavg, run

MODES = ["fedavg", "fo", "hf", "exact"]
pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch's own compiler
]


def our_round(mode: str, how: str):
    model = mlp(784, 100, 10, activation="relu")
    loss, w0, clients = loss_of(model), parameters_of(model), clients_for((784,), 10)
    algorithm = (
        fedavg(gradient(loss), lr=LR)
        if mode == "fedavg"
        else perfedavg(loss, alpha=ALPHA, beta=LR, mode=mode, delta=DELTA)
    )
    g = torch.Generator()
    return lambda: run(
        algorithm, w0, clients, rounds=1, steps=STEPS, batch=BATCH, generator=g, how=how
    )


def jax_round(mode: str):
    """Draw, τ local steps of all clients by ``vmap`` around ``lax.scan``, mean: one ``jit``."""
    jax = pytest.importorskip("jax")
    jnp, tree = jax.numpy, jax.tree_util.tree_map
    names = ["1.weight", "1.bias", "3.weight", "3.bias"]
    start = parameters_of(mlp(784, 100, 10, activation="relu"))
    w0 = {name: jnp.asarray(start[name].numpy()) for name in names}
    clients = clients_for((784,), 10)
    X, Y = jnp.asarray(clients.x.numpy()), jnp.asarray(clients.y.numpy())

    def loss(w, batch):
        hidden = jax.nn.relu(batch[0] @ w["1.weight"].T + w["1.bias"])
        scores = jax.nn.log_softmax(hidden @ w["3.weight"].T + w["3.bias"])
        return -jnp.take_along_axis(scores, batch[1][:, None], 1).mean()

    slope = jax.grad(loss)

    def direction(w, draws):
        if mode == "fedavg":
            return slope(w, draws[0])
        g = slope(tree(lambda a, b: a - ALPHA * b, w, slope(w, draws[0])), draws[1])
        if mode == "fo":
            return g
        if mode == "exact":
            h = jax.jvp(lambda u: slope(u, draws[2]), (w,), (g,))[1]
        else:
            up, down = (tree(lambda a, b, s=s: a + s * b, w, g) for s in (DELTA, -DELTA))
            above, below = slope(up, draws[2]), slope(down, draws[2])
            h = tree(lambda a, b: (a - b) / (2 * DELTA), above, below)
        return tree(lambda a, b: a - ALPHA * b, g, h)

    k = {"fedavg": 1, "fo": 2}.get(mode, 3)

    def client(w, x, y, rows):
        def step(w, rows):
            draws = [(x[rows[j]], y[rows[j]]) for j in range(k)]
            return tree(lambda a, b: a - LR * b, w, direction(w, draws)), None

        return jax.lax.scan(step, w, rows)[0]

    @jax.jit
    def one_round(w, key):
        rows = jax.random.randint(key, (M, STEPS, k, BATCH), 0, N)
        ends = jax.vmap(client, (None, 0, 0, 0))(w, X, Y, rows)
        return tree(lambda v: v.mean(0), ends)

    key = jax.random.PRNGKey(0)
    return lambda: jax.block_until_ready(one_round(w0, key))


@pytest.mark.parametrize("mode", MODES)
def test_compiled_against_jax(mode: str, compare) -> None:
    compare(jax_round(mode), our_round(mode, "compile"), least=1.1)


@pytest.mark.parametrize(
    ("mode", "least"), [("fedavg", 0.9), ("fo", 1.2), ("hf", 1.4), ("exact", 1.4)]
)
def test_compiled_against_vmap(mode: str, least: float, compare) -> None:
    compare(our_round(mode, "vmap"), our_round(mode, "compile"), least=least)

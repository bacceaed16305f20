"""What a message says: labels, inputs, membership, and a search for the rest."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toy_clients import seeded

from fedlearn_lib import (
    Algorithm,
    Params,
    axpy,
    fedavg,
    gradient,
    loss_of,
    mlp,
    parameters_of,
    perfedavg,
)
from fedlearn_lib.federated import (
    fedprox,
    fedrep,
    inputs_from_rows,
    label_shares,
    match_message,
    personal_path,
)

NET = mlp(6, 9, 3, seed=1).double()
LOSS, W = loss_of(NET), parameters_of(NET)
X = torch.randn(40, 6, generator=seeded(), dtype=torch.float64)
Y = torch.randint(3, (40,), generator=seeded())
FIRST = ("1.weight", "1.bias")
METHODS: dict[str, Algorithm] = {
    "fedavg": fedavg(gradient(LOSS), lr=0.7),
    "fedprox": fedprox(gradient(LOSS), lr=0.7, mu=0.3),
    "fo": perfedavg(LOSS, alpha=0.4, beta=0.7, mode="fo"),
    "hf": perfedavg(LOSS, alpha=0.4, beta=0.7, mode="hf"),
    "exact": perfedavg(LOSS, alpha=0.4, beta=0.7),
    "exact, two own steps": perfedavg(LOSS, alpha=0.4, beta=0.7, inner_steps=2),
}


def sent_by(method: Algorithm, ids: Tensor) -> Params:
    return method.client(W, (X[ids], Y[ids]))


def outside(message: Params, ids: Tensor) -> float:
    """The share of the first layer's change that is no combination of the samples (x, 1)."""
    rows = torch.cat([message["1.weight"], message["1.bias"][:, None]], 1)
    samples = torch.cat([X[ids], torch.ones(len(ids), 1, dtype=X.dtype)], 1)
    basis = torch.linalg.qr(samples.T).Q
    return float((rows - rows @ basis @ basis.T).norm() / rows.norm())


@pytest.mark.parametrize("seed", range(5))
def test_label_shares_are_exact_where_the_last_layer_is_zero(seed: int) -> None:
    """Proposition 15.1: 1/G minus the bias's gradient, and q̄ minus it in general."""
    ids = torch.randperm(40, generator=seeded(seed))[:13]
    shares = Y[ids].bincount(minlength=3) / 13
    zero = {k: 0 * v if k.startswith("3") else v for k, v in W.items()}
    slope = gradient(LOSS)(zero, ((X[ids], Y[ids]),))["3.bias"]
    torch.testing.assert_close(label_shares(slope), shares.double())
    sent = METHODS["fedavg"].client(zero, (X[ids][None, None], Y[ids][None, None]))["3.bias"]
    torch.testing.assert_close(sent, 0.7 * (shares.double() - 1 / 3))
    predicted = torch.func.functional_call(NET, W, (X[ids],)).softmax(1).mean(0).detach()
    slope = gradient(LOSS)(W, ((X[ids], Y[ids]),))["3.bias"]
    torch.testing.assert_close(label_shares(slope, predicted), shares.double())


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("name", METHODS)
def test_a_row_is_a_sum_of_samples(name: str, steps: int) -> None:
    """Theorem 15.2: rows of the first layer's change lie in the span of the samples (x, 1)."""
    method = METHODS[name]
    ids = torch.randint(4, (steps, method.draws, 3), generator=seeded(steps))
    assert outside(sent_by(method, ids), ids.unique()) < 1e-9
    assert outside(sent_by(method, ids), ids.unique()[1:]) > 1e-4  # every sample is needed


@pytest.mark.parametrize(("name", "sees"), [("fo", [1]), ("hf", [1, 2]), ("exact", [1, 2])])
def test_the_batch_that_adapts_is_not_in_the_sum(name: str, sees: list[int]) -> None:
    """Theorem 15.2: one step of Per-FedAvg is a sum over D′ and D″, with first order over D′."""
    ids = torch.arange(METHODS[name].draws)[None, :, None]
    assert outside(sent_by(METHODS[name], ids), torch.tensor(sees)) < 1e-9
    assert outside(sent_by(METHODS[name], ids), torch.tensor([0, *sees[1:]])) > 1e-4


def test_weight_decay_leaves_the_span_and_can_be_subtracted() -> None:
    """Theorem 15.2 needs steps along gradients; what decay adds the server can compute."""
    decay = fedavg(lambda w, draws: axpy(0.2, w, gradient(LOSS)(w, draws)), lr=0.5)
    ids = torch.zeros(3, 1, 1, dtype=torch.long)
    sent = sent_by(decay, ids)
    assert outside(sent, torch.tensor([0])) > 0.1
    mended = {k: sent[k] + (1 - 0.9**3) * W[k] for k in FIRST}
    read = inputs_from_rows(mended["1.weight"], mended["1.bias"])
    torch.testing.assert_close(read, X[:1].expand(9, 6))


@pytest.mark.parametrize("name", METHODS)
def test_a_single_sample_is_returned_by_a_division(name: str) -> None:
    """Corollary 15.3: one sample, any number of steps, any method."""
    ids = torch.full((5, METHODS[name].draws, 2), 7)
    sent = sent_by(METHODS[name], ids)
    read = inputs_from_rows(sent["1.weight"], sent["1.bias"])
    torch.testing.assert_close(read, X[7:8].expand(9, 6), rtol=1e-6, atol=1e-6)


def test_a_lonely_unit_gives_its_sample_away_and_dead_ones_say_nothing() -> None:
    """Corollary 15.3: a ReLU unit that one sample of the batch activates."""
    net = mlp(6, 300, 3, activation="relu", seed=2).double()
    w = parameters_of(net)
    sent = gradient(loss_of(net))(w, ((X[:8], Y[:8]),))
    on = (X[:8] @ w["1.weight"].T + w["1.bias"] > 0).double()
    read = inputs_from_rows(sent["1.weight"], sent["1.bias"])
    assert len(read) == int((on.sum(0) > 0).sum()) < 300
    lonely = on.sum(0)[on.sum(0) > 0] == 1
    owner = on.argmax(0)[on.sum(0) > 0]
    assert int(lonely.sum()) > 3
    torch.testing.assert_close(read[lonely], X[:8][owner[lonely]])


def test_the_rank_counts_the_samples_and_tells_members_from_strangers() -> None:
    """Corollary 15.3: the row space is the span of the batch, and nobody else is in it."""
    sent = sent_by(METHODS["fedavg"], torch.arange(4).view(1, 1, 4))
    rows = torch.cat([sent["1.weight"], sent["1.bias"][:, None]], 1)
    assert int(torch.linalg.matrix_rank(rows, rtol=1e-9)) == 4
    basis = torch.linalg.svd(rows)[2][:4]
    ask = torch.cat([X, torch.ones(40, 1, dtype=X.dtype)], 1)
    far = (ask - ask @ basis.T @ basis).norm(dim=1)
    assert far[:4].max() < 1e-9 < 1e-2 < far[4:].min()


def test_a_personal_head_hides_labels_and_no_inputs() -> None:
    method = fedrep(gradient(LOSS), head={"3.weight", "3.bias"}, lr=0.5)
    body = {k: W[k] for k in FIRST}
    head = {k: W[k] for k in ("3.weight", "3.bias")}
    ids = torch.full((3, 1, 1), 5)
    sent, _ = method.client(body, head, (X[ids], Y[ids]))
    assert set(sent) == set(FIRST)
    read = inputs_from_rows(sent["1.weight"], sent["1.bias"])
    torch.testing.assert_close(read, X[5:6].expand(9, 6))


@pytest.mark.parametrize("steps", [1, 3])
def test_the_account_of_the_path_is_the_sum_of_the_messages(steps: int) -> None:
    """What never leaves the client can be computed from what does: V is their sum over κ."""
    method = personal_path(gradient(LOSS), kappa=0.5, lr=2.0)
    shared, own, heard = W, method.own(W), {k: 0 * v for k, v in W.items()}
    for r in range(12):
        ids = torch.randint(4, (steps, 1, 3), generator=seeded(r))
        message, own = method.client(shared, own, (X[ids], Y[ids]))
        heard, shared = axpy(2.0, message, heard), axpy(0.3, message, shared)
        assert outside(message, ids.unique()) < 1e-9
    for k in W:
        torch.testing.assert_close(own[f"dual.{k}"], heard[k], rtol=0, atol=1e-12)
    assert any(bool((v.abs() > 1).any()) for v in own.values())  # some numbers are its own


def test_matching_finds_what_division_cannot_separate() -> None:
    """Algorithm 15.4 on two samples at once, and its misfit says how well."""
    ids = torch.tensor([[[3, 11]]])
    sent = sent_by(METHODS["fedavg"], ids)
    start = 0.3 * torch.randn(1, 1, 2, 6, generator=seeded(4), dtype=torch.float64)
    again = lambda x: METHODS["fedavg"].client(W, (x, Y[ids]))  # noqa: E731
    found, misfit = match_message(again, sent, start, steps=400)
    assert misfit < 1e-10
    gaps = torch.cdist(found.view(2, 6), X[ids].view(2, 6))
    assert gaps.min(0).values.max() < 1e-3
    _, poor = match_message(again, sent, start, steps=1)
    assert poor > 1e-4
    assert bool((start == start.clone()).all())


def test_bad_messages_get_a_sentence() -> None:
    with pytest.raises(ValueError, match="sent must not be zero"):
        match_message(lambda x: {"w": x}, {"w": torch.zeros(2)}, torch.zeros(2), steps=1)
    with pytest.raises(ValueError, match="x0 must hold finite floats"):
        match_message(lambda x: {"w": x}, {"w": torch.ones(2)}, torch.zeros(2).long(), steps=1)
    with pytest.raises(ValueError, match="biases must be"):
        inputs_from_rows(torch.ones(3, 2), torch.ones(2))

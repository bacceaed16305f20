"""Messages of fewer bytes: rounding without bias, largest entries with a memory, their size."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from toy_clients import ragged_clients, seeded

from fedlearn_lib import fedavg, gradient, loss_of, map_clients, mlp, parameters_of, weighted_mean
from fedlearn_lib.federated import as_leaves, as_rows, keep_top, message_bytes, quantize


def test_rows_and_leaves_are_the_same_numbers() -> None:
    net = mlp(4, 5, 3, seed=1).double()
    w, clients = parameters_of(net), ragged_clients([5, 3, 6])
    batches = clients.draw(torch.arange(3), steps=2, batch=4, generator=seeded())
    messages = map_clients(fedavg(gradient(loss_of(net)), lr=0.1).client, w, batches)
    rows = as_rows(messages)
    assert rows.shape == (3, sum(v.numel() for v in w.values()))
    p = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    mean, leaves = weighted_mean(messages, p), as_leaves(p @ rows, w)
    assert list(leaves) == list(w)
    for name in w:
        torch.testing.assert_close(leaves[name], mean[name])


@pytest.mark.parametrize("levels", [1, 3, 10])
def test_the_quantizer_has_no_bias_and_the_variance_it_says(levels: int) -> None:
    """Proposition 15.17: by enumeration of all ways to round, against 200,000 drawings."""
    x = torch.tensor([1.0, -0.3, 0.07, 0.5], dtype=torch.float64)
    width = 1.0 / levels
    low = (x / width).floor() * width
    up = (x - low) / width
    mean, error = torch.zeros(4, dtype=torch.float64), 0.0
    for ways in product([0, 1], repeat=4):
        chosen = torch.tensor(ways, dtype=torch.float64)
        probability = (chosen * up + (1 - chosen) * (1 - up)).prod()
        rounded = low + chosen * width
        mean += probability * rounded
        error += float(probability * (rounded - x).square().sum())
    torch.testing.assert_close(mean, x)
    assert error <= min(4 * width**2 / 4, width * float(x.abs().sum())) + 1e-12
    many = quantize(x.expand(200_000, 4), levels, generator=seeded())
    assert abs(float((many - x).square().sum(1).mean()) - error) < 0.02 * error
    assert float((many.mean(0) - x).abs().max()) < 5 * width / 200_000**0.5
    steps = many / width
    torch.testing.assert_close(steps, steps.round())
    assert float(steps.abs().max()) <= levels + 1e-9


def test_the_quantizer_takes_a_width_for_each_row_and_keeps_zeros() -> None:
    x = torch.tensor([[10.0, 5.0], [0.2, 0.1], [0.0, 0.0]])
    found = quantize(x, 2, generator=seeded())
    torch.testing.assert_close(found, x)  # on the grid of their own row


def test_the_mean_of_many_forgives() -> None:
    """Proposition 15.17: the error of the mean of m clients is a share 1/m of theirs."""
    x = torch.randn(1, 60, generator=seeded(), dtype=torch.float64)
    many = quantize(x.expand(64_000, 60), 1, generator=seeded(1))
    one = float((many - x).square().sum(1).mean())
    sixteen = float((many.view(4000, 16, 60).mean(1) - x).square().sum(1).mean())
    assert abs(sixteen / (one / 16) - 1) < 0.05


@pytest.mark.parametrize("count", [1, 3, 20])
def test_what_is_not_sent_is_only_late(count: int) -> None:
    """Proposition 15.18: the sums differ by the backlog, which stays below its bound."""
    steps = torch.randn(300, 20, generator=seeded(), dtype=torch.float64) + 0.5
    steps = steps / steps.norm(dim=1, keepdim=True)
    e = torch.zeros(1, 20, dtype=torch.float64)
    total, worst = torch.zeros(20, dtype=torch.float64), 0.0
    for k in range(300):
        full = steps[k : k + 1] + e
        z = keep_top(full, count)
        assert int((z != 0).sum()) <= count
        assert (
            float((full - z).square().sum())
            <= (1 - count / 20) * float(full.square().sum()) + 1e-12
        )
        e, total = full - z, total + z[0]
        torch.testing.assert_close(total, steps[: k + 1].sum(0) - e[0])
        worst = max(worst, float(e.norm()))
    rho = math.sqrt(1 - count / 20)
    assert worst <= rho / (1 - rho) if count < 20 else worst == 0
    assert rho / (1 - rho) <= 2 * 20 / count


def test_without_a_memory_a_client_may_send_the_same_entry_for_ever() -> None:
    x = torch.tensor([[1.0, 0.9]])
    e, sent, forgot = torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2)
    for _ in range(100):
        z = keep_top(x + e, 1)
        e, sent, forgot = x + e - z, sent + z, forgot + keep_top(x, 1)
    assert float(sent[0, 1]) > 80
    assert float(forgot[0, 1]) == 0


def test_bytes() -> None:
    assert message_bytes(1000) == 4000
    assert message_bytes(1000, bits=1.585) == 199
    assert message_bytes(1000, kept=1000) == 4000
    assert message_bytes(1000, kept=10) == math.ceil((10 * 32 + 10 * 10) / 8)  # a list of places
    assert message_bytes(1000, kept=500) == math.ceil((500 * 32 + 1000) / 8)  # a mask
    assert message_bytes(9, bits=64, kept=2) == 16 + 1
    assert message_bytes(1000, kept=0) == 0


def test_the_places_of_a_support_cost_the_cheaper_of_a_mask_and_a_list() -> None:
    """Proposition 16.3, part 2: places written down in both ways, and the condition for d = 64."""
    for d in (2, 64, 100, 1970):
        width = len(bin(d - 1)) - 2  # binary digits of the largest place
        for s in {1, d // 40 + 1, d // 3, d - 1} - {0}:
            mask = "".join("1" if j < s else "0" for j in range(d))
            places = "".join(format(j, f"0{width}b") for j in range(s))
            bits = 32 * s + min(len(mask), len(places))
            assert message_bytes(d, kept=s) == math.ceil(bits / 8)
    assert message_bytes(64, kept=61) < message_bytes(64)
    assert message_bytes(64, kept=62) == message_bytes(64)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: as_rows({"a": torch.ones(2, 3), "b": torch.ones(3)}), "one row a client"),
        (lambda: as_rows({}), "non-empty dict"),
        (lambda: as_leaves(torch.ones(3), {"a": torch.ones(2)}), "as many numbers"),
        (lambda: quantize(torch.ones(1, 2), 0, generator=seeded()), "levels must be"),
        (lambda: keep_top(torch.ones(1, 2), 3), "count must be at most"),
        (lambda: message_bytes(10, kept=11), "kept must be at most"),
        (lambda: message_bytes(10, bits=0), "bits must be"),
    ],
)
def test_bad_input_gets_a_sentence(call, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()

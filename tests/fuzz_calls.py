"""One small valid call of every public function, constructor, method and returned function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import fedlearn_lib as fl
from fedlearn_lib import data, federated, sparse, structure, theory
from fedlearn_lib.engines import flower, torch_dist
from fedlearn_lib.sparse.stopping import squared_error


class Call(NamedTuple):
    """``function(*rest, **arguments)``; ``rest`` are the values of ``*rest_name``."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    rest: tuple[Any, ...] = ()
    rest_name: str = ""

    def run(self) -> Any:
        if not self.rest_name:
            return self.function(**self.arguments)
        order = list(inspect.signature(self.function).parameters)
        leading = order[: order.index(self.rest_name)]
        named = {k: v for k, v in self.arguments.items() if k not in leading}
        return self.function(*(self.arguments[k] for k in leading), *self.rest, **named)


def call(function: Callable[..., Any], /, **arguments: Any) -> Call:
    return Call(function, arguments)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded())


def model() -> nn.Module:
    return fl.mlp(4, 5, 3, activation="tanh")


def w() -> fl.Params:
    return fl.parameters_of(model())


def loss() -> fl.Loss:
    return fl.loss_of(model())


def labels() -> Tensor:
    return torch.arange(12) % 3


def parts() -> list[Tensor]:
    return list(torch.arange(12).split(4))


def clients() -> fl.Clients:
    return fl.Clients.of(drawn(12, 4), labels(), parts())


def flat() -> data.FlatClients:
    return data.FlatClients.of(drawn(12, 4), labels(), parts())


def ids() -> Tensor:
    return torch.tensor([0, 2])


def batch() -> fl.Batch:
    return drawn(6, 4), labels()[:6]


def batches() -> fl.Batch:
    return clients().draw(torch.arange(3), steps=2, batch=2, generator=seeded())


def own() -> fl.Params:
    return {name: torch.stack([v, v, v]) for name, v in w().items()}


def masks() -> structure.Masks:
    return {"1.weight": (torch.arange(5) < 3)[:, None].expand(5, 4)}


def oracle() -> fl.Oracle:
    return fl.gradient(loss())


def tuning() -> Callable[[fl.Params, fl.Batch], fl.Params]:
    score = loss()
    return lambda v, batch: fl.adapt(score, v, batch, 0.1)


def kept() -> federated.OwnState:
    return federated.OwnState(federated.State(w()), own())


def saved() -> federated.OwnState:
    accounts = {f"dual.{name}": 3 * value for name, value in own().items()}
    return federated.OwnState(federated.State(w()), accounts)


def owners() -> fl.Clients:
    """Three clients with a linear model of two numbers."""
    x = drawn(12, 2) + 2 * torch.eye(12, 2)
    return fl.Clients.of(x, x.sum(1) + drawn(12), [range(4), range(4, 7), range(7, 12)])


def apart() -> federated.PersonalPath:
    return federated.personalization_path(owners())


# A linear model: X [8 3], y [8], its paths, and a small network's optimizer.
def X() -> Tensor:
    return drawn(8, 3) + 2 * torch.eye(8, 3)


def y() -> Tensor:
    return X() @ torch.tensor([3.0, -2.0, 0.0]) + 0.1 * drawn(8)


def fit(X: Tensor, y: Tensor) -> fl.Path:
    return fl.lbi_path(X, y, kappa=10.0, steps=20)


def path() -> fl.Path:
    return fl.iss_path(X(), y())


def bowl(v: Tensor) -> Tensor:
    return 0.5 * (v - 3).square().sum()


def chain() -> fl.Path:
    return fl.split_lbi_path(bowl, torch.zeros(2), fl.L1(), kappa=2.0, nu=1.0, lr=0.1, steps=9)


def run_of() -> theory.Run:
    found = chain()
    return theory.dual_of(found.w, found.gamma, nu=1.0, lr=0.1)


def state() -> sparse.SplitState:
    return sparse.SplitState(drawn(3), torch.zeros(3), torch.zeros(3))


def curve() -> sparse.Curve:
    return sparse.Curve(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.25]), torch.full((2,), 0.1))


def optimizer(network: nn.Module | None = None) -> fl.SplitLBI:
    network = network or model()
    found = fl.SplitLBI(network.named_parameters(), lr=0.1)
    loss = network(drawn(6, 4)).square().mean()
    loss.backward()
    found.step()
    return found


def on_weight(name: str) -> Call:
    network = model()
    return call(getattr(optimizer(network), name), p=network[1].weight)


def carried(network: nn.Module) -> Call:
    wide = fl.grow(network, 1, 2, generator=seeded())
    return call(structure.carry_state, optimizer=optimizer(network), model=network, wide=wide)


def axes() -> Any:
    return Figure().subplots()


def history() -> fl.History:
    return fl.History([0, 1], {"loss": [2.0, 1.0]})


OPTIONS = dict(kappa=1.0, nu=10.0, penalty="l1", scaled=False, momentum=0.5,
               momentum_on="coupled", weight_decay=0.1)  # fmt: skip
RUN = dict(rounds=1, cohort=2, steps=2, batch=2, how="vmap")
LBI = dict(kappa=10.0, lr=0.01, steps=20, every=5)
TRANSPORT = dict(on="xy", order=1, label_cost=1.0, threads=1)

VALID: dict[str, Callable[[], Call]] = {
    # trees, models, viz
    "axpy": lambda: call(fl.axpy, a=-0.5, x=w(), y=w()),
    "dot": lambda: call(fl.dot, x=w(), y=w()),
    "norm": lambda: call(fl.norm, x=w()),
    "weighted_mean": lambda: call(fl.weighted_mean, messages=own(), p=torch.full((3,), 1 / 3)),
    "logistic": lambda: call(fl.logistic, inputs=4, classes=3, seed=0),
    "mlp": lambda: Call(fl.mlp, dict(activation="relu", seed=0), (4, 5, 3), "sizes"),
    "lenet": lambda: call(fl.lenet, classes=3, widths=(2, 3, 4, 5), seed=0),
    "resnet": lambda: call(fl.resnet, channels=1, width=4, blocks=1, classes=3, seed=0),
    "parameters_of": lambda: call(fl.parameters_of, model=model()),
    "loss_of": lambda: call(fl.loss_of, model=model(), criterion=nn.functional.cross_entropy),
    "loss_of()": lambda: call(loss(), w=w(), batch=batch()),
    "accuracy_of": lambda: call(fl.accuracy_of, model=model()),
    "accuracy_of()": lambda: call(fl.accuracy_of(model()), w=w(), batch=batch()),
    "plot_clients": lambda: call(fl.plot_clients, clients=clients(), ax=axes(), classes=3),
    "plot_history": lambda: call(fl.plot_history, history=history(), ax=axes()),
    "plot_path": lambda: call(fl.plot_path, path=path(), ax=axes(), color="#0072B2", steps=True),
    # data
    "Clients": lambda: call(fl.Clients, **clients()._asdict()),
    "Clients.of": lambda: call(
        fl.Clients.of, X=drawn(12, 4), y=labels(), parts=parts(), p=torch.full((3,), 1 / 3)
    ),
    "Clients.data": lambda: call(clients().data, i=0),
    "Clients.weights": lambda: call(clients().weights, ids=ids()),
    "Clients.draw": lambda: call(
        clients().draw, ids=ids(), steps=2, draws=1, batch=2, generator=seeded()
    ),
    "Clients.to": lambda: call(clients().to, device="cpu"),
    "FlatClients": lambda: call(data.FlatClients, **flat()._asdict()),
    "FlatClients.data": lambda: call(flat().data, i=0),
    "load": lambda: call(fl.load, name="heart_disease", root=None, download=False, part="train"),
    "partition_iid": lambda: call(fl.partition_iid, labels=labels(), m=3, generator=seeded()),
    "partition_dirichlet": lambda: call(
        fl.partition_dirichlet, labels=labels(), m=3, alpha=1.0, generator=seeded()
    ),
    "partition_two_groups": lambda: call(
        fl.partition_two_groups, labels=torch.arange(100) % 10, m=2, a=2, generator=seeded()
    ),
    "partition_natural": lambda: call(fl.partition_natural, owner=labels(), least=1),
    "split_parts": lambda: call(fl.split_parts, parts=parts(), test=0.3, generator=seeded()),
    "gaussian_clients": lambda: call(
        data.gaussian_clients, means=torch.zeros(2, 3), n=4, scale=1.0, generator=seeded()
    ),
    "quadratic_clients": lambda: call(
        data.quadratic_clients, A=torch.eye(2).repeat(3, 1, 1), w=drawn(3, 2),
        p=torch.full((3,), 1 / 3),
    ),
    "quadratic_loss": lambda: call(
        data.quadratic_loss, w={"w": torch.ones(2)}, batch=(torch.eye(2)[None], drawn(1, 2))
    ),
    "GaussianPopulation": lambda: call(data.GaussianPopulation, m=10, d=3, shift=0.5, seed=0),
    "GaussianPopulation.weights": lambda: call(
        data.GaussianPopulation(m=10, d=3).weights, ids=ids()
    ),
    "GaussianPopulation.draw": lambda: call(
        data.GaussianPopulation(m=10, d=3).draw, ids=ids(), steps=2, draws=1, batch=2,
        generator=seeded(),
    ),
    # federated
    "gradient": lambda: call(fl.gradient, loss=loss()),
    "gradient()": lambda: call(oracle(), w=w(), draws=(batch(),)),
    "hvp": lambda: call(fl.hvp, loss=loss(), w=w(), batch=batch(), v=w()),
    "adapt": lambda: call(fl.adapt, loss=loss(), w=w(), batch=batch(), alpha=0.1, steps=2),
    "maml_gradient": lambda: call(
        fl.maml_gradient, loss=loss(), alpha=0.1, mode="exact", delta=1e-3, steps=1
    ),
    "maml_gradient()": lambda: call(
        fl.maml_gradient(loss(), 0.1), w=w(), draws=(batch(), batch(), batch())
    ),
    "fedavg": lambda: call(fl.fedavg, oracle=oracle(), lr=0.1, server_lr=1.0),
    "perfedavg": lambda: call(
        fl.perfedavg, loss=loss(), alpha=0.1, beta=0.1, mode="exact", delta=1e-3,
        inner_steps=1,
    ),
    "map_clients": lambda: call(
        fl.map_clients, client=federated.ditto(oracle(), lr=0.1, lam=1.0).client, w=w(),
        batches=batches(), own=own(), how="vmap", chunk=2,
    ),
    "run": lambda: call(
        fl.run, algorithm=fl.fedavg(oracle(), lr=0.1), w0=w(), clients=clients(),
        generator=seeded(), probe=lambda state: {"round": state.round},
        state=federated.State(w()), **RUN,
    ),
    "sample_cohort": lambda: call(federated.sample_cohort, m=10, cohort=3, generator=seeded()),
    "evaluate": lambda: call(
        fl.evaluate, metric=fl.accuracy_of(model()), w=w(), train=clients(), test=clients(),
        own=False, adapt=tuning(), batch=2, generator=seeded(), how="vmap",
    ),
    "anchored_oracle": lambda: call(
        federated.anchored_oracle, oracle=oracle(), anchor=w(), lam=1.0
    ),
    "anchored_oracle()": lambda: call(
        federated.anchored_oracle(oracle(), w(), 1.0), v=w(), draws=(batch(),)
    ),
    "descend": lambda: call(
        federated.descend, oracle=oracle(), w=w(), batch=batch(), lr=0.1, steps=2
    ),
    "fedprox": lambda: call(federated.fedprox, oracle=oracle(), lr=0.1, mu=1.0, server_lr=1.0),
    "ditto": lambda: call(federated.ditto, oracle=oracle(), lr=0.1, lam=1.0, own_lr=0.1),
    "pfedme": lambda: call(
        federated.pfedme, oracle=oracle(), lr=0.1, lam=1.0, inner_lr=0.1, inner=2, server_lr=1.0
    ),
    "local_only": lambda: call(federated.local_only, oracle=oracle(), lr=0.1),
    "reptile": lambda: call(federated.reptile, oracle=oracle(), lr=0.1, epsilon=0.5),
    "partial_oracle": lambda: call(
        federated.partial_oracle, oracle=oracle(), names={"3.weight", "3.bias"}
    ),
    "partial_oracle()": lambda: call(
        federated.partial_oracle(oracle(), {"3.bias"}), w=w(), draws=(batch(),)
    ),
    "fedrep": lambda: call(
        federated.fedrep, oracle=oracle(), head={"3.weight", "3.bias"}, lr=0.1
    ),
    "scaffold": lambda: call(
        federated.scaffold, oracle=oracle(), lr=0.1, server_lr=1.0, share=0.5
    ),
    "personal_models": lambda: call(federated.personal_models, state=kept()),
    "personal_path": lambda: call(
        federated.personal_path, oracle=oracle(), kappa=2.0, lr=0.1, penalty=fl.L1(), server_lr=1.0
    ),
    "sparse_start": lambda: call(
        federated.sparse_start, oracle=oracle(), kappa=2.0, nu=1.0, lr=0.1, penalty=fl.L1(), draws=1
    ),
    "path_models": lambda: call(
        federated.path_models, state=saved(), kappa=2.0, penalty=fl.L1()
    ),
    "personalization_path": lambda: call(
        federated.personalization_path, clients=owners(), max_knots=3, t_max=50.0
    ),
    "PersonalPath": lambda: call(federated.PersonalPath, **apart()._asdict()),
    "PersonalPath.at": lambda: call(apart().at, t=1.0),
    "label_distribution": lambda: call(
        federated.label_distribution, clients=clients(), classes=3
    ),
    "total_variation": lambda: call(
        fl.total_variation, p=torch.tensor([0.5, 0.5]), q=torch.tensor([0.25, 0.75])
    ),
    "gradient_dissimilarity": lambda: call(
        fl.gradient_dissimilarity, loss=loss(), w=w(), clients=clients()
    ),
    "hessian_dissimilarity": lambda: call(
        fl.hessian_dissimilarity, loss=fl.loss_of(fl.logistic(4, 3)),
        w=fl.parameters_of(fl.logistic(4, 3)), clients=clients(),
    ),
    "wasserstein": lambda: call(fl.wasserstein, clients=clients(), **TRANSPORT),
    "wasserstein_to_pool": lambda: call(
        federated.wasserstein_to_pool, clients=clients(), pool=batch(), **TRANSPORT
    ),
    "sliced_wasserstein": lambda: call(
        federated.sliced_wasserstein, clients=clients(), order=1, directions=5, generator=seeded()
    ),
    "keep_top": lambda: call(federated.keep_top, x=drawn(3, 5), count=2),
    "quantize": lambda: call(federated.quantize, x=drawn(3, 5), levels=2, generator=seeded()),
    "message_bytes": lambda: call(federated.message_bytes, numbers=100, bits=8.0, kept=10),
    "as_rows": lambda: call(federated.as_rows, messages=own()),
    "as_leaves": lambda: call(
        federated.as_leaves, row=drawn(sum(v.numel() for v in w().values())), like=w()
    ),
    "label_shares": lambda: call(
        federated.label_shares, slope=drawn(3), predicted=torch.full((3,), 1 / 3)
    ),
    "inputs_from_rows": lambda: call(
        federated.inputs_from_rows, weights=drawn(3, 4), biases=drawn(3)
    ),
    "match_message": lambda: call(
        federated.match_message, message_of=lambda x: {"w": 2 * x}, sent={"w": drawn(3)},
        x0=torch.zeros(3), steps=3,
    ),
    "to_grid": lambda: call(federated.to_grid, x=drawn(3, 5), width=0.1),
    "pair_seeds": lambda: call(federated.pair_seeds, m=3, generator=seeded()),
    "mask_of": lambda: call(
        federated.mask_of, i=1, seeds=federated.pair_seeds(3, generator=seeded()), size=4, bits=32
    ),
    "masked": lambda: call(
        federated.masked, values=federated.to_grid(drawn(3, 5), 0.1),
        seeds=federated.pair_seeds(3, generator=seeded()), bits=32,
    ),
    "sum_of_masked": lambda: call(
        federated.sum_of_masked, sent=federated.to_grid(drawn(3, 5), 0.1), bits=32
    ),
    "split_secret": lambda: call(
        federated.split_secret, secret=5, needed=2, holders=3, generator=seeded()
    ),
    "join_secret": lambda: call(federated.join_secret, shares=[(1, 5), (2, 8)]),
    "clip": lambda: call(federated.clip, x=drawn(3, 5), bound=0.5),
    "noisy_mean": lambda: call(
        federated.noisy_mean, x=drawn(3, 5), bound=0.5, sigma=1.0, generator=seeded()
    ),
    "gaussian_renyi": lambda: call(federated.gaussian_renyi, order=2.0, sigma=1.0, rounds=3),
    "sampled_renyi": lambda: call(federated.sampled_renyi, order=3, sigma=1.0, share=0.5),
    "renyi_epsilon": lambda: call(
        federated.renyi_epsilon, sigma=1.0, rounds=3, delta=0.01, share=0.5
    ),
    "gaussian_delta": lambda: call(federated.gaussian_delta, epsilon=1.0, sigma=1.0, rounds=3),
    "gaussian_epsilon": lambda: call(federated.gaussian_epsilon, delta=0.01, sigma=1.0, rounds=3),
    "largest_power": lambda: call(
        federated.largest_power, false_alarms=0.1, sigma=1.0, rounds=3
    ),
    # engines
    "Shard": lambda: call(torch_dist.Shard, clients=clients(), first=1, last=3),
    "Shard.of": lambda: call(torch_dist.Shard.of, clients=clients(), rank=1, processes=2),
    "Shard.weights": lambda: call(torch_dist.Shard(clients(), 0, 3).weights, ids=ids()),
    "Shard.draw": lambda: call(
        torch_dist.Shard(clients(), 1, 3).draw, ids=torch.arange(2), steps=2, draws=1, batch=2,
        generator=seeded(),
    ),
    "round_generator": lambda: call(flower.round_generator, seed=0, r=3),
    "all_reduced": lambda: call(
        torch_dist.all_reduced, algorithm=fl.fedavg(oracle(), lr=0.1), weight=0.5
    ),
    # sparse
    "L1": lambda: call(fl.L1, scale=0.5, weights=torch.ones(3)),
    "L1.value": lambda: call(fl.L1(0.5).value, x=drawn(3)),
    "L1.prox": lambda: call(fl.L1(0.5).prox, x=drawn(3), step=0.5),
    "L1.support": lambda: call(fl.L1(0.5).support, x=drawn(3)),
    "L1.residual": lambda: call(fl.L1(0.5).residual, x=drawn(3), v=drawn(3)),
    "GroupL2": lambda: call(fl.GroupL2, scale=0.5, weights=torch.ones(2)),
    "GroupL2.value": lambda: call(fl.GroupL2(0.5, torch.ones(2)).value, x=drawn(2, 3)),
    "GroupL2.prox": lambda: call(fl.GroupL2(0.5, torch.ones(2)).prox, x=drawn(2, 3), step=0.5),
    "GroupL2.support": lambda: call(fl.GroupL2(0.5, torch.ones(2)).support, x=drawn(2, 3)),
    "GroupL2.residual": lambda: call(
        fl.GroupL2(0.5, torch.ones(2)).residual, x=drawn(2, 3), v=drawn(2, 3)
    ),
    "GroupL2.norms": lambda: call(fl.GroupL2().norms, x=drawn(2, 3)),
    "Path": lambda: call(fl.Path, **path()._asdict()),
    "Path.at": lambda: call(path().at, t=1.0, of="w"),
    "iss_path": lambda: call(
        fl.iss_path, X=X(), y=y(), max_active=2, max_knots=5, t_max=50.0
    ),
    "certificate": lambda: call(fl.certificate, path=path(), X=X(), y=y()),
    "lbi": lambda: call(
        sparse.lbi, gradient=lambda b: b - 1, beta0=torch.zeros(2), penalty=fl.L1(), **LBI
    ),
    "lbi_path": lambda: call(
        fl.lbi_path, X=X(), y=y(), loss="squared", free=[0], check=True, **LBI
    ),
    "largest_curvature": lambda: call(sparse.largest_curvature, X=X(), rough=False),
    "lbi_max_lr": lambda: call(
        sparse.lbi_max_lr, X=X(), kappa=10.0, loss="squared", rough=False
    ),
    "split_step": lambda: call(
        sparse.split_step, state=state(), slope=drawn(3), penalty=fl.L1(), kappa=2.0, nu=1.0,
        lr=0.1, D=torch.eye(3),
    ),
    "split_lbi_path": lambda: call(
        fl.split_lbi_path, loss=bowl, w0=torch.zeros(2), penalty=fl.L1(), kappa=2.0, nu=1.0,
        lr=0.1, steps=6, D=torch.eye(2), every=2, gradient=lambda v: v - 3,
    ),
    "split_lbi_max_lr": lambda: call(
        sparse.split_lbi_max_lr, X=X(), D=torch.eye(3), kappa=2.0, nu=1.0
    ),
    "Curve": lambda: call(sparse.Curve, **curve()._asdict()),
    "validation_curve": lambda: call(
        sparse.validation_curve, path=path(), X=X(), y=y(), score=squared_error, of="w"
    ),
    "cross_validation": lambda: call(
        sparse.cross_validation, fit=fit, X=X(), y=y(), times=torch.tensor([0.2, 0.4]), folds=2,
        score=squared_error, of="w", generator=seeded(),
    ),
    "discrepancy_time": lambda: call(
        sparse.discrepancy_time, path=path(), X=X(), y=y(), sigma=0.2
    ),
    "SplitLBI": lambda: call(
        fl.SplitLBI, params=list(model().named_parameters()), lr=0.1, **OPTIONS
    ),
    "SplitLBI.add_param_group": lambda: call(
        fl.SplitLBI([nn.Parameter(torch.ones(3))], lr=0.1).add_param_group,
        param_group={"params": [nn.Parameter(torch.ones(2))], "penalty": "l1"},
    ),
    "SplitLBI.step": lambda: call(optimizer().step, closure=lambda: torch.zeros(())),
    "SplitLBI.gamma": lambda: on_weight("gamma"),
    "SplitLBI.support": lambda: on_weight("support"),
    "split_lbi": lambda: call(
        sparse.split_lbi, params=[drawn(3)], grads=[drawn(3)], duals=[torch.zeros(3)],
        buffers=[torch.zeros(3)], lr=0.1, **OPTIONS,
    ),
    "penalty_groups": lambda: call(
        fl.penalty_groups, model=model(), conv="group", linear="l1", lr=0.1
    ),
    "record_path": lambda: call(fl.record_path, optimizer=optimizer(), every=1, keep="all"),
    "entry_auc": lambda: call(
        sparse.entry_auc, time=torch.tensor([[1.0, 3.0, 2.0]]),
        true=torch.tensor([True, False, False]),
    ),
    "entry_forecast": lambda: call(sparse.entry_forecast, optimizer=optimizer()),
    # structure
    "carry_state": lambda: carried(model()),
    "he_start": lambda: call(structure.he_start, model=model(), seed=0),
    "project": lambda: call(fl.project, w=w(), gamma=masks()),
    "mask_counts": lambda: call(structure.mask_counts, masks=masks(), unit="rows"),
    "kept_share": lambda: call(structure.kept_share, masks=masks()),
    "magnitude_masks": lambda: call(
        structure.magnitude_masks, w=w(), keep={"1.weight": 3}, unit="rows"
    ),
    "random_masks": lambda: call(
        structure.random_masks, w=w(), keep=0.5, generator=seeded(), unit="rows"
    ),
    "overlap_by_chance": lambda: call(structure.overlap_by_chance, n=16, k=12, other=12),
    "close_masks": lambda: call(structure.close_masks, model=model(), masks=masks()),
    "cost": lambda: Call(structure.cost, dict(model=model()), (4,), "shape"),
    "grow": lambda: call(
        fl.grow, model=model(), layer=1, extra=2, generator=seeded(), outgoing=0.5
    ),
    "ready_to_grow": lambda: call(structure.ready_to_grow, masks=masks(), share=0.5),
    "prune": lambda: call(fl.prune, model=model(), w=w()),
    "retrain": lambda: call(
        structure.retrain, loss=loss(), start=w(), masks=masks(), batches=[batch(), batch()],
        lr=0.1, momentum=0.5, weight_decay=0.1,
    ),
    # theory
    "balanced_steps": lambda: call(theory.balanced_steps, eps=0.01, everybody=True),
    "fo_bias": lambda: call(
        theory.fo_bias, L=1.0, rho=1.0, B=3.0, sigma_G=2.0, alpha=0.5, batch=4
    ),
    "fo_variance": lambda: call(
        theory.fo_variance, L=1.0, sigma_G=2.0, alpha=0.5, batches=(4, 2)
    ),
    "hf_bias": lambda: call(
        theory.hf_bias, L=1.0, rho=1.0, B=3.0, sigma_G=2.0, alpha=0.5, batches=(4, 2, 1),
        delta=0.01, convex=False,
    ),
    "mean_client_gap": lambda: call(
        theory.mean_client_gap, L=1.0, rho=1.0, B=3.0, gamma_G=0.5, gamma_H=0.25, alpha=0.5,
        convex=False,
    ),
    "newcomer_gap": lambda: call(
        theory.newcomer_gap, L=1.0, B=3.0, slopes=0.5, curves=0.25, alpha=0.5, mean_client=0.1,
        convex=False, everywhere=False,
    ),
    "meta_bias": lambda: call(
        theory.meta_bias, L=1.0, rho=1.0, sigma_G=2.0, alpha=0.5, batch=4, convex=False
    ),
    "meta_dissimilarity": lambda: call(
        theory.meta_dissimilarity, L=1.0, B=3.0, gamma_G=0.5, gamma_H=0.25, alpha=0.5, convex=False,
        everywhere=True,
    ),
    "meta_smoothness": lambda: call(
        theory.meta_smoothness, L=1.0, rho=1.0, B=3.0, alpha=0.5, steps=2, convex=False
    ),
    "meta_variance": lambda: call(
        theory.meta_variance, L=1.0, B=3.0, sigma_G=2.0, sigma_H=0.5, alpha=0.5,
        batches=(4, 2, 1), convex=False,
    ),
    "perfedavg_bound": lambda: call(
        theory.perfedavg_bound, gap=3.0, L_F=1.0, sigma_F2=0.5, gamma_F=3.0, bias=0.5, beta=0.1,
        tau=2, rounds=7, m=4, cohort=2,
    ),
    "sampling_factor": lambda: call(theory.sampling_factor, m=10, cohort=5),
    "softmax_constants": lambda: call(theory.softmax_constants, radius=2.0),
    "stretch": lambda: call(theory.stretch, L=1.0, alpha=0.5, convex=False),
    "dissimilarity_from_tv": lambda: call(
        theory.dissimilarity_from_tv, distances=torch.tensor([0.5, 0.25]), bound=3.0,
        weights=torch.tensor([0.5, 0.5]),
    ),
    "dissimilarity_from_wasserstein": lambda: call(
        theory.dissimilarity_from_wasserstein, distances=torch.tensor([0.5, 2.0]), lipschitz=3.0,
        weights=torch.tensor([0.5, 0.5]),
    ),
    "joint_lipschitz": lambda: call(theory.joint_lipschitz, feature=2.0, jump=6.0, label_cost=3.0),
    "softmax_lipschitz": lambda: call(theory.softmax_lipschitz, radius=2.0, weight_norm=1.0),
    "coupled_lipschitz": lambda: call(theory.coupled_lipschitz, lip=1.5, nu=2.0, sharp=False),
    "lyapunov_max_lr": lambda: call(
        theory.lyapunov_max_lr, lip=1.5, kappa=4.0, nu=2.0, sharp=False
    ),
    "dual_of": lambda: call(theory.dual_of, w=chain().w, gamma=chain().gamma, nu=1.0, lr=0.1),
    "subgradients": lambda: call(theory.subgradients, run=run_of(), kappa=2.0),
    "squared_steps": lambda: call(theory.squared_steps, run=run_of()),
    "descent": lambda: call(
        theory.descent, loss=bowl, run=run_of(), penalty=fl.L1(), lip=1.0, kappa=2.0, nu=1.0,
        lr=0.1,
    ),
    "relative_error": lambda: call(
        theory.relative_error, loss=bowl, run=run_of(), lip=1.0, kappa=2.0, nu=1.0, lr=0.1
    ),
    "logistic_lipschitz": lambda: call(theory.logistic_lipschitz, X=X(), l2=0.1),
    "local_lipschitz": lambda: call(theory.local_lipschitz, loss=bowl, w=torch.zeros(2)),
    "restricted_convexity": lambda: call(theory.restricted_convexity, X=X(), support=[0, 1]),
    "irrepresentable": lambda: call(
        theory.irrepresentable, X=X(), support=[0, 1], signs=torch.tensor([1.0, -1.0])
    ),
    "noise_rate": lambda: call(theory.noise_rate, X=X(), support=[0, 1], noise=drawn(8)),
    "oracle_reach": lambda: call(theory.oracle_reach, X=X(), support=[0, 1], y=y()),
    "safe_time": lambda: call(theory.safe_time, eta=0.5, omega=0.1, reach=10.0, kappa=100.0),
    "sign_time": lambda: call(
        theory.sign_time, coefficients=torch.tensor([2.0, -2.0]), gamma=1.0, kappa=100.0, c=0.5,
        lr=0.1,
    ),
    "selection_bound": lambda: call(
        theory.selection_bound, X=20 * torch.eye(40), beta=3.0 * (torch.arange(40) < 4), sigma=0.1,
        kappa=100.0, lr=0.001, delta=0.05,
    ),
    "compatibility": lambda: call(theory.compatibility, X=X(), support=[0, 1], slack=3.0),
    "prediction_bound": lambda: call(
        theory.prediction_bound, t=2.0, coefficients=torch.tensor([2.0, -2.0]), phi=0.5, omega=0.1
    ),
    "split_gram": lambda: call(theory.split_gram, X=X(), nu=1.0, D=torch.eye(3)),
    "split_design": lambda: call(theory.split_design, X=X(), y=y(), nu=1.0, D=torch.eye(3)),
    "split_irr": lambda: call(
        theory.split_irr, X=X(), support=torch.tensor([True, True, False]), nu=1.0, D=torch.eye(3)
    ),
    "split_estimate": lambda: call(
        theory.split_estimate, beta=drawn(3), gamma=torch.tensor([1.0, 0.0, 2.0]), D=torch.eye(3)
    ),
    "slowest_exponential": lambda: call(
        theory.slowest_exponential, mean=2.0, cohort=5, answers=4
    ),
    "slowest_lognormal": lambda: call(theory.slowest_lognormal, mu=0.5, sigma=0.5, cohort=5),
    "slowest_lognormal_bound": lambda: call(
        theory.slowest_lognormal_bound, mu=0.5, sigma=0.5, cohort=5
    ),
    "clean_until": lambda: call(
        theory.clean_until, X=X(), support=torch.tensor([True, True, False]), nu=1.0, sigma=0.5,
        delta=0.06, D=torch.eye(3),
    ),
}  # fmt: skip


RECORD = "a record of what the library computed; the functions that take one check it"
CALLED = "run and map_clients call the functions of an Algorithm, with what they have checked"

#: Public names without a call of their own, and why.
EXEMPT = {
    **dict.fromkeys(
        ["Bound", "Certificate", "Cost", "Dataset", "Descent", "History", "OwnState", "Prediction",
         "Run", "ScaffoldState", "Selection", "SparseState", "SplitState", "State"], RECORD),
    "Federation": RECORD,
    **dict.fromkeys(["client_app", "server_app"], "they need Flower; see test_flower"),
    "run_saved": "it writes files; run checks the rest, and test_run_saved what it adds",
    "Algorithm": "a record of functions; run checks it",
    "Penalty": "a protocol: nobody makes one",
    "use_book_style": "takes nothing and changes matplotlib's settings",
    "Forecast": RECORD,
    "Curve.best": "takes nothing",
    "Curve.simplest": "takes nothing",
    "Path.entry_times": "takes nothing",
    "PersonalPath.entry_times": "takes nothing",
}  # fmt: skip

#: Counts that ask for a long run and not for memory: a huge one is nobody's mistake to refuse.
LONG = {("adapt", "steps"), ("descend", "steps"), ("run", "rounds")}

#: Values of a plain kind that mean something here after all.
MEANT = {
    ("magnitude_masks", "keep", "half"),  # a share in the place of counts
    ("random_masks", "keep", "dict"),  # counts, of nothing
    ("load", "root", "word"),  # a folder's name
    *((name, "batch", "none") for name in ("Clients.draw", "Shard.draw", "run")),  # whole data
    *[(name, "state", f"server=round={kind}")  # they do not look at the round
      for name in ("personal_models", "path_models") for kind in ("none", "word", "object")],
    *((name, "penalty", "dict")  # run holds its names against those of the model
      for name in ("personal_path", "sparse_start")),
    ("axpy", "a", "nan"),  # in a loop, NaN comes out
    ("L1.prox", "step", "nan"), ("L1.prox", "step", "true"),
    ("GroupL2.prox", "step", "nan"), ("GroupL2.prox", "step", "true"),
    ("GroupL2.prox", "step", "vector"),  # a step for each group
    ("split_lbi_path", "loss", "none"),  # where a gradient is given
    *(("split_step", name, kind) for name in ("lr", "kappa", "nu")
      for kind in ("nan", "true")),  # in a loop, NaN comes out; True is 1
    ("split_lbi", "penalty", "none"), ("SplitLBI", "penalty", "none"),  # plain gradient steps
    ("penalty_groups", "conv", "none"), ("penalty_groups", "linear", "none"),
    ("L1.prox", "x", "float32"), ("L1.prox", "x", "int64"),  # NumPy's numbers clip, too
}  # fmt: skip

#: What the loss that is passed calls an argument, if it is not the same: its errors come out.
LOSS_SAYS = {("retrain", "start"): "w", ("retrain", "batches"): "batch"}

#: Plain arithmetic, whose docstrings say that NaN comes out where NaN goes in. And Clients, whose
#: padding may hold anything: Clients.of refuses NaN. The score of a diverged model is NaN.
ARITHMETIC = {
    "Clients", "FlatClients", "Shard", "Shard.of", "evaluate",
    "axpy", "dot", "norm", "weighted_mean", "loss_of()", "gradient()", "hvp", "adapt",
    "maml_gradient()", "map_clients", "anchored_oracle()", "partial_oracle()", "descend",
    "quadratic_loss", "L1.value", "L1.prox", "L1.residual", "GroupL2.value", "GroupL2.prox",
    "GroupL2.residual", "GroupL2.norms", "split_lbi", "split_step", "SplitLBI.step",
    "parameters_of", "project", "retrain", "Path", "Curve", "validation_curve", "plot_history",
    "plot_path", "personal_models", "path_models", "PersonalPath",
}  # fmt: skip

#: Calls that change an argument, as their docstrings say.
IN_PLACE = {"split_lbi": "a step in place", "SplitLBI": "options go into the groups",
            "SplitLBI.add_param_group": "options go into the group",
            "SplitLBI.step": "a step in place", "record_path": "a hook"}  # fmt: skip

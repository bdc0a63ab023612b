"""Routers: the published scores, and one boundary of one run apart from the others."""

import pytest
import torch
import torch.nn.functional as F

from ltbv.methods.router import Router, means_so_far
from ltbv.models.stack import draw_run
from ltbv.seeds import generator

FLOAT64 = {"rtol": 1e-10, "atol": 1e-10}


def build(runs: int, which: tuple[int, ...], *, experts: int = 4, features: int = 6, classes: int = 5, top: int = 3):
    router = Router(runs, experts - 1, features, classes, top).double()
    for place, run in enumerate(which):
        draw_run(router, place, runs, generator(0, run, "init"))
    return router


@pytest.fixture
def seen():
    """Means of logits [3, 3, 7, 5] and features [3, 3, 7, 6] of three runs with four experts."""
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, 3, 7, size, generator=draw, dtype=torch.float64) for size in (5, 6))


def test_scores_are_the_published_ones(golden):
    found = golden("methods/ride_router")
    router = Router(1, found["K"] - 1, found["feature_dim"], found["C"], found["top_choices_num"]).double()
    learnt = {name: torch.tensor(values, dtype=torch.float64) for name, values in found["router_params"].items()}
    with torch.no_grad():
        for i in (0, 1):
            router.hidden.weight[i] = learnt[f"expert_help_pred_hidden_fcs.{i}.weight"]
            router.hidden.bias[i] = learnt[f"expert_help_pred_hidden_fcs.{i}.bias"]
        router.final.weight[0], router.final.bias[0] = (
            learnt[f"expert_help_pred_fc.{name}"] for name in ("weight", "bias")
        )
    logits, features = (
        torch.tensor(found[name], dtype=torch.float64).unsqueeze(0)
        for name in ("expert_logits", "expert_features(after_GAP)")
    )
    scores = router(means_so_far(logits)[:, :-1], features[:, :-1])
    expected = torch.tensor(found["router_scores_all_samples_pre_sigmoid"], dtype=torch.float64)
    torch.testing.assert_close(scores[0], expected, rtol=2e-6, atol=2e-6)


def test_scores_are_their_formula_image_by_image(seen):
    means, features = seen
    router = build(3, (0, 1, 2))
    scores = router(*seen)
    assert scores.shape == (3, 3, 7)
    for r in range(3):
        for i in range(3):
            for b in range(7):
                direction = features[r, i, b] / features[r, i, b].norm()
                hidden = torch.relu(router.hidden.weight[3 * r + i] @ direction + router.hidden.bias[3 * r + i])
                largest = torch.tensor(sorted(means[r, i, b].tolist(), reverse=True)[:3], dtype=torch.float64)
                score = router.final.weight[r, 0] @ torch.cat([largest, hidden]) + router.final.bias[r, 0]
                torch.testing.assert_close(scores[r, i, b], score, **FLOAT64)


def test_a_run_is_scored_alike_in_a_stack_of_any_size(seen):
    together = build(3, (0, 1, 2))(*seen)
    for run in range(3):
        alone = build(1, (run,))(*(part[[run]] for part in seen))
        torch.testing.assert_close(alone[0], together[run], **FLOAT64)


def test_the_router_of_one_boundary_of_one_run_scores_as_in_the_stack(seen):
    router = build(3, (0, 1, 2))
    together = router(*seen)
    for run in range(3):
        for boundary in range(3):
            means, features = (part[run, boundary][None, None] for part in seen)
            score = router.at(run, boundary)(means, features)
            torch.testing.assert_close(score[0, 0], together[run, boundary], **FLOAT64)


def test_runs_differ_and_boundaries_share_their_final_layer(seen):
    router = build(3, (0, 1, 2))
    assert len(torch.unique(router.hidden.weight.detach(), dim=0)) == 9
    assert len(torch.unique(router.final.weight.detach(), dim=0)) == 3 == len(router.final.weight)
    same = [part[:1, :1].expand(3, 3, -1, -1) for part in seen]
    assert len(torch.unique(router(*same).detach().flatten(0, 1), dim=0)) == 9


def test_where_there_are_fewer_classes_than_it_would_look_at_it_looks_at_all(seen):
    wide, all_of_them = build(3, (0, 1, 2), top=30), build(3, (0, 1, 2), top=5)
    assert wide.top == 5 and torch.equal(wide(*seen), all_of_them(*seen))


def test_a_feature_vectors_length_is_nothing(seen):
    means, features = seen
    router = build(3, (0, 1, 2))
    torch.testing.assert_close(router(means, 9 * features), router(means, features), **FLOAT64)
    assert router(means, torch.zeros_like(features)).isfinite().all()


def test_means_so_far_are_means_of_the_first_experts():
    logits = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = means_so_far(logits)
    for i in range(4):
        torch.testing.assert_close(found[:, i], logits[:, : i + 1].mean(1), **FLOAT64)
    assert F.mse_loss(found[:, 0], logits[:, 0]) == 0

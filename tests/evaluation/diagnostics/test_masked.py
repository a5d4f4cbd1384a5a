"""Every diagnostic of gradients and attacks fails on a network built for it, and passes on a healthy one."""

from __future__ import annotations

import torch
from torch import nn

from qlight.evaluation.diagnostics import Diagnosis
from tests.evaluation.diagnostics import toys


def test_a_healthy_network_passes_all() -> None:
    found = toys.diagnosis_of(toys.healthy(), sources={"another": toys.healthy(1)})
    assert [d.name for d in found.diagnostics if d.status != "pass"] == []
    assert found.verdict == f"No diagnostic of {len(found.diagnostics)} fails: nothing here says that gradients are masked."
    assert found.correct == 8


def test_a_staircase_has_no_gradient_to_follow() -> None:
    inner = toys.healthy()
    found = toys.diagnosis_of(toys.Staircase(inner), sources={"smooth": inner})
    failed = {d.name for d in found.failed}
    assert failed >= {
        "zero_gradient_cross_entropy", "zero_gradient_margin", "spsa_beyond_white_box", "square_beyond_white_box", "cw_success",
        "unbounded_success", "iterations_help", "planted_examples", "transfer_better_than_direct", "zero_differences",
    }  # fmt: skip
    assert found["zero_gradient_margin"].figure == 1
    assert found["unbounded_success"].figure == 0
    assert "`smooth`" in found["transfer_better_than_direct"].verdict
    assert "ZOO's result does not measure robustness" in found["zero_differences"].verdict
    assert "overstate robustness" in found.verdict


def test_a_straight_through_staircase_has_a_gradient_that_differences_do_not_see() -> None:
    # as steep as 1000 steps: a difference of 1e-4 seldom crosses one, and is then a thousand times too large
    found = toys.diagnosis_of(toys.Staircase(toys.healthy(), levels=64, straight_through=True))
    assert {d.name for d in found.failed} == {"zero_differences", "difference_direction"} | (
        {"exploding_differences"} if (found.sweep[1].explosion or 0) > 10 else set()
    )
    assert found["zero_gradient_margin"].status == "pass"
    assert found["best_difference_direction"].status == "pass"  # a step of 0.1 spans several stairs
    assert "ZOO" in found.verdict


def test_differences_explode_at_a_stair() -> None:
    images = toys.images_of() * 0 + 0.5  # 0.5 lies on the edge of an odd number of stairs, so each difference crosses it
    found = toys.diagnosis_of(toys.Staircase(toys.healthy(), levels=7, straight_through=True), images)
    explosion = found["exploding_differences"]
    assert explosion.status == "fail"
    assert explosion.figure is not None
    assert explosion.figure > 100
    assert f"{explosion.figure:.3g} times" in explosion.verdict


def test_differences_where_every_gradient_is_zero_are_infinite_in_ratio() -> None:
    images = toys.images_of() * 0 + 0.5
    explosion = toys.diagnosis_of(toys.Staircase(toys.healthy(), levels=7), images)["exploding_differences"]
    assert (explosion.status, explosion.figure) == ("fail", None)
    assert "every gradient is zero" in explosion.verdict


def test_no_difference_direction_at_any_h() -> None:
    found = toys.diagnosis_of(toys.Staircase(toys.healthy(), levels=1, straight_through=True))
    assert toys.status(found, "best_difference_direction") == "fail"


def test_a_saturated_softmax_hides_the_gradient_of_one_loss() -> None:
    found = toys.diagnosis_of(toys.Times(toys.healthy(), 1e5))
    assert toys.status(found, "zero_gradient_cross_entropy") == "fail"
    assert toys.status(found, "zero_gradient_margin") == "pass"
    assert toys.status(found, "other_losses_beyond_cross_entropy") == "fail"
    assert toys.status(found, "cw_success") == "pass"
    assert "BIM, margin loss" in found["other_losses_beyond_cross_entropy"].verdict


def test_a_gradient_that_is_good_only_at_the_image_makes_one_step_better_than_many() -> None:
    found = toys.diagnosis_of(toys.Misled(toys.healthy()), eps=0.25)
    difference = found["fgsm_better_than_bim"]
    assert difference.status == "fail"
    assert difference.figure is not None
    assert difference.figure > 0.5
    assert toys.status(found, "success_against_iterations") == "fail"
    assert found.iteration_curve[0][1] > found.iteration_curve[-1][1]


def test_success_that_falls_as_eps_grows() -> None:
    images = 0.5 + (toys.images_of() - 0.5) * 0.2
    found = toys.diagnosis_of(toys.Fortress().eval(), images, torch.zeros(8, dtype=torch.int64))
    assert toys.status(found, "success_against_eps") == "fail"
    assert found["unbounded_success"].figure == 0
    assert max(success for _, success in found.eps_curve) == 1


def test_noise_as_good_as_an_attack() -> None:
    images = torch.linspace(0.2, 0.8, 8)[:, None, None, None].expand(-1, *toys.SHAPE).clone()
    found = toys.diagnosis_of(toys.Rough().eval(), images, torch.zeros(8, dtype=torch.int64))
    assert found["random_noise"].figure == 1
    assert toys.status(found, "random_noise") == "fail"


def test_examples_between_8_bit_images() -> None:
    found = toys.diagnosis_of(toys.OffGrid().eval(), labels=torch.zeros(8, dtype=torch.int64))
    assert (found["eight_bit_examples"].status, found["eight_bit_examples"].figure) == ("fail", 0)


def test_gradients_that_are_not_finite() -> None:
    found = toys.diagnosis_of(toys.Undefined(toys.healthy()))
    assert found["zero_gradient_margin"].details["not_finite_images"] == 1
    assert toys.status(found, "zero_gradient_margin") == "fail"
    assert toys.status(found, "zero_gradient_cross_entropy") == "fail"
    assert toys.status(found, "unbounded_success") == "fail"


def test_a_network_without_a_gradient_gets_what_needs_none() -> None:
    found = toys.diagnosis_of(toys.Deployed(toys.Staircase(toys.healthy())))
    by_status = _names_by_status(found)
    assert by_status["pass"] >= {"eval_mode", "deterministic", "logits", "batch_predictions", "inside_box_and_ball", "eight_bit_examples"}
    assert by_status["fail"] == {"zero_differences"}
    assert by_status["not applicable"] >= {"zero_gradient_margin", "fgsm_better_than_bim", "cw_success", "planted_examples"}
    assert found["cw_success"].verdict == "Not applicable: the model has no gradient."
    assert {attack["name"] for attack in found.attacks} == {"SPSA", "Square", "noise"}


def test_all_wrong_leaves_nothing_to_attack() -> None:
    images = toys.images_of()
    network = toys.healthy()
    found = toys.diagnosis_of(network, images, (network(images).argmax(1) + 1) % 10)
    assert found.correct == 0
    assert "none of 8 images rightly" in found.verdict
    assert _names_by_status(found)["pass"] == {"eval_mode", "deterministic", "logits", "batch_predictions", "batch_logits"}


def test_a_model_without_a_linear_layer_has_no_planted_examples() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()).eval()
    assert toys.status(toys.diagnosis_of(network), "planted_examples") == "not applicable"


def _names_by_status(found: Diagnosis) -> dict[str, set[str]]:
    return {word: {d.name for d in found.diagnostics if d.status == word} for word in ("pass", "fail", "not applicable")}

"""Target tracking changes the desired count, and waits for its cool-downs."""

import pytest

from zama_emulator.scaling import Scaled, wanted

POLICY = {"ScaleOutCooldown": 60, "ScaleInCooldown": 300}


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([90.0] * 3, 3),
        ([90.0, 90.0, 50.0], 2),
        ([61.0] * 3, 3),
        ([10.0] * 15, 1),
        ([10.0] * 14 + [59.0], 2),
        ([55.0] * 15, 2),
        ([90.0, None, 90.0], 2),
        ([None] * 15, 2),
    ],
)
def test_a_policy_follows_its_metric(values: list[float | None], count: int) -> None:
    """Three high minutes scale out and fifteen low ones scale in; missing data changes nothing."""
    assert wanted(2, 60.0, values) == count


def test_a_scale_out_waits_for_the_last_one() -> None:
    """The scale-out cool-down lets new tasks take load before more are added."""
    scaled = Scaled()
    assert scaled.change(2, [(4, POLICY)], 1000.0) == 4
    assert scaled.change(4, [(6, POLICY)], 1059.0) == 4
    assert scaled.change(4, [(6, POLICY)], 1060.0) == 6


def test_a_scale_in_waits_and_needs_every_policy() -> None:
    """One policy is enough to scale out or to stay."""
    scaled = Scaled()
    assert scaled.change(2, [(4, POLICY), (1, POLICY)], 1000.0) == 4
    assert scaled.change(4, [(2, POLICY), (4, POLICY)], 2000.0) == 4
    assert scaled.change(4, [(2, POLICY), (3, POLICY)], 1299.0) == 4
    assert scaled.change(4, [(2, POLICY), (3, POLICY)], 1300.0) == 3
    assert scaled.change(3, [(2, {**POLICY, "DisableScaleIn": True})], 9000.0) == 3

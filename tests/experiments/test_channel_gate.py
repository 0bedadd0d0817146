import math

import pytest
import torch
from torch.nn import functional

from experiments.channel_gate import ChannelGate, GatedResNet

CPU = "cpu"


def maps(count: int = 4, side: int = 4) -> torch.Tensor:
    return torch.randn(count, 192, side, side, generator=torch.Generator().manual_seed(1))


def network() -> GatedResNet:
    torch.manual_seed(0)
    return GatedResNet(classes=5, width=1 / 16, layers=(1, 1, 1, 1))


def lively(model: GatedResNet) -> GatedResNet:
    """With random scales, or the zero-initialised residual branches hide what flows through them."""
    torch.manual_seed(0)
    for parameter in model.body.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def shut(model: GatedResNet, channel: int) -> None:
    bias = model.gate.decide.bias
    assert bias is not None
    with torch.no_grad():
        bias.view(-1, 2)[channel] = torch.tensor([100.0, -100.0])


def test_shapes() -> None:
    model = network()
    assert model(maps()).shape == (4, 5)
    assert model.open_share.shape == ()
    assert model.eval().gate(maps()).shape == (4, 192)


def test_initial_share_of_open_channels() -> None:
    torch.manual_seed(0)
    gate = ChannelGate()
    x = maps(64, 1)
    drawn = torch.stack([gate(x) for _ in range(10)]).mean()
    assert drawn.item() == pytest.approx(1 / (1 + math.exp(-1.9)), abs=0.005)
    assert gate.eval()(x).mean() == 1, "the larger logit opens all"


def test_samples_are_zero_or_one_and_follow_the_seed() -> None:
    gate, x = ChannelGate(), maps()
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(gate(x))
    assert set(draws[0].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_gradients_reach_the_gate_through_hard_samples() -> None:
    model = lively(network())
    functional.cross_entropy(model(maps()), torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in model.gate.named_parameters():
        assert parameter.grad is not None, name
    bias = model.gate.decide.bias
    assert bias is not None
    assert bias.grad is not None
    off, on = bias.grad.view(-1, 2).unbind(1)
    assert (on != 0).float().mean() > 0.9
    torch.testing.assert_close(off, -on)


def test_the_penalty_closes_channels() -> None:
    model = network()
    optimiser = torch.optim.SGD(model.gate.parameters(), 5.0)
    x, shares = maps(16, 1), []
    for _ in range(60):
        model(x)
        shares.append(model.open_share.item())
        optimiser.zero_grad()
        (10 * model.open_share).backward()
        optimiser.step()
    assert shares[0] > 0.8
    assert shares[-1] < 0.3


def test_eval_is_deterministic() -> None:
    model, x = lively(network()), maps(8)
    torch.nn.init.normal_(model.gate.decide.weight, std=3.0)
    model(x)
    model.eval()
    first = model(x)
    torch.manual_seed(7)
    assert torch.equal(model(x), first)
    opened = model.gate(x)
    assert 0 < opened.mean() < 1
    assert opened.std(dim=0).max() > 0, "it depends on the image"
    assert model.open_share == opened.mean()


@pytest.mark.parametrize("training", [True, False])
def test_a_closed_channel_contributes_nothing(training: bool) -> None:
    model = lively(network()).train(training)
    x, other = maps(), maps()
    other[:, 17] = 1e6
    # The decision must not change either: the gate's own first layer may look at every channel.
    torch.nn.init.zeros_(model.gate.squeeze.weight)
    shut(model, 17)
    answers = []
    for batch in (x, other):
        torch.manual_seed(3)
        answers.append(model(batch))
    assert torch.equal(answers[0], answers[1])
    shut(model, 18)
    other[:, 18] = -1e6
    torch.manual_seed(3)
    assert not torch.equal(model(x), answers[0]), "and an open one does"


def test_autocast_does_not_touch_the_decision() -> None:
    model, x = network().eval(), maps(8)
    torch.nn.init.normal_(model.gate.decide.weight, std=3.0)
    sure = model.gate.logits(x)
    model.train()
    with torch.autocast(CPU, torch.bfloat16):
        assert model(x).dtype == torch.bfloat16
        assert model.open_share.dtype == torch.float32
        assert model.gate(x).dtype == torch.float32
        model.eval()
        # One training pass moved the batch statistics; the weights alone are compared.
        model.gate.norm.reset_running_stats()
        torch.testing.assert_close(model.gate.logits(x), sure, rtol=0, atol=0)

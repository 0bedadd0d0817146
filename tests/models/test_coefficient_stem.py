import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from overtone.frequency import coefficients, fit, open_rgb
from overtone.frequency.channels import ALL, HIGH, LOW, SETS
from overtone.frequency.dct import image
from overtone.models.bodies import Body, BodyError, create
from overtone.models.coefficient_stem import Decode, FoldedConv, can_fold

BODIES = [
    ("timm", "tf_efficientnet_lite0"),
    ("timm", "mobilenetv3_small_100"),
    ("torchvision", "mobilenet_v2"),
    ("timm", "resnet50"),
    ("timm", "convnext_atto"),
]


SIDE = 128
SHAPES = [(3, 2, 1), (7, 2, 3), (3, 1, 1), (4, 4, 0), (2, 4, 0)]


@pytest.fixture(scope="module")
def rgb(photograph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return fit(open_rgb(photograph), SIDE).copy()


def batch(rgb: NDArray[np.uint8], channels: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(coefficients(rgb, channels))[None]


def test_all_channels_at_eight_pixels_a_block_are_the_image(rgb: NDArray[np.uint8]) -> None:
    decode = Decode(ALL, 8, mean=(0, 0, 0), std=(1, 1, 1))
    decoded = decode(batch(rgb, ALL))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(decoded, rgb, atol=0.01)


def test_few_channels_are_what_the_codec_decodes(rgb: NDArray[np.uint8]) -> None:
    values = coefficients(rgb, SETS[24])
    decoded = Decode(SETS[24], 8, mean=(0, 0, 0), std=(1, 1, 1))(torch.from_numpy(values)[None])
    expected = torch.from_numpy(image(values, SETS[24])).permute(2, 0, 1)
    assert (decoded[0].round().clamp(0, 255) - expected).abs().max() <= 1


@pytest.mark.parametrize("n", [1, 2, 4, 5])
def test_fewer_pixels_keep_the_mean_of_every_block(rgb: NDArray[np.uint8], n: int) -> None:
    decoded = Decode(LOW, n, mean=(0, 0, 0), std=(1, 1, 1))(batch(rgb, LOW))[0]
    means = torch.from_numpy(rgb).float().reshape(16, 8, 16, 8, 3).mean(dim=(1, 3)).permute(2, 0, 1)
    found = decoded.reshape(3, 16, n, 16, n).mean(dim=(2, 4))
    torch.testing.assert_close(found, means, atol=0.01, rtol=0)


@pytest.mark.parametrize("channels", [LOW, LOW + HIGH], ids=["low", "both"])
@pytest.mark.parametrize("n", [2, 4, 8])
@pytest.mark.parametrize(("library", "name"), BODIES, ids=[name for _, name in BODIES])
@torch.inference_mode()
def test_a_folded_network_says_of_coefficients_what_it_says_of_the_decoded_image(
    library: str, name: str, n: int, channels: tuple[int, ...], rgb: NDArray[np.uint8]
) -> None:
    torch.manual_seed(0)
    body = Body(name=name, library=library, pixels=n)  # type: ignore[arg-type]
    network = create(body, channels, classes=10).eval()
    x = batch(rgb, channels)
    whole = network(x)
    assert can_fold(network.decode, network.network.get_submodule(network.first_conv)) == (
        n >= (4 if name == "convnext_atto" else 2)
    )
    torch.testing.assert_close(network.folded()(x), whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "n"),
    [(*shape, n) for shape in SHAPES for n in (2, 4, 6, 8) if n % shape[1] == 0],
)
@torch.inference_mode()
def test_the_folded_convolution_is_exact_to_the_border(kernel: int, stride: int, pad: int, n: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, kernel, stride, pad)
    decode = Decode(LOW, n, mean=(120, 110, 100), std=(60, 50, 40))
    x = 50 * torch.randn(2, len(LOW), 5, 6)
    assert can_fold(decode, conv)
    expected, found = conv(decode(x)), FoldedConv(decode, conv)(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "conv", [nn.Conv2d(3, 5, 5, 2), nn.Conv2d(3, 6, 3, 2, 1, groups=3), nn.Conv2d(3, 5, 3, 3, 1)]
)
def test_what_cannot_be_folded_is_left(conv: nn.Conv2d) -> None:
    assert not can_fold(Decode(LOW, 4, (0, 0, 0), (1, 1, 1)), conv)


def test_an_unknown_body_is_named() -> None:
    with pytest.raises(BodyError, match="no body 'resnet5000'"):
        create(Body(name="resnet5000", pixels=4), LOW, 10)

import pytest
import torch
from torch import Tensor

from overtone.models import Body
from overtone.models.bodies import BodyError, create_features
from overtone.models.detection.crowds import without_covered
from overtone.models.detection.detections import Detections
from overtone.models.detection.detector import Detector, PixelDetector, StagedDetector
from overtone.models.detection.features import BodyFeatures, ResNetFeatures, create
from overtone.models.detection.region_network import Anchors, RegionNetwork, Target
from tests.models.detection.tiny_detector import HEAD, HIGH, LOW, MASKS, NAME, detector, twin

BLOCKS = 11


def test_each_network_says_what_is_where_in_fractions_of_the_square() -> None:
    torch.manual_seed(0)
    model = Detector(detector(MASKS)).eval()
    extents = torch.tensor([[1.0, 0.5], [0.25, 1.0]])
    with torch.inference_mode():
        low = model.low(50 * torch.randn(2, 6, BLOCKS, BLOCKS), extents)
        high = model.high(50 * torch.randn(2, 24, BLOCKS, BLOCKS), extents)
    for found in (low, high):
        for each, extent in zip(found, extents, strict=True):
            assert 0 < len(each) <= HEAD.detections
            assert (each.boxes >= 0).all()
            assert (each.boxes[:, 2:] <= extent).all()
            assert (each.boxes[:, 2:] > each.boxes[:, :2]).all()
            assert set(each.labels.tolist()) <= {0, 1}
            assert (each.scores.diff() <= 0).all()
            assert each.masks is not None
            assert each.masks.shape == (len(each), 28, 28)


def test_the_twin_reads_pixels_with_as_many_weights_as_high() -> None:
    model, high = PixelDetector(twin()).eval(), Detector(detector()).high_network
    with torch.inference_mode():
        assert len(model(torch.full((1, 3, 88, 88), 128.0))) == 1
    counts = [sum(p.numel() for p in network.parameters()) for network in (model.network, high)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("config", [LOW, HIGH, ResNetFeatures(width=1 / 16, stem=8, layers=(1, 1, 1, 1))])
def test_maps_have_the_strides_that_they_say(config: BodyFeatures | ResNetFeatures) -> None:
    features = create(config, range(6) if isinstance(config, ResNetFeatures) else (0, 1, 8, 9, 64, 128))
    side = 16 * features.pixels
    maps = features.eval()(torch.zeros(1, 6, 16, 16))
    assert [m.shape[1] for m in maps] == list(features.channels)
    assert [m.shape[-1] for m in maps] == [-(-side // stride) for stride in features.strides]


def test_anchors_keep_their_stride_where_the_side_is_no_multiple_of_it() -> None:
    anchors = Anchors((8, 16), (4.0,))
    images = type("Images", (), {"image_sizes": [(55, 55)]})()
    (found,) = anchors(images, [torch.zeros(1, 1, 7, 7), torch.zeros(1, 1, 4, 4)])
    middles = (found[:, :2] + found[:, 2:]) / 2
    assert middles[: 7 * 7 * 3].max() == 6 * 8
    assert middles[7 * 7 * 3 :].max() == 3 * 16


@pytest.mark.parametrize("blocks", [8, 9, 11, 40])
def test_regions_are_cut_out_of_maps_at_their_strides(blocks: int) -> None:
    """Maps that say where they are: the bins of a region have its middle in pixels."""
    network = Detector(detector()).low_network
    side, strides = blocks * 5, network.features.strides
    maps = {}
    for number, stride in enumerate(strides):
        place = (torch.arange(-(-side // stride)) * stride).float()
        maps[str(number)] = place.expand(1, 1, len(place), -1).contiguous()
    boxes = torch.tensor([[4.0, 4, 12, 12], [0, 0, side - 4, side - 4]])
    bins = network.regions.box_roi_pool(maps, [boxes], [(side, side)])
    middles = (boxes[:, 0] + boxes[:, 2]) / 2
    torch.testing.assert_close(bins.mean(dim=(1, 2, 3)), middles, atol=3.0, rtol=0)


def test_background_under_a_crowd_is_ignored() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 30], [0, 0, 10, 10], [50, 50, 60, 60]])
    labels = torch.tensor([0, 0, 2, 0])
    crowd = torch.tensor([[0.0, 0, 12, 12]])
    assert without_covered([labels], [boxes], [crowd])[0].tolist() == [-1, 0, 2, 0]
    assert without_covered([labels], [boxes], [crowd[:0]])[0].tolist() == labels.tolist()


def losses(model: StagedDetector, target: Target) -> dict[str, Tensor]:
    network: RegionNetwork = model.networks[-1]
    torch.manual_seed(0)
    return network.train().losses(50 * torch.randn(2, 24, BLOCKS, BLOCKS), [target] * 2)


def test_a_crowd_is_no_thing_to_be_found() -> None:
    model = Detector(detector())
    boxes, labels = torch.tensor([[0.2, 0.2, 0.8, 0.8]]), torch.tensor([1])
    assert losses(model, Target(boxes, labels, torch.tensor([False])))["box_reg"] > 0
    assert losses(model, Target(boxes, labels, torch.tensor([True])))["box_reg"] == 0


def test_losses_reach_every_weight() -> None:
    model = Detector(detector(MASKS))
    masks = torch.ones(1, 40, 40, dtype=torch.uint8)
    target = Target(torch.tensor([[0.2, 0.2, 0.8, 0.8]]), torch.tensor([1]), torch.tensor([False]), masks)
    found = losses(model, target)
    assert set(found) == {"objectness", "rpn_box_reg", "classifier", "box_reg", "mask"}
    torch.stack(list(found.values())).sum().backward()
    assert all(p.grad is not None for p in model.high_network.parameters())
    assert all(p.grad is None for p in model.low_network.parameters())


def test_an_image_without_things_trains_too() -> None:
    nothing = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))
    assert torch.stack(list(losses(Detector(detector()), nothing).values())).isfinite().all()


def test_masks_are_pasted_where_the_boxes_are() -> None:
    found = Detections(
        torch.tensor([[0.25, 0.5, 0.5, 1.0]]), torch.tensor([0]), torch.tensor([0.9]), torch.ones(1, 28, 28)
    )
    bitmap = found.bitmaps(80, 40)[0]
    rows, columns = bitmap.nonzero().unbind(1)
    assert abs(int(columns.min()) - 20) <= 1
    assert abs(int(columns.max()) - 40) <= 1
    assert abs(int(rows.min()) - 20) <= 1
    assert int(rows.max()) == 39


def test_a_mask_of_a_box_that_is_cut_off_is_cut_off_too() -> None:
    left_half = (torch.arange(28) < 14).float().expand(2, 28, 28)
    boxes = torch.tensor([[0.125, 0.25, 1.0, 0.75], [0.0, 0.0, 0.5, 0.5]])
    found = Detections(boxes, torch.tensor([0, 0]), torch.tensor([0.9, 0.8]), left_half)
    whole, cut = found.bitmaps(80, 80), found.within(0.75, 1.0).bitmaps(80, 80)
    whole[:, :, 60:] = False
    assert whole[0].sum() > 1200
    assert int((whole[0] != cut[0]).sum()) <= 2 * 40  # pixels of an edge
    assert whole[1].equal(cut[1])
    assert not len(found.within(0.75, 1.0).above(2).bitmaps(8, 8))


def test_bodies_without_stages_are_refused() -> None:
    with pytest.raises(BodyError, match="only timm's"):
        create_features(Body(name="resnet18", library="torchvision", pixels=4), (8,))
    with pytest.raises(BodyError, match="no body 'nobody'"):
        create_features(Body(name="nobody", pixels=4), (8,))
    with pytest.raises(BodyError, match="no maps of stride 64"):
        create_features(Body(name=NAME, pixels=4), (8, 64))
    with pytest.raises(ValueError, match="reads coefficients"):
        create(ResNetFeatures(), None)
    with pytest.raises(ValueError, match="double"):
        ResNetFeatures(strides=(1, 1, 2, 2))

"""The networks without a server, in one process: `python -m overtone.benchmarks.serve.bare`.

Every batch size is tried in two ways: one batch at a time on all cores, and one batch a core, each in a thread of its
own. The fastest is measured again, for longer.
"""

import argparse
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from overtone.benchmarks.serve.workload import STAGES, Workload
from overtone.frequency import decode
from overtone.gpu_server.answer import Stage
from overtone.gpu_server.decoded_image import DecodedImage
from overtone.gpu_server.engine.inference import Network
from overtone.gpu_server.networks.torch_network import open_network
from overtone.gpu_server.system.threads import cores
from overtone.models import choose_device, read_card

CPU_SIZES = (1, 4, 8, 16, 32)
CUDA_SIZES = (1, 8, 32, 64, 128, 256)
# Share of the seconds that each trial takes.
TRIAL = 0.1


@dataclass(frozen=True)
class Rate:
    """The rate of one stage with so many threads, each with batches of this size."""

    size: int
    threads: int
    images_per_second: float
    cpu_ms_per_image: float


def measure(
    network: Network, stage: Stage, images: Sequence[DecodedImage], size: int, threads: int, seconds: float
) -> Rate:
    """Run batch after batch in as many threads for some seconds, each with its share of the cores."""
    batches = list(_batches(images, size))
    counts = [0] * threads
    torch.set_num_threads(max(1, cores() // threads))
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        while time.perf_counter() < end:
            network.run(stage, batches[(number + counts[number]) % len(batches)])
            counts[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    began, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took, cpu, done = time.perf_counter() - began, time.process_time() - cpu, size * sum(counts)
    return Rate(size, threads, done / took, 1000 * cpu / done)


def best(
    networks: Mapping[int, Network],
    stage: Stage,
    images: Sequence[DecodedImage],
    sizes: Sequence[int],
    seconds: float,
) -> Rate:
    """Try every size and number of threads, each with its network, and measure the fastest again."""
    tried = [
        measure(network, stage, images, size, threads, TRIAL * seconds)
        for size in sizes
        for threads, network in networks.items()
    ]
    chosen = max(tried, key=lambda rate: rate.images_per_second)
    return measure(networks[chosen.threads], stage, images, chosen.size, chosen.threads, seconds)


def _batches(images: Sequence[DecodedImage], size: int) -> Iterator[list[DecodedImage]]:
    for start in range(0, len(images), size):
        yield [images[(start + i) % len(images)] for i in range(size)]


def main() -> None:
    """Print the rates of the stages as a line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m overtone.benchmarks.serve.bare", description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--workload", type=Path, required=True, help="with all layers")
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    profile = read_card(options.model).profile
    cuda = choose_device(options.device).type == "cuda"
    sizes = CUDA_SIZES if cuda else CPU_SIZES
    networks = {}
    # The graphs of a network on CUDA share memory, so only one thread may run it.
    for count in sorted({1, 1 if cuda else cores()}):
        networks[count], _ = open_network(options.model, options.device, sizes, max(1, cores() // count))
        networks[count].warm()
    images = [DecodedImage(decode(layers, profile)) for layers in Workload.read(options.workload).layers]
    found = {stage: best(networks, Stage(stage), images, sizes, options.seconds) for stage in STAGES}
    print(json.dumps({stage: vars(rate) for stage, rate in found.items()}), flush=True)


if __name__ == "__main__":
    main()

"""The images that wait to be sent."""

import asyncio
from pathlib import Path

import numpy as np

from overtone.edge_client.image_queue import ImageQueue


class Drops:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def filled(capacity: int, count: int) -> tuple[ImageQueue, Drops]:
    drops = Drops()
    queue = ImageQueue(capacity, drops)
    for number in range(count):
        queue.put(f"{number}.jpg", Path(f"{number}.jpg"))
    return queue, drops


async def taken(queue: ImageQueue) -> list[str]:
    """What a stream takes of a queue that is closed when it is empty."""
    names = []
    async for source in queue:
        assert source is queue.taken[-1].source
        names.append(queue.taken[-1].name)
        if not queue._waiting:
            queue.close()
    return names


async def test_the_oldest_are_dropped_when_it_is_full() -> None:
    queue, drops = filled(3, 5)
    assert await taken(queue) == ["2.jpg", "3.jpg", "4.jpg"]
    assert drops.count == 2


async def test_an_image_that_comes_back_takes_its_old_place() -> None:
    queue, drops = filled(4, 3)
    stream = aiter(queue)
    await anext(stream)
    await anext(stream)
    queue.put_back(queue.taken.popleft())
    queue.put_back(queue.taken.popleft())
    assert await taken(queue) == ["0.jpg", "1.jpg", "2.jpg"]
    assert [image.again for image in queue.taken] == [True, True, False]
    assert drops.count == 0


async def test_an_image_that_comes_back_is_the_one_that_is_dropped_when_newer_ones_fill_the_queue() -> None:
    queue, drops = filled(2, 2)
    await anext(aiter(queue))
    queue.put("new.jpg", Path("new.jpg"))
    queue.put_back(queue.taken.popleft())
    assert await taken(queue) == ["1.jpg", "new.jpg"]
    assert drops.count == 1


async def test_a_file_waits_once_but_each_picture_of_a_camera_is_another() -> None:
    queue, _ = filled(9, 2)
    queue.put("1.jpg", Path("1.jpg"))
    for _ in range(2):
        queue.put("/dev/video0", np.zeros((8, 8, 3), np.uint8))
    assert await taken(queue) == ["0.jpg", "1.jpg", "/dev/video0", "/dev/video0"]


async def test_who_can_wait_leaves_half_of_it_free() -> None:
    queue, _ = filled(4, 3)
    waiter = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    assert not waiter.done()
    await anext(aiter(queue))
    await waiter


async def test_nothing_is_handed_out_in_a_pause_and_closing_ends_it() -> None:
    queue, _ = filled(2, 2)
    queue.pause(3600)
    taking = asyncio.create_task(taken(queue))
    for _ in range(9):
        await asyncio.sleep(0)
    assert not queue.taken
    queue.close()
    assert await taking == []

"""Fairness: who waits gets as many images as others, in the order of its own requests, and every image once."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qlight.board.fair_queue import FairQueue, Piece, Request


def request(client: str, images: int, number: int = 0) -> Request:
    return Request(client, number, np.zeros((images, 1), np.uint8), 0.0)


def all_of(queue: FairQueue) -> list[Piece]:
    return list(iter(lambda: queue.take(0), None))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 60)), max_size=20), st.integers(1, 30), st.integers(1, 30))
def test_every_image_once_and_in_order(asked: list[tuple[str, int]], most: int, shared: int) -> None:
    queue, requests = FairQueue(most, shared), []
    for number, (client, images) in enumerate(asked):
        requests.append(request(client, images, number))
        queue.put(requests[-1])
    assert queue.images == sum(images for _, images in asked)
    places: dict[int, int] = {}
    finished: dict[str, int] = {}
    for piece in all_of(queue):
        assert 0 < piece.stop - piece.start <= most
        assert piece.start == places.get(piece.request.number, 0)
        places[piece.request.number] = piece.stop
        if piece.stop == len(piece.request.pixels):
            assert finished.get(str(piece.request.client), -1) < piece.request.number
            finished[str(piece.request.client)] = piece.request.number
    assert places == {number: images for number, (_, images) in enumerate(asked)}
    assert queue.images == 0


@given(st.lists(st.integers(1, 200), min_size=4, max_size=4), st.integers(1, 20))
def test_clients_that_wait_are_never_further_apart_than_a_piece(sizes: list[int], shared: int) -> None:
    """Four clients with batches of any size, which all have more to ask whenever they are answered."""
    queue, given = FairQueue(1000, shared), Counter()
    for client, size in zip("abcd", sizes, strict=True):
        queue.put(request(client, size))
        queue.put(request(client, size))
    for _ in range(300):
        piece = queue.take(0)
        assert piece is not None
        client = str(piece.request.client)
        given[client] += piece.stop - piece.start
        if piece.stop == len(piece.request.pixels):
            queue.put(request(client, sizes["abcd".index(client)]))
        assert max(given.values()) - min(given[each] for each in "abcd") <= shared


def test_a_single_image_does_not_wait_for_thousands() -> None:
    queue = FairQueue(1000, 10)
    queue.put(request("many", 5000))
    first = queue.take(0)
    queue.put(request("one", 1))
    second, third = queue.take(0), queue.take(0)
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.stop == 1000, "alone it gets all that the accelerator takes"
    assert second.request.client == "one"
    assert third.stop - third.start == 1000


def test_who_waited_for_nothing_saved_nothing_up() -> None:
    queue = FairQueue(10, 10)
    for _ in range(50):
        queue.put(request("busy", 10))
    queue.put(request("late", 10))
    assert [str(piece.request.client) for piece in (queue.take(0), queue.take(0)) if piece] == ["busy", "late"]
    for _ in range(20):
        queue.take(0)
    for _ in range(20):
        queue.put(request("late", 10))
    following = [str(piece.request.client) for piece in (queue.take(0) for _ in range(10)) if piece]
    assert Counter(following) == {"busy": 5, "late": 5}


def test_what_is_dropped_is_not_given_out() -> None:
    queue, requests = FairQueue(4, 4), [request("a", 10, 0), request("a", 3, 1), request("b", 5, 2)]
    for each in requests:
        queue.put(each)
    queue.take(0)
    queue.drop(requests[0])
    assert queue.images == 8
    queue.forget("b")
    assert requests[2].dropped
    assert [(piece.request.number, piece.stop) for piece in all_of(queue)] == [(1, 3)]
    assert queue.images == 0
    assert queue.take(0.01) is None

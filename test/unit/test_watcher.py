"""A watcher notes when a message was published, and counts those that never came."""

from __future__ import annotations

import time

import rclpy
from std_msgs.msg import String

from humanoid_core.timing import MS, NS
from humanoid_core.topics import TOPICS
from humanoid_ros import qos
from humanoid_ros.watcher import QUEUE, Watcher, own_context, published_ns

TOPIC = "vla/instruction"


class Kept:
    def __init__(self) -> None:
        self.stamps: list[int] = []

    def write(self, topic: str, message_type: str, stamp_ns: int, data: bytes) -> None:
        self.stamps.append(stamp_ns)


def test_messages_that_fell_out_of_the_queue_are_counted_and_the_others_bear_their_time(domain: int) -> None:
    context, kept = own_context(domain), Kept()
    watcher = Watcher(context, topics=[TOPIC], sink=kept)  # takes only when it is told to
    publisher = watcher.node.create_publisher(String, TOPIC, qos.profile(TOPICS[TOPIC]))
    try:
        deadline = time.monotonic() + 10.0
        while not kept.stamps and time.monotonic() < deadline:
            publisher.publish(String(data="stand still"))
            time.sleep(0.05)
            watcher._take_all()
        assert kept.stamps
        room, first = int(QUEUE * 50), len(kept.stamps)
        begin_ns = time.time_ns()
        for k in range(2 * room):
            publisher.publish(String(data=str(k)))
        end_ns = time.time_ns()
        while watcher.count(TOPIC) + watcher.missed[TOPIC] < first + 2 * room and time.monotonic() < deadline:
            time.sleep(0.05)
            watcher._take_all()
        assert watcher.missed[TOPIC] == room
        assert all(begin_ns <= stamp <= end_ns for stamp in kept.stamps[first:])
    finally:
        watcher.node.destroy_node()
        rclpy.shutdown(context=context)


def test_a_publisher_with_another_clock_is_stamped_on_arrival() -> None:
    now_ns = 1_000 * NS
    sent_ns = now_ns - 300 * MS
    for said, stamp in ((sent_ns, sent_ns), (now_ns + 1, now_ns), (now_ns - 60 * NS, now_ns), (0, now_ns)):
        assert published_ns({"received_timestamp": now_ns, "source_timestamp": said}) == stamp

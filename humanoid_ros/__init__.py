"""The only glue to rclpy: parameters, QoS, message <-> dataclass, node main and clocks."""

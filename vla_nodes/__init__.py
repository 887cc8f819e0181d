"""vla_policy: an instruction and what the robot sees become action chunks and set-points."""

"""safety_monitor and command_gate: leave to move, and the only way to the robot."""

"""Pure cores of the policy node: words, eyes, arm, plans, and the execution of chunks by time."""

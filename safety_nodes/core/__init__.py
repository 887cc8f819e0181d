"""Pure cores of monitor and gate. One rule per file in `rules/`; docs/adding-a-rule.md says how to add one."""

"""The cases: one module a group, each with a function `cases()` that returns a list of harness.Case."""

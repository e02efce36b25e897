"""Computes the resources that a rate of events needs, and the rates that reach the limits.

The inputs are figures that were measured and limits that AWS publishes. `make scale` prints the
tables of docs/scale.md. Nothing here talks to AWS.
"""

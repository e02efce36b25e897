"""Computes the rate that reaches each limit, from measured figures and the limits of AWS.

`make scale` prints the tables of docs/scale.md. Nothing here talks to AWS.
"""

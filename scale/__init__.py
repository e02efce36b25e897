"""Computes where each limit is met, from measured figures of this project and limits of AWS.

`make scale` prints the tables of docs/scale.md. Nothing here talks to AWS.
"""

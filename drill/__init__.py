"""Plays a story into the local stack in accelerated time, and checks the monitor's findings.

A story is a series of situations, such as a quiet day or a new customer. A situation is some hours
of traffic with an expected result.
"""

"""Compares windows with a baseline, and decides whether a stream of predictions has changed.

A window has the stream's predictions of a span of time. The baseline describes days that a person
accepted as usual.
"""

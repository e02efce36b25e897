"""Checkpoints as a team would bring them: trained for real on small data, without a download. `make
test-full` adopts each.
"""

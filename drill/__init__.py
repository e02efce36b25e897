"""Plays a story into the local stack in accelerated time, and checks the monitor's findings."""

"""What the monitor's judgement finds and how often it is wrong, on text that nothing of it was made from."""

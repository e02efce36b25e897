"""Makes the shipped model from public corpora with one command, `make train DATA=folder`."""

import sys
from pathlib import Path

# so that training can import the inference function, and measure the model with it
sys.path.insert(0, str(Path(__file__).parents[1] / "functions" / "inference"))

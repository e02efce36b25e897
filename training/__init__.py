"""How the shipped model was made: public corpora in, artefact out, one command (`make train DATA=folder`)."""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).parents[1] / "functions" / "inference")
)  # the shipped code measures the shipped model

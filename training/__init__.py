"""How the shipped model was made: public corpora in, artefact out, one command (`make train DATA=folder`)."""

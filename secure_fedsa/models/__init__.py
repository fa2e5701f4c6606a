"""The model side: public encoder, scatters, saliency, amalgamation, student networks."""
